//! The workers of an app: forked, heard, mourned.

use std::time::Instant;

use tracing::{error, info};
use wire::control::FromWorker;

use super::App;
use crate::{
    cause::cause,
    channel::HEARD_PER_TURN,
    context::Context,
    environment::run_as,
    journey::Failure,
    os::{packet::Sender, wait::Ended},
    output::Source,
    worker::Worker,
};

/// Can a worker of an app that runs as this user (`None`: as we do) have this one? What starts as root may
/// become anybody.
fn may_be(user: Option<u32>, sender: u32) -> bool {
    let user = user.unwrap_or_else(|| rustix::process::getuid().as_raw());
    user == 0 || user == sender
}

impl App {
    pub(super) fn hear_worker(&mut self, at: usize, cx: &mut Context<'_>) {
        let user = run_as(self.identity()).map(|who| who.uid);
        let most = u32::try_from(self.config().concurrency()).unwrap_or(u32::MAX);
        for _ in 0..HEARD_PER_TURN {
            let Some((message, sender)) = self.workers[at].hear(cx.now) else {
                return;
            };
            let worker = &mut self.workers[at];
            match message {
                FromWorker::Hello {} => {
                    match sender.filter(|sender| worker.child.pid.is_none() && may_be(user, sender.uid)) {
                        Some(Sender { pid, .. }) if cx.pids.claim(pid) => {
                            worker.child.pid = Some(pid);
                            self.history.forked();
                            if let Some(zygote) = &mut self.zygote {
                                zygote.has_forked();
                            }
                            let source =
                                Source::worker(self.generation, &self.name, worker.number, worker.slot);
                            cx.outputs.name(&source, pid);
                        }
                        _ => {
                            error!(app = %self.name, slot = worker.slot, ?sender, "a stranger says that it is a worker");
                            worker.breach("another process said that it was this worker");
                        }
                    }
                }
                FromWorker::Ready { .. } | FromWorker::Leave {} if worker.child.pid.is_none() => {
                    worker.breach("it spoke before it said who it is");
                }
                FromWorker::Ready { .. } if worker.ready => worker.breach("it was ready twice"),
                FromWorker::Failed { .. } if worker.failure.is_some() => worker.breach("it failed twice"),
                FromWorker::Ready { boot_ms, .. } if !worker.is_in_time() => {
                    info!(app = %self.name, slot = worker.slot, boot_ms, "worker ready too late, it is killed already");
                }
                FromWorker::Ready {
                    boot_ms,
                    evented,
                    concurrency,
                } => {
                    worker.ready = true;
                    worker.evented = evented;
                    worker.concurrency = concurrency.clamp(1, most);
                    if worker.counts {
                        self.pool.ready(worker.slot);
                    }
                    let pid = worker.child.pid.unwrap_or(0);
                    info!(
                        app = %self.name, slot = worker.slot, pid, generation = self.generation, boot_ms,
                        "worker ready"
                    );
                }
                FromWorker::Leave {} => worker.wishes_to_leave(cx.now),
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

    pub(super) fn worker_died(&mut self, worker: Worker, ended: Ended, cx: &mut Context<'_>) {
        let source = Source::worker(self.generation, &self.name, worker.number, worker.slot);
        self.last_words(&source, cx);
        let (slot, pid) = (worker.slot, worker.child.pid.unwrap_or(0));
        let mut cause = cause(ended, worker.child.is_killed(), cx.oom_kills.rose());
        if let (Ended::Signal(9), true, Some(why)) = (ended, worker.child.is_killed(), &worker.why) {
            cause = format!("{cause}: {why}");
        }
        if !self.retired {
            self.history.exited(Some(slot), worker.child.pid, &cause, cx.now);
        }
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
                None => Failure::new("boot", format!("worker {slot} died before it was ready: {cause}")),
            };
            self.fail(failure);
        }
        self.slot_died(slot, cx.now);
    }

    pub(super) fn slot_died(&mut self, slot: u32, now: Instant) {
        if let Some(wait) = self.pool.died(slot, now)
            && !wait.is_zero()
            && !self.booting
        {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let (deaths, left) = (self.pool.deaths(slot), self.pool.ready_count());
            info!(app = %self.name, slot, wait_ms, deaths, left, "worker is started again");
        }
    }

    /// While booting the failure is kept for whoever boots the generation; later it is told here.
    pub(super) fn fail(&mut self, failure: Failure) {
        if self.booting {
            self.failure.get_or_insert(failure);
            return;
        }
        error!(app = %self.name, step = failure.step, error = failure.message, "boot failed");
        // Tried again and again, it mostly fails in the same way: the whole story is told once.
        if self.told.as_ref() != Some(&failure) {
            for line in failure.traceback.lines() {
                error!(app = %self.name, line, "traceback");
            }
            self.told = Some(failure);
        }
    }

    pub(super) fn last_words(&mut self, source: &Source, cx: &mut Context<'_>) {
        let (journey, booting) = (&mut self.journey, self.booting);
        cx.outputs.orphan(source, |line| {
            if booting {
                journey.printed(line);
            }
        });
    }

    pub(super) fn fork(&mut self, slot: u32, cx: &mut Context<'_>) {
        let Some(zygote) = &mut self.zygote else { return };
        match Worker::fork(zygote, cx.numbers.next(), slot, cx.now) {
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

    pub(super) fn overdue(&mut self, slot: u32, now: Instant) {
        let mut late = self
            .workers
            .iter_mut()
            .filter(|worker| worker.slot == slot && worker.counts);
        if let Some(worker) = late.next() {
            let pid = worker.child.pid.unwrap_or(0);
            error!(app = %self.name, slot, pid, "worker is not ready in time, its stacks follow");
            worker.is_overdue(now);
        }
    }

    /// Each overrun makes one more worker that leaves; a flood of them must not fill the memory.
    pub(super) fn bound_leaving(&mut self) {
        let most = 2 * self.pool.len();
        let leaving = self.workers.iter().filter(|worker| !worker.counts).count();
        if !self.retired && leaving > most {
            let mut oldest: Vec<_> = self.workers.iter_mut().filter(|worker| !worker.counts).collect();
            oldest.sort_by_key(|worker| worker.number);
            oldest
                .into_iter()
                .take(leaving - most)
                .for_each(|worker| worker.child.kill());
        }
    }

    /// Workers that never said who they are and whose control socket has ended: nobody will be reaped for
    /// them. Where their zygote has ended too, or is about to, they may never have been forked: their sockets
    /// were in a message that it has not read. Its death settles what becomes of them.
    pub(super) fn drop_lost(&mut self, cx: &mut Context<'_>) {
        if !self.workers.iter().any(Worker::is_lost) {
            return;
        }
        // Its end came before theirs, and may not have been heard yet.
        self.hear_zygote(cx);
        let leaves = self
            .zygote
            .as_ref()
            .is_some_and(|zygote| zygote.child.is_leaving());
        let is_lost = |worker: &Worker| worker.is_lost() && !(leaves && worker.counts);
        while let Some(at) = self.workers.iter().position(is_lost) {
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
}
