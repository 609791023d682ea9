//! How a worker leaves by our will: no new requests, the running ones end, then it is asked to exit, then killed.
//!
//! Pure: `now` in, steps out.

use std::time::{Duration, Instant};

/// From the overrun to the soft interrupt: the stacks are written first, and show the place it hangs in.
const INTERRUPT_AFTER: Duration = Duration::from_millis(200);

/// What a worker with nothing left to do gets for its exit handlers. A thread that hangs in C code must die.
const EXIT_WITHIN: Duration = Duration::from_secs(1);

/// What cancelled requests of an event loop or a hub, and its exit handlers, get together.
const CANCELLED_WITHIN: Duration = Duration::from_secs(2);

/// What is to be done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Raise an exception in this thread.
    Interrupt { thread: u32 },
    /// Ask it to finish what it runs in this time, and to exit.
    Drain { within: Duration },
    /// SIGKILL
    Kill,
}

/// One worker's way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Departure {
    interrupts: Vec<(Instant, u32)>,
    /// Its requests have ended at the proxy, or it has no link.
    idle: bool,
    /// Its requests have this long.
    idle_by: Instant,
    drained: bool,
    exit_within: Duration,
    /// What a loop gets behind that, to cancel what is left and for the lifespan's shutdown.
    shutdown: Duration,
    kill_at: Option<Instant>,
}

/// Stands for every thread that runs a request.
const EVERY_THREAD: u32 = 0;

/// Threads of one worker that are interrupted at most; more cannot matter, it is killed soon.
const INTERRUPTS_MAX: usize = 64;

impl Departure {
    /// A request ran past its deadline in this thread; the worker's other requests get `drain` to end.
    pub(crate) fn overrun(now: Instant, thread: u32, drain: Duration) -> Self {
        Self {
            interrupts: vec![(now + INTERRUPT_AFTER, thread)],
            idle: false,
            idle_by: now + drain.max(INTERRUPT_AFTER),
            drained: false,
            exit_within: EXIT_WITHIN,
            shutdown: Duration::ZERO,
            kill_at: None,
        }
    }

    /// No proxy sends it anything any more; what it still runs gets `drain`. `shutdown`: it has an event loop or a hub, which ends
    /// then what is left by itself, and gets so long behind that for its lifespan.
    pub(crate) fn retire(now: Instant, drain: Duration, shutdown: Option<Duration>) -> Self {
        Self {
            interrupts: Vec::new(),
            idle: true,
            idle_by: now,
            drained: false,
            exit_within: drain.max(EXIT_WITHIN),
            shutdown: shutdown.map_or(Duration::ZERO, |shutdown| shutdown + CANCELLED_WITHIN),
            kill_at: None,
        }
    }

    /// It leaves while its generation serves: its requests get `drain`, then it goes as in
    /// [`Departure::retire`].
    pub(crate) fn leave(now: Instant, drain: Duration, shutdown: Option<Duration>) -> Self {
        Self {
            idle: false,
            idle_by: now + drain,
            ..Self::retire(now, EXIT_WITHIN, shutdown)
        }
    }

    /// The time of its requests is over while their clients still wait. A loop (`shutdown`, as for [`Departure::retire`]) cancels
    /// them at once; in threads they are interrupted, and have a moment to end.
    pub(crate) fn expire(now: Instant, shutdown: Option<Duration>) -> Self {
        Self {
            interrupts: if shutdown.is_none() {
                vec![(now, EVERY_THREAD)]
            } else {
                Vec::new()
            },
            exit_within: if shutdown.is_none() {
                EXIT_WITHIN
            } else {
                Duration::ZERO
            },
            ..Self::retire(now, Duration::ZERO, shutdown)
        }
    }

    /// It is useless: SIGKILL at `at` at the latest, without a word.
    pub(crate) fn kill(at: Instant) -> Self {
        Self {
            interrupts: Vec::new(),
            idle: false,
            idle_by: at,
            drained: true,
            exit_within: Duration::ZERO,
            shutdown: Duration::ZERO,
            kill_at: Some(at),
        }
    }

    /// Another request overran meanwhile.
    pub(crate) fn interrupt(&mut self, now: Instant, thread: u32) {
        if self.interrupts.len() < INTERRUPTS_MAX {
            self.interrupts.push((now + INTERRUPT_AFTER, thread));
        }
    }

    /// Nothing of the proxy is in flight on it any more.
    pub(crate) fn idle(&mut self) {
        self.idle = true;
    }

    /// It shall be gone by then.
    pub(crate) fn hurry(&mut self, by: Instant) {
        self.idle_by = self.idle_by.min(by);
        self.kill_at = self.kill_at.map(|at| at.min(by));
        self.exit_within = self.exit_within.min(EXIT_WITHIN);
        self.shutdown = Duration::ZERO;
    }

