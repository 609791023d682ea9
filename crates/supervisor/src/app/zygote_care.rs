//! The zygote of an app: started, heard, restarted.

use std::time::{Duration, Instant};

use tracing::{error, info, warn};
use wire::control::FromZygote;

use super::App;
use crate::{
    cause::cause, channel::HEARD_PER_TURN, check::lone_process, context::Context, departure::Departure,
    journey::Failure, os::wait::Ended, output::Source, pool::Source as Forks, zygote::Zygote,
};

impl App {
    pub(super) fn hear_zygote(&mut self, cx: &mut Context<'_>) {
        for _ in 0..HEARD_PER_TURN {
            let Some(zygote) = &mut self.zygote else { return };
            let Some(message) = zygote.hear() else { return };
            match message {
                FromZygote::Ready { .. } if zygote.ready => {
                    error!(app = %self.name, pid = zygote.pid, "a zygote was ready twice");
                    zygote.breach();
                }
                FromZygote::Ready {
                    python,
                    import_ms,
                    unshared,
                    stateful,
                    ..
                } => {
                    self.zygote_ready(&python, import_ms, &unshared, cx.now);
                    if let Some(told) = lone_process(self.config(), &stateful) {
                        warn!("{told}");
                    }
                }
                FromZygote::Failed {
                    step,
                    message,
                    traceback,
                } => {
                    zygote.failure.get_or_insert(Failure {
                        step,
                        message,
                        traceback,
                    });
                }
                FromZygote::ForkFailed { slot, message } => {
                    error!(app = %self.name, slot, error = message, "worker not forked");
                    if zygote.has_not_forked() && !zygote.child.is_leaving() {
                        error!(app = %self.name, pid = zygote.pid, "forks of the zygote fail again and again, it is replaced");
                        zygote.give_up("its forks failed again and again");
                    }
                    self.workers
                        .retain(|worker| worker.slot != slot || worker.child.pid.is_some() || !worker.counts);
                    self.fail(Failure::new("fork", message));
                    self.slot_died(slot, cx.now);
                }
            }
        }
    }

    /// Would a worker have what the zygote had when it was ready? Whoever runs in a worker can lower the
    /// limits of its zygote, and would so harm all workers that come; it is replaced instead.
    pub(super) fn may_fork(&mut self) -> bool {
        let Some(zygote) = &mut self.zygote else {
            return true;
        };
        if !zygote.child.is_killed() {
            let Some(limit) = zygote.lowered_limit() else {
                return true;
            };
            let pid = zygote.pid;
            error!(app = %self.name, pid, limit, "limits of the zygote were lowered, it is replaced");
            zygote.give_up(format!("its limits were lowered ({limit})"));
        }
        self.pool.source(Forks::Away);
        false
    }

    pub(super) fn zygote_ready(&mut self, python: &str, import_ms: u64, unshared: &str, now: Instant) {
        let Some(zygote) = &mut self.zygote else { return };
        zygote.is_in_time();
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
        if !unshared.is_empty() {
            warn!(
                app = %self.name, unshared,
                "the import leaves what workers cannot share: each imports on its own, which costs memory; preload = false says so"
            );
        }
    }

    pub(super) fn zygote_died(&mut self, ended: Ended, cx: &mut Context<'_>) {
        let Some(zygote) = self.zygote.take() else { return };
        self.last_words(&Source::zygote(self.generation, &self.name), cx);
        if self.retired {
            return;
        }
        let cause = cause(ended, zygote.child.is_killed(), cx.oom_kills.rose());
        let failure = zygote.failure.unwrap_or_else(|| {
            let boot = self.config().timeout.boot;
            match (zygote.ready, zygote.child.is_killed()) {
                (true, _) => Failure::new("zygote", cause.clone()),
                (false, true) => Failure::new("boot", format!("not ready within timeout.boot ({boot:?})")),
                (false, false) => Failure::new(
                    "python",
                    format!("the interpreter died before it was ready: {cause}"),
                ),
            }
        });
        error!(app = %self.name, pid = zygote.pid, generation = self.generation, cause, "zygote died");
        self.history.exited(None, Some(zygote.pid), &cause, cx.now);
        self.zygote_failed(failure, zygote.ready.then_some(zygote.started), cx.now);
        // What was not forked yet waits for the next one.
        for worker in self
            .workers
            .iter_mut()
            .filter(|worker| worker.child.pid.is_none() && worker.counts)
        {
            worker.counts = false;
            worker
                .departure
                .get_or_insert(Departure::kill(cx.now + Duration::from_secs(2)));
            self.pool.unborn(worker.slot, cx.now);
        }
    }

    /// `started`: when, if it ever was ready.
    pub(super) fn zygote_failed(&mut self, failure: Failure, started: Option<Instant>, now: Instant) {
        self.fail(failure);
        let wait = self
            .zygote_restarts
            .died(started.map(|started| now.saturating_duration_since(started)));
        self.pool.source(match self.zygote_restarts.failing() {
            true => Forks::Failing,
            false => Forks::Away,
        });
        self.zygote_at = Some(now + wait);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let (deaths, left) = (self.zygote_restarts.deaths(), self.pool.ready_count());
        info!(app = %self.name, wait_ms, deaths, left, "zygote is started again");
    }

    pub(super) fn start_zygote(&mut self, cx: &mut Context<'_>) {
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
}

fn elapsed_ms(now: Instant, since: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}
