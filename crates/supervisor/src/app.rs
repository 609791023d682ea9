//! One app of one generation: its zygote, its slots, its workers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use config::{Config, Identity};
use tracing::{error, info, warn};
use wire::control::{FromWorker, FromZygote};

use crate::{
    cause::cause,
    context::Context,
    departure::Departure,
    journey::{Failure, Journey},
    os::wait::Ended,
    output::Source,
    pool::{Action, Pool, Source as Forks, Verdict},
    ready::Interest,
    restarts::Restarts,
    worker::Worker,
    zygote::Zygote,
};

/// One app of one generation.
#[derive(Debug)]
pub(crate) struct App {
    config: Arc<Config>,
    index: usize,
    pub(crate) name: Arc<str>,
    generation: u64,
    zygote: Option<Zygote>,
    zygote_restarts: Restarts,
    zygote_at: Option<Instant>,
    pub(crate) pool: Pool,
    pub(crate) workers: Vec<Worker>,
    pub(crate) journey: Journey,
    /// What stopped it while it booted.
    pub(crate) failure: Option<Failure>,
    /// It has not served yet: a failure is the generation's failure.
    booting: bool,
    /// It will not serve again.
    retired: bool,
    /// What the proxy was told.
    pub(crate) told_down: bool,
}

impl App {
    /// An app whose zygote is started in the next turn.
    pub(crate) fn new(config: &Arc<Config>, index: usize, generation: u64, now: Instant) -> Self {
        let app = &config.apps[index];
        Self {
            config: Arc::clone(config),
            index,
            name: Arc::from(app.name.as_str()),
            generation,
            zygote: None,
            zygote_restarts: Restarts::default(),
            zygote_at: Some(now),
            pool: Pool::new(app.workers, app.timeout.boot, now),
            workers: Vec::new(),
            journey: Journey::new(now),
            failure: None,
            booting: true,
            retired: false,
            told_down: false,
        }
    }

    /// As configured.
    pub(crate) fn config(&self) -> &config::App {
        &self.config.apps[self.index]
    }

    fn identity(&self) -> Option<&Identity> {
        self.config().user.as_ref().or(self.config.server.user.as_ref())
    }

