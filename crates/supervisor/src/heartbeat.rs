//! Does every front thread of a proxy still turn? Each is asked now and then, by way of its event loop.
//!
//! What counts is how often we have looked in vain, not how much time has passed: where all of us stood still
//! (a paused container, a suspended machine) we have not looked either.

use std::time::{Duration, Instant};

/// How often a proxy is looked at.
const LOOK: Duration = Duration::from_secs(3);

/// Looks in vain before a proxy is silent.
const LOOKS: u32 = 3;

/// Each proxy of a generation that was replaced for its silence doubles [`LOOKS`], so often at most: what hangs
/// again is not helped by the next one.
const DOUBLINGS_MAX: u32 = 6;

/// What a proxy is asked and has answered.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    look_at: Instant,
    /// Number of the last question.
    asked: u64,
    answered: bool,
    in_vain: u32,
    looks: u32,
    answered_at: Option<Instant>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Wait.
    None,
    /// Ask this.
    Ask(u64),
    /// It does not answer. Said again while that lasts.
    Silent,
}

impl Heartbeat {
    /// `replaced`: so many before it were silent.
    pub(crate) fn new(replaced: u32, now: Instant) -> Self {
        Self {
            look_at: now + LOOK,
            asked: 0,
            answered: true,
            in_vain: 0,
            looks: LOOKS << replaced.min(DOUBLINGS_MAX),
            answered_at: None,
        }
    }

    pub(crate) fn look(&mut self, now: Instant) -> Beat {
        if now < self.look_at {
            return Beat::None;
        }
        self.look_at = now + LOOK;
        if self.answered {
            self.asked += 1;
            self.answered = false;
            self.in_vain = 0;
            return Beat::Ask(self.asked);
        }
        self.in_vain += 1;
        if self.in_vain.is_multiple_of(self.looks) {
            Beat::Silent
        } else {
            Beat::None
        }
    }

    pub(crate) fn heard(&mut self, number: u64, now: Instant) {
        if number == self.asked {
            self.answered = true;
            self.answered_at = Some(now);
        }
    }

    /// When it last answered.
    pub(crate) fn answered_at(&self) -> Option<Instant> {
        self.answered_at
    }

    /// When [`Heartbeat::look`] has something to do next.
    pub(crate) fn deadline(&self) -> Instant {
        self.look_at
    }
}

/// What a proxy that does not answer is found at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A debugger holds it, and will let it go.
    Traced,
    /// It waits for a disk or a network file system: its successor would do so as well.
    OnDisk,
    /// It was stopped by a signal, which is no fault of its own: it is replaced, and the next one is looked
    /// at as soon.
    Stopped,
    /// It does not turn, and is replaced.
    Hanging,
}

/// By the states of all its threads, in the letters of `/proc/PID/stat`.
pub(crate) fn found(states: impl IntoIterator<Item = char>) -> Found {
    let mut found = Found::Hanging;
    for state in states {
        match state {
            't' => return Found::Traced,
            'T' => found = Found::Stopped,
            'D' if found != Found::Stopped => found = Found::OnDisk,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_answers_late_is_not_silent() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(0, start);
        assert_eq!(heartbeat.look(start), Beat::None);
        for number in 1..10 {
            let at = heartbeat.deadline();
            assert_eq!(heartbeat.look(at), Beat::Ask(number));
            for _ in 1..LOOKS {
                assert_eq!(heartbeat.look(heartbeat.deadline()), Beat::None);
            }
            // An answer to something else is none.
            heartbeat.heard(number - 1, at);
            assert!(!heartbeat.answered);
            heartbeat.heard(number, at);
            assert_eq!(heartbeat.answered_at(), Some(at));
        }
    }

    #[test]
    fn one_that_never_answers_is_silent_and_stays_so() {
        let mut heartbeat = Heartbeat::new(0, Instant::now());
        assert_eq!(heartbeat.look(heartbeat.deadline()), Beat::Ask(1));
        for _ in 0..3 {
            for _ in 1..LOOKS {
                assert_eq!(heartbeat.look(heartbeat.deadline()), Beat::None);
            }
            assert_eq!(heartbeat.look(heartbeat.deadline()), Beat::Silent);
        }
    }

    #[test]
    fn a_night_in_which_we_did_not_run_either_is_one_look() {
        let mut heartbeat = Heartbeat::new(0, Instant::now());
        assert_eq!(heartbeat.look(heartbeat.deadline()), Beat::Ask(1));
        let morning = heartbeat.deadline() + Duration::from_secs(8 * 3600);
        assert_eq!(heartbeat.look(morning), Beat::None);
        assert_eq!(heartbeat.look(morning), Beat::None);
        heartbeat.heard(1, morning);
        assert_eq!(heartbeat.look(heartbeat.deadline()), Beat::Ask(2));
    }

    #[test]
    fn each_replacement_makes_us_more_patient() {
        let in_vain = |replaced| {
            let mut heartbeat = Heartbeat::new(replaced, Instant::now());
            heartbeat.look(heartbeat.deadline());
            (1..).find(|_| heartbeat.look(heartbeat.deadline()) == Beat::Silent)
        };
        assert_eq!([0, 1, 2, 6, 900].map(in_vain), [3, 6, 12, 192, 192].map(Some));
    }

    #[test]
    fn what_waits_for_a_disk_or_a_debugger_is_left() {
        assert_eq!(found("SSR".chars()), Found::Hanging);
        assert_eq!(found("TT".chars()), Found::Stopped);
        assert_eq!(found("TDT".chars()), Found::Stopped);
        assert_eq!(found("SDS".chars()), Found::OnDisk);
        assert_eq!(found("Dt".chars()), Found::Traced);
        assert_eq!(found([]), Found::Hanging);
    }
}
