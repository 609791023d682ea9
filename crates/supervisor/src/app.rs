//! One app of one generation: its zygote, its slots, its workers.

mod history;
mod status;
mod worker_care;
mod zygote_care;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use history::History;

use config::{Config, Identity, Interface, WsgiHost};
use tracing::{error, info};

use crate::{
    cause::stuck,
    child::Child,
    context::Context,
    departure::Departure,
    journey::{Failure, Journey},
    os::wait::Ended,
    pool::{Action, Pool, Source as Forks},
    proxy::Proxy,
    ready::Interest,
    restarts::Restarts,
    worker::Worker,
    zygote::Zygote,
};

pub(crate) const STUCK: &str = "does not end though it was killed, nothing waits for it any more";

/// Whether what comes to the proxy of a draining generation goes to the workers of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandOver {
    /// It does not, and nothing is planned.
    None,
    /// It will, from the second half of the drain timeout on.
    At(Instant),
    /// It does as soon as the next one has a worker at work. Nothing wakes the loop for this but that worker.
    Due,
    /// It does.
    Done,
}

impl HandOver {
    /// When it is due, as long as it is not.
    fn at(self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at),
            Self::None | Self::Due | Self::Done => None,
        }
    }
}

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
    /// It was not ready when its generation began to serve, and has not been since.
    missing: bool,
    /// How it failed to boot last time, as far as that was told.
    told: Option<Failure>,
    /// It will not serve again.
    retired: bool,
    /// End of the drain timeout, once its generation drains.
    drain_by: Option<Instant>,
    hand_over: HandOver,
    /// What the proxy was told.
    pub(crate) told_down: bool,
    /// The proxy has said that requests wait and nothing takes them.
    pub(crate) wanted: bool,
    history: History,
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
            missing: false,
            told: None,
            retired: false,
            drain_by: None,
            hand_over: HandOver::None,
            told_down: false,
            wanted: false,
            history: History::default(),
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
        let zygote = self.zygote.iter().map(|zygote| &zygote.child);
        let workers = self.workers.iter().map(|worker| &worker.child);
        zygote
            .chain(workers)
            .filter_map(Child::channel)
            .for_each(|channel| interest.channel(channel));
    }

    /// Takes the messages that have come.
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>) {
        if self
            .zygote
            .as_ref()
            .and_then(|zygote| zygote.child.channel())
            .is_some_and(|channel| cx.ready.has(channel))
        {
            self.hear_zygote(cx);
        }
        for at in 0..self.workers.len() {
            let channel = self.workers[at].child.channel();
            if channel.is_some_and(|channel| cx.ready.has(channel)) {
                self.hear_worker(at, cx);
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
        let found = self
            .workers
            .iter()
            .position(|worker| worker.child.pid == Some(pid));
        if let Some(at) = found {
            self.hear_worker(at, cx);
            let worker = self.workers.swap_remove(at);
            self.worker_died(worker, ended, cx);
        }
        found.is_some()
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
            let unborn = self
                .workers
                .iter()
                .any(|worker| worker.child.pid.is_none() && worker.counts);
            if zygote.is_found_stopped(unborn || !zygote.ready, cx.now) {
                error!(app = %self.name, pid = zygote.pid, "zygote was stopped by a signal, it is replaced");
                zygote.give_up("it was stopped by a signal");
            }
            zygote.tick(cx.now);
            if zygote.child.is_stuck(cx.now) {
                let (pid, generation) = (zygote.pid, self.generation);
                error!(app = %self.name, pid, generation, cause = stuck(pid), "zygote {STUCK}");
            }
        }
        if !self.retired {
            for action in self.pool.tick(cx.now) {
                match action {
                    Action::Fork { slot } if self.may_fork() => self.fork(slot, cx),
                    Action::Fork { slot } => self.pool.unborn(slot, cx.now),
                    Action::Overdue { slot } => self.overdue(slot, cx.now),
                }
            }
        }
        self.bound_leaving();
        for worker in &mut self.workers {
            worker.tick(cx.now);
            if worker.child.is_stuck(cx.now) {
                let (slot, pid, generation) = (worker.slot, worker.child.pid.unwrap_or(0), self.generation);
                error!(app = %self.name, slot, pid, generation, cause = stuck(pid), "worker {STUCK}");
            }
        }
        self.drop_lost(cx);
    }

    /// When [`App::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let boot = self.config().timeout.boot;
        let zygote = self.zygote.as_ref().and_then(|zygote| zygote.deadline(boot));
        let pool = self.pool.deadline().filter(|_| !self.retired);
        let drain = self.drain_by.into_iter().chain(self.hand_over.at()).min();
        let drain = drain.filter(|_| !self.retired);
        self.workers
            .iter()
            .filter_map(Worker::deadline)
            .chain([zygote, pool, self.zygote_at, drain].into_iter().flatten())
            .min()
    }

    /// Its generation serves now, perhaps without it.
    pub(crate) fn serves(&mut self, now: Instant) {
        self.booting = false;
        let failure = self.failure.take();
        self.missing = !self.is_there();
        if let Some(failure) = failure.filter(|_| self.missing) {
            for line in self.journey.tell(&failure, now) {
                error!(app = %self.name, "{line}");
            }
            error!(app = %self.name, "app failed to boot: the others serve, it is answered 503 and tried again and again");
            self.told = Some(failure);
        }
    }

    /// Has it a worker?
    pub(crate) fn is_there(&self) -> bool {
        self.pool.ready_count() > 0
    }

    /// Why it does not boot, as long as it has no worker.
    pub(crate) fn boot_failure(&self) -> Option<&Failure> {
        self.failure.as_ref().filter(|_| !self.is_there())
    }

    /// Nobody should wait for it.
    pub(crate) fn is_down(&mut self) -> bool {
        self.missing &= !self.is_there();
        self.missing || self.pool.down()
    }

    /// What waits to be tried again is tried at once.
    pub(crate) fn revive(&mut self, now: Instant) {
        self.pool.revive(now);
        if self.zygote.is_none() && !self.retired {
            self.zygote_restarts = Restarts::default();
            self.zygote_at = Some(now);
            self.pool.source(Forks::Away);
        }
    }

    /// The worker's request ran past its deadline: the worker leaves, a new one takes its slot.
    pub(crate) fn overran(&mut self, at: usize, thread: u32, now: Instant) {
        let drain = self.config().timeout.drain;
        let worker = &mut self.workers[at];
        worker
            .why
            .get_or_insert("a request ran past timeout.request".into());
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

    /// Workers that were told by somebody else to leave are replaced when their requests have ended. Gives
    /// the links that are to get no more of them.
    pub(crate) fn let_go(&mut self, now: Instant) -> Vec<u64> {
        let config = &self.config.apps[self.index];
        let mut links = Vec::new();
        for worker in &mut self.workers {
            if self.retired || !worker.shall_leave(now) {
                continue;
            }
            let (slot, pid) = (worker.slot, worker.child.pid.unwrap_or(0));
            info!(app = %self.name, slot, pid, "worker was sent SIGTERM: it is replaced when its requests have ended");
            let mut departure = Departure::leave(now, config.timeout.drain, shutdown(config, worker));
            if !worker.links.any_in_use() {
                departure.idle();
            }
            links.extend(worker.links.to(self.generation));
            worker.departure = Some(departure);
            worker.counts = false;
            self.pool.leave(slot, now);
        }
        links
    }

    /// Its generation takes no new connections and is cut at `until`, if ever: what runs has the drain
    /// timeout, if that ends earlier. Called again, it only gets shorter.
    pub(crate) fn drain(&mut self, until: Option<Instant>, now: Instant) {
        let by = now + self.config().timeout.drain;
        if self
            .drain_by
            .into_iter()
            .chain(until)
            .min()
            .is_none_or(|at| at > by)
        {
            self.drain_by = Some(by);
            self.hand_over = HandOver::At(now + self.config().timeout.drain / 2);
        }
        // A stop has nobody to hand over to, also where what was planned before ends earlier.
        if until.is_some() && self.hand_over != HandOver::Done {
            self.hand_over = HandOver::None;
        }
    }

    /// Is it time that others take what comes to its proxy? Said until they do.
    pub(crate) fn shall_hand_over(&mut self, now: Instant) -> bool {
        if self.hand_over.at().is_some_and(|at| at <= now) {
            self.hand_over = HandOver::Due;
        }
        !self.retired && self.hand_over == HandOver::Due
    }

    /// Others take what comes to its proxy; its workers end what they run. Gives the links that are to get no
    /// more of it.
    pub(crate) fn hand_over(&mut self) -> impl Iterator<Item = u64> {
        info!(app = %self.name, generation = self.generation, "new workers take what the old proxy still receives");
        self.hand_over = HandOver::Done;
        self.workers
            .iter()
            .filter_map(|worker| worker.links.to(self.generation))
    }

    /// Do its own workers take what comes to the proxy of their generation?
    pub(crate) fn takes_requests(&self) -> bool {
        !self.retired && self.hand_over != HandOver::Done
    }

    /// Is its drain timeout over, and nothing done about that yet?
    pub(crate) fn is_past_drain(&self, now: Instant) -> bool {
        !self.retired && self.drain_by.is_some_and(|by| by <= now)
    }

    /// Its drain timeout is over while clients still wait: what runs is ended now, so that they hear of it. The links stay.
    pub(crate) fn expire(&mut self, now: Instant) {
        info!(
            app = %self.name, generation = self.generation,
            "timeout.drain is over: what still runs is ended"
        );
        self.leave(now, |shutdown| Departure::expire(now, shutdown));
        let leaving = self
            .workers
            .iter_mut()
            .filter_map(|worker| worker.departure.as_mut());
        leaving.for_each(Departure::idle);
    }

    /// Has its old proxy requests for it that its own workers do not take any more?
    pub(crate) fn wants_stand_ins(&self) -> bool {
        !self.takes_requests() && self.wanted
    }

    /// Tells the proxy of its generation, unless it knows.
    pub(crate) fn tell_down(&mut self, down: bool, proxy: &mut Proxy) {
        if self.told_down != down {
            self.told_down = down;
            proxy.app_down(&self.name, down);
        }
    }

    /// Will it not serve again?
    pub(crate) fn is_retired(&self) -> bool {
        self.retired
    }

    /// No proxy needs it any more: the workers finish within `within`, at most what is left of their drain timeout, and exit.
    pub(crate) fn retire(&mut self, within: Duration, now: Instant) {
        let drain = self.drain_by.map_or(self.config().timeout.drain, |by| {
            by.saturating_duration_since(now)
        });
        let drain = drain.min(within);
        self.leave(now, |shutdown| Departure::retire(now, drain, shutdown));
        let generation = self.generation;
        for worker in &mut self.workers {
            worker.keep_links(|other| other != generation);
        }
    }

    /// Every worker leaves in this way, if it does not leave already. The way is told what comes behind the
    /// requests of a loop. One that is not ready has no requests, and hears nothing while it imports the
    /// application: it is killed.
    fn leave(&mut self, now: Instant, departure: impl Fn(Option<Duration>) -> Departure) {
        self.retired = true;
        self.zygote_at = None;
        if let Some(zygote) = &mut self.zygote {
            zygote.child.kill();
        }
        let config = &self.config.apps[self.index];
        for worker in &mut self.workers {
            worker.counts = false;
            if worker.departure.is_none() {
                worker.departure = Some(if worker.ready {
                    departure(shutdown(config, worker))
                } else {
                    worker.why.get_or_insert("it was not ready yet".into());
                    Departure::kill(now)
                });
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
            zygote.child.kill();
        }
        self.workers.iter_mut().for_each(|worker| worker.child.kill());
    }

    /// Nothing of it runs any more, or only what was killed and is still there (in uninterruptible sleep, or
    /// traced): that is the kernel's.
    pub(crate) fn is_gone(&self) -> bool {
        self.zygote
            .as_ref()
            .is_none_or(|zygote| zygote.child.is_given_up())
            && self.workers.iter().all(|worker| worker.child.is_given_up())
    }
}

/// What comes behind the requests of a loop or a hub; `None`: threads run them.
fn shutdown(config: &config::App, worker: &Worker) -> Option<Duration> {
    match config.interface {
        Interface::Asgi(_) => Some(config.timeout.shutdown),
        Interface::Wsgi(WsgiHost::Green(..)) => Some(Duration::ZERO),
        Interface::Wsgi(WsgiHost::Threads { .. }) => worker.evented.then_some(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests;