    /// What it waits for.
    pub(crate) fn interest<'a>(&'a self, interest: &mut Interest<'a>) {
        for zygote in self.zygote.iter().filter(|zygote| zygote.is_open()) {
            interest.channel(&zygote.channel);
        }
        for worker in self.workers.iter().filter(|worker| worker.is_open()) {
            interest.channel(&worker.channel);
        }
    }

    /// Takes the messages that have come.
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>) {
        if self
            .zygote
            .as_ref()
            .is_some_and(|zygote| cx.ready.has(&zygote.channel))
        {
            self.hear_zygote(cx);
        }
        for at in 0..self.workers.len() {
            if cx.ready.has(&self.workers[at].channel) {
                self.hear_worker(at, cx);
            }
        }
    }

    fn hear_zygote(&mut self, cx: &mut Context<'_>) {
        while let Some(message) = self.zygote.as_mut().and_then(Zygote::hear) {
            match message {
                FromZygote::Ready {
                    python,
                    import_ms,
                    threads,
                } => self.zygote_ready(&python, import_ms, &threads, cx.now),
                FromZygote::Failed {
                    step,
                    message,
                    traceback,
                } => {
                    if let Some(zygote) = &mut self.zygote {
                        zygote.failure = Some(Failure {
                            step,
                            message,
                            traceback,
                        });
                    }
                }
                FromZygote::ForkFailed { slot, message } => {
                    error!(app = %self.name, slot, error = message, "worker not forked");
                    self.workers
                        .retain(|worker| worker.slot != slot || worker.pid.is_some() || !worker.counts);
                    self.fail(Failure::new("fork", message));
                    self.slot_died(slot, cx.now);
                }
            }
        }
    }

    fn zygote_ready(&mut self, python: &str, import_ms: u64, threads: &str, now: Instant) {
        let Some(zygote) = &mut self.zygote else { return };
        zygote.ready = true;
        let boot_ms = elapsed_ms(now, zygote.started);
        let pid = zygote.pid;
        self.pool.source(Forks::Here);
        self.journey
            .step(format!("python {python} with the engine in it"), now);
        if self.config().preload && import_ms > 0 {
            self.journey.step(
                format!("import {} took {import_ms} ms of it", self.config().target),
                now,
            );
        }
        info!(app = %self.name, generation = self.generation, pid, python, boot_ms, import_ms, "zygote ready");
        if !threads.is_empty() {
            warn!(
                app = %self.name, threads,
                "the import left threads running: each worker imports on its own, no memory is shared; set preload = false to say so"
            );
        }
    }

    fn hear_worker(&mut self, at: usize, cx: &mut Context<'_>) {
        while let Some(message) = self.workers[at].hear(cx.now) {
            let worker = &mut self.workers[at];
            match message {
                FromWorker::Hello { pid } if worker.pid.is_none() && cx.pids.claim(pid) => {
                    worker.pid = Some(pid);
                    let source = Source::worker(self.generation, &self.name, worker.number, worker.slot);
                    cx.outputs.name(&source, pid);
                }
                FromWorker::Hello { pid } => {
                    error!(app = %self.name, slot = worker.slot, pid, "a worker claims a process id that is not its own");
                    worker.kill();
                }
                FromWorker::Ready { boot_ms } => {
                    worker.ready = true;
                    if worker.counts {
                        self.pool.ready(worker.slot);
                    }
                    let pid = worker.pid.unwrap_or(0);
                    info!(
                        app = %self.name, slot = worker.slot, pid, generation = self.generation, boot_ms,
                        "worker ready"
                    );
                }
                FromWorker::Failed {
                    step,
                    message,
                    traceback,
                } => {
                    worker.failure = Some(Failure {
                        step,
                        message,
                        traceback,
                    });
                }
            }
        }
    }

    /// A process has ended. `false`: it is none of this app's.
    pub(crate) fn buried(&mut self, pid: u32, ended: Ended, cx: &mut Context<'_>) -> bool {
        if self.zygote.as_ref().is_some_and(|zygote| zygote.pid == pid) {
            self.hear_zygote(cx);
            self.zygote_died(ended, cx);
            return true;
        }
        let found = self.workers.iter().position(|worker| worker.pid == Some(pid));
        if let Some(at) = found {
            self.hear_worker(at, cx);
            let worker = self.workers.swap_remove(at);
            self.worker_died(worker, ended, cx);
        }
        found.is_some()
    }

    fn zygote_died(&mut self, ended: Ended, cx: &mut Context<'_>) {
        let Some(zygote) = self.zygote.take() else { return };
        self.last_words(&Source::zygote(self.generation, &self.name), cx);
        if self.retired {
            return;
        }
        let cause = cause(ended, zygote.killed, cx.oom_kills.rose());
        let failure = zygote.failure.unwrap_or_else(|| {
            let boot = self.config().timeout.boot;
            match (zygote.ready, zygote.killed) {
                (true, _) => Failure::new("zygote", cause.clone()),
                (false, true) => Failure::new("boot", format!("not ready within timeout.boot ({boot:?})")),
                (false, false) => {
                    Failure::new("python", format!("the interpreter {cause} before it was ready"))
                }
            }
        });
        error!(app = %self.name, pid = zygote.pid, generation = self.generation, cause, "zygote died");
        self.zygote_failed(failure, zygote.ready.then_some(zygote.started), cx.now);
        // What was not forked yet waits for the next one.
        for worker in self
            .workers
            .iter_mut()
            .filter(|worker| worker.pid.is_none() && worker.counts)
        {
            worker.counts = false;
            worker
                .departure
                .get_or_insert(Departure::kill(cx.now + Duration::from_secs(2)));
            self.pool.unborn(worker.slot, cx.now);
        }
    }

    /// `started`: when, if it ever was ready.
    fn zygote_failed(&mut self, failure: Failure, started: Option<Instant>, now: Instant) {
        self.fail(failure);
        self.pool.source(Forks::Away);
        let wait = self
            .zygote_restarts
            .died(started.map(|started| now.saturating_duration_since(started)));
        if self.zygote_restarts.hopeless() {
            self.pool.source(Forks::GivenUp);
            self.zygote_at = None;
            let deaths = self.zygote_restarts.deaths();
            error!(app = %self.name, deaths, "zygote given up until the next reload (SIGHUP); its workers serve on");
        } else {
            self.zygote_at = Some(now + wait);
        }
    }

    fn worker_died(&mut self, worker: Worker, ended: Ended, cx: &mut Context<'_>) {
        let source = Source::worker(self.generation, &self.name, worker.number, worker.slot);
        self.last_words(&source, cx);
        let (slot, pid) = (worker.slot, worker.pid.unwrap_or(0));
        let cause = cause(ended, worker.killed, cx.oom_kills.rose());
        if !worker.counts {
            info!(app = %self.name, slot, pid, generation = self.generation, cause, "worker left");
            return;
        }
        error!(app = %self.name, slot, pid, generation = self.generation, cause, "worker died");
        if !worker.ready {
            let failure = match worker.failure {
                Some(failure) => failure,
                None if worker.overdue => {
                    let boot = self.config().timeout.boot;
                    Failure::new(
                        "boot",
                        format!("worker {slot} not ready within timeout.boot ({boot:?})"),
                    )
                }
                None => Failure::new("boot", format!("worker {slot} {cause} before it was ready")),
            };
            self.fail(failure);
        }
        self.slot_died(slot, cx.now);
    }

    fn slot_died(&mut self, slot: u32, now: Instant) {
        match self.pool.died(slot, now) {
            Some(Verdict::GivenUp { deaths }) => {
                let left = self.pool.ready_count();
                error!(
                    app = %self.name, slot, deaths, left,
                    "slot given up until the next reload (SIGHUP): its workers die too early"
                );
            }
            Some(Verdict::Again(wait)) if !wait.is_zero() => {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                info!(app = %self.name, slot, wait_ms, "worker is started again");
            }
            _ => {}
        }
    }

    /// While booting the failure is kept for whoever boots the generation; later it is told here.
    fn fail(&mut self, failure: Failure) {
        if self.booting {
            self.failure.get_or_insert(failure);
            return;
        }
        error!(app = %self.name, step = failure.step, error = failure.message, "boot failed");
        for line in failure.traceback.lines() {
            error!(app = %self.name, line, "traceback");
        }
    }

    fn last_words(&mut self, source: &Source, cx: &mut Context<'_>) {
        let (journey, booting) = (&mut self.journey, self.booting);
        cx.outputs.orphan(source, |line| {
            if booting {
                journey.printed(line);
            }
        });
    }

    /// The app printed something.
    pub(crate) fn printed(&mut self, line: &[u8]) {
        if self.booting {
            self.journey.printed(line);
        }
    }

    /// Starts, forks, reminds and kills what is due.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        if self.zygote_at.is_some_and(|at| at <= cx.now) && !self.retired {
            self.zygote_at = None;
            self.start_zygote(cx);
        }
        let boot = self.config().timeout.boot;
        if let Some(zygote) = &mut self.zygote {
            if !zygote.ready && zygote.started + boot <= cx.now && zygote.overdue(cx.now) {
                error!(app = %self.name, pid = zygote.pid, "zygote is not ready in time, its stacks follow");
            }
            zygote.tick(cx.now);
        }
        if !self.retired {
            for action in self.pool.tick(cx.now) {
                match action {
                    Action::Fork { slot } => self.fork(slot, cx),
                    Action::Overdue { slot } => self.overdue(slot, cx.now),
                }
            }
        }
        self.bound_leaving();
        for worker in &mut self.workers {
            worker.tick(cx.now);
        }
        self.drop_lost(cx);
    }

    fn start_zygote(&mut self, cx: &mut Context<'_>) {
        match Zygote::start(self.config(), self.identity(), cx.engine, false, cx.now) {
            Ok((zygote, (stdout, stderr))) => {
                self.journey
                    .step(format!("exec {}", self.config().python.display()), cx.now);
                let source = Source::zygote(self.generation, &self.name);
                cx.outputs.add(stdout, stderr, &source, zygote.pid);
                cx.pids.add(zygote.pid);
                self.zygote = Some(zygote);
            }
            Err(error) => {
                let python = self.config().python.display();
                let failure = Failure::new("exec", format!("{python} can not be started: {error}"));
                self.zygote_failed(failure, None, cx.now);
            }
        }
    }

    fn fork(&mut self, slot: u32, cx: &mut Context<'_>) {
        let Some(zygote) = &mut self.zygote else { return };
        match Worker::fork(zygote, cx.numbers.next(), slot) {
            Ok((worker, (stdout, stderr))) => {
                let source = Source::worker(self.generation, &self.name, worker.number, slot);
                cx.outputs.add(stdout, stderr, &source, 0);
                self.workers.push(worker);
            }
            Err(error) => {
                error!(app = %self.name, slot, %error, "worker not forked");
                self.fail(Failure::new("fork", error.to_string()));
                self.slot_died(slot, cx.now);
            }
        }
    }

    fn overdue(&mut self, slot: u32, now: Instant) {
        let mut late = self
            .workers
            .iter_mut()
            .filter(|worker| worker.slot == slot && worker.counts);
        if let Some(worker) = late.next() {
            let pid = worker.pid.unwrap_or(0);
            error!(app = %self.name, slot, pid, "worker is not ready in time, its stacks follow");
            worker.is_overdue(now);
        }
    }

    /// Each overrun makes one more worker that leaves; a flood of them must not fill the memory.
    fn bound_leaving(&mut self) {
        let most = 2 * self.pool.len();
        let leaving = self.workers.iter().filter(|worker| !worker.counts).count();
        if !self.retired && leaving > most {
            let mut oldest: Vec<_> = self.workers.iter_mut().filter(|worker| !worker.counts).collect();
            oldest.sort_by_key(|worker| worker.number);
            oldest.into_iter().take(leaving - most).for_each(Worker::kill);
        }
    }

    /// Workers that never said who they are and whose control socket has ended: nobody will be reaped for them.
    fn drop_lost(&mut self, cx: &mut Context<'_>) {
        while let Some(at) = self.workers.iter().position(Worker::is_lost) {
            let worker = self.workers.swap_remove(at);
            let source = Source::worker(self.generation, &self.name, worker.number, worker.slot);
            self.last_words(&source, cx);
            if worker.counts {
                error!(app = %self.name, slot = worker.slot, "worker died before it said hello");
                self.fail(Failure::new(
                    "fork",
                    format!("worker {} died right after the fork", worker.slot),
                ));
                self.slot_died(worker.slot, cx.now);
            }
        }
    }

    /// When [`App::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let boot = self.config().timeout.boot;
        let zygote = self.zygote.as_ref().and_then(|zygote| {
            let late = (!zygote.ready && !zygote.killed).then_some(zygote.started + boot);
            zygote.deadline().or(late)
        });
        let pool = self.pool.deadline().filter(|_| !self.retired);
        self.workers
            .iter()
            .filter_map(Worker::deadline)
            .chain([zygote, pool, self.zygote_at].into_iter().flatten())
            .min()
    }

    /// Its generation serves now.
    pub(crate) fn serves(&mut self) {
        self.booting = false;
        self.failure = None;
    }

    /// What was given up is tried again.
    pub(crate) fn revive(&mut self, now: Instant) {
        self.pool.revive(now);
        if self.zygote.is_none() && self.zygote_at.is_none() && !self.retired {
            self.zygote_restarts = Restarts::default();
            self.zygote_at = Some(now);
            self.pool.source(Forks::Away);
        }
    }

    /// The worker's request ran past its deadline: the worker leaves, a new one takes its slot.
    pub(crate) fn overran(&mut self, at: usize, thread: u32, now: Instant) {
        let drain = self.config().timeout.drain;
        let worker = &mut self.workers[at];
        worker.tell_stacks();
        match &mut worker.departure {
            Some(departure) => departure.interrupt(now, thread),
            None => worker.departure = Some(Departure::overrun(now, thread, drain)),
        }
        if worker.counts {
            worker.counts = false;
            self.pool.leave(worker.slot, now);
        }
    }

    /// No proxy needs it any more: the workers finish within `within`, at most their own drain timeout, and exit.
    pub(crate) fn retire(&mut self, within: Duration, now: Instant) {
        self.retired = true;
        self.zygote_at = None;
        if let Some(zygote) = &mut self.zygote {
            zygote.kill();
        }
        let drain = self.config().timeout.drain.min(within);
        for worker in &mut self.workers {
            worker.counts = false;
            worker.link = None;
            match &mut worker.departure {
                Some(departure) => departure.idle(),
                None => worker.departure = Some(Departure::retire(now, drain)),
            }
        }
    }

    /// What is leaving shall be gone by then.
    pub(crate) fn hurry(&mut self, by: Instant) {
        for departure in self
            .workers
            .iter_mut()
            .filter_map(|worker| worker.departure.as_mut())
        {
            departure.hurry(by);
        }
    }

    /// SIGKILL to all of it.
    pub(crate) fn kill(&mut self) {
        self.retired = true;
        if let Some(zygote) = &mut self.zygote {
            zygote.kill();
        }
        self.workers.iter_mut().for_each(Worker::kill);
    }

    /// Nothing of it runs any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.zygote.is_none() && self.workers.is_empty()
    }
}

fn elapsed_ms(now: Instant, since: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}