    /// What is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        self.interrupts.retain(|&(at, thread)| {
            let due = at <= now;
            if due {
                steps.push(Step::Interrupt { thread });
            }
            !due
        });
        if !self.drained && (self.idle && self.interrupts.is_empty() || self.idle_by <= now) {
            self.drained = true;
            self.kill_at = Some(now + self.exit_within + self.shutdown);
            steps.push(Step::Drain {
                within: self.exit_within,
            });
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            steps.push(Step::Kill);
        }
        steps
    }

    /// When [`Departure::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let interrupt = self.interrupts.iter().map(|&(at, _)| at).min();
        let drain = (!self.drained).then_some(self.idle_by);
        [interrupt, drain, self.kill_at].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_secs(30);

    const LAST_DRAIN: Step = Step::Drain { within: EXIT_WITHIN };

    #[test]
    fn an_overrun_is_interrupted_drained_when_idle_and_killed() {
        let now = Instant::now();
        let mut departure = Departure::overrun(now, 7, DRAIN);
        assert_eq!(departure.tick(now), []);
        departure.idle();
        // The stacks have their time even when nothing else runs.
        assert_eq!(departure.tick(now), []);
        let then = now + INTERRUPT_AFTER;
        assert_eq!(departure.deadline(), Some(then));
        assert_eq!(departure.tick(then), [Step::Interrupt { thread: 7 }, LAST_DRAIN]);
        assert_eq!(departure.tick(then), []);
        assert_eq!(departure.tick(then + EXIT_WITHIN), [Step::Kill]);
        assert_eq!(departure.deadline(), None);
    }

    #[test]
    fn other_requests_of_an_overrun_worker_get_the_drain_timeout() {
        let now = Instant::now();
        let mut departure = Departure::overrun(now, 7, DRAIN);
        departure.tick(now + INTERRUPT_AFTER);
        assert_eq!(departure.tick(now + DRAIN - Duration::from_millis(1)), []);
        assert_eq!(departure.tick(now + DRAIN), [LAST_DRAIN]);
    }

    #[test]
    fn a_retired_worker_is_asked_at_once_and_killed_after_the_drain_timeout() {
        let now = Instant::now();
        let mut departure = Departure::retire(now, DRAIN, None);
        assert_eq!(departure.tick(now), [Step::Drain { within: DRAIN }]);
        assert_eq!(departure.deadline(), Some(now + DRAIN));
        assert_eq!(departure.tick(now + DRAIN), [Step::Kill]);
    }

    #[test]
    fn a_worker_that_leaves_is_asked_when_its_requests_have_ended() {
        let now = Instant::now();
        let mut departure = Departure::leave(now, DRAIN, None);
        assert_eq!(departure.tick(now), []);
        assert_eq!(departure.deadline(), Some(now + DRAIN));
        departure.idle();
        assert_eq!(departure.tick(now), [LAST_DRAIN]);
        let mut departure = Departure::leave(now, DRAIN, None);
        assert_eq!(departure.tick(now + DRAIN), [LAST_DRAIN]);
        assert_eq!(departure.tick(now + DRAIN + EXIT_WITHIN), [Step::Kill]);
    }

    #[test]
    fn the_lifespan_of_a_retired_worker_has_its_time_behind_the_drain_timeout() {
        let now = Instant::now();
        let shutdown = Duration::from_secs(7);
        let mut departure = Departure::retire(now, DRAIN, Some(shutdown));
        assert_eq!(departure.tick(now), [Step::Drain { within: DRAIN }]);
        let last = now + DRAIN + shutdown + CANCELLED_WITHIN;
        assert_eq!(departure.deadline(), Some(last));
        assert_eq!(departure.tick(last), [Step::Kill]);
    }

    #[test]
    fn threads_past_the_drain_timeout_are_interrupted_and_killed() {
        let now = Instant::now();
        let mut departure = Departure::expire(now, None);
        let interrupt = Step::Interrupt { thread: EVERY_THREAD };
        assert_eq!(departure.tick(now), [interrupt, LAST_DRAIN]);
        assert_eq!(departure.tick(now + EXIT_WITHIN), [Step::Kill]);
    }

    #[test]
    fn a_loop_past_the_drain_timeout_cancels_at_once_and_has_its_shutdown() {
        let now = Instant::now();
        let mut departure = Departure::expire(now, Some(DRAIN));
        let at_once = Step::Drain {
            within: Duration::ZERO,
        };
        assert_eq!(departure.tick(now), [at_once]);
        let last = now + DRAIN + CANCELLED_WITHIN;
        assert_eq!(departure.deadline(), Some(last));
        assert_eq!(departure.tick(last), [Step::Kill]);
    }

    #[test]
    fn a_worker_in_a_hurry_is_killed_earlier() {
        let now = Instant::now();
        let mut departure = Departure::retire(now, DRAIN, Some(DRAIN));
        departure.tick(now);
        departure.hurry(now + EXIT_WITHIN);
        assert_eq!(departure.tick(now + EXIT_WITHIN), [Step::Kill]);
    }
}
