//! Descriptors that the kernel does not pass on at the moment.
//!
//! The descriptors that the processes of one user have sent and nobody has received are counted together
//! (`ETOOMANYREFS` in unix(7)), and so is the memory they take. One process that sends thousands to itself
//! makes every sending of a descriptor fail for all others of its user. That says nothing about whom they are
//! sent to: it is tried again, in pauses that become longer, and how long that may go on is for each sender
//! to say.

use std::time::{Duration, Instant};

/// Pauses between two attempts: from this one on each is twice as long as the one before.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(100);

const ENOMEM: i32 = 12;
const ENOBUFS: i32 = 105;
const ETOOMANYREFS: i32 = 109;

/// Does this error of sendmsg(2) say that the kernel does not take it now, whoever it is for? That a socket
/// is full (`EAGAIN`) says poll(2), and is none of it.
pub const fn is_congestion(errno: i32) -> bool {
    matches!(errno, ETOOMANYREFS | ENOBUFS | ENOMEM)
}

/// How one sender gets on.
#[derive(Debug, Default)]
pub struct Congestion {
    since: Option<Instant>,
    pause: Duration,
}

/// What is to be done about one attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// None has failed before it since the last that did not: now is the time to tell the cause.
    pub first: bool,
    /// How long it has been so.
    pub lasted: Duration,
    /// After which time to try again.
    pub pause: Duration,
}

impl Congestion {
    /// An attempt has failed.
    pub fn refused(&mut self, now: Instant) -> Refused {
        let first = self.since.is_none();
        let since = *self.since.get_or_insert(now);
        self.pause = match first {
            true => SHORTEST,
            false => (self.pause * 2).min(LONGEST),
        };
        Refused {
            first,
            lasted: now.saturating_duration_since(since),
            pause: self.pause,
        }
    }

    /// One has not.
    pub fn passed(&mut self) {
        self.since = None;
    }

    /// How long all have failed.
    pub fn lasts(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_receiver_can_be_blamed_for_is_no_congestion() {
        assert!([109, 105, 12].map(is_congestion).iter().all(|&is| is));
        // EAGAIN, EPIPE, ECONNRESET, EBADF.
        assert!(![11, 32, 104, 9].map(is_congestion).iter().any(|&is| is));
    }

    #[test]
    fn pauses_grow_to_a_bound_and_the_cause_is_told_once_each_time() {
        let start = Instant::now();
        let mut congestion = Congestion::default();
        let refused: Vec<Refused> = (0..9)
            .map(|number| congestion.refused(start + number * Duration::from_millis(50)))
            .collect();
        let pauses: Vec<u128> = refused.iter().map(|refused| refused.pause.as_millis()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 100, 100, 100]);
        assert_eq!(refused.iter().filter(|refused| refused.first).count(), 1);
        assert_eq!(refused[8].lasted, Duration::from_millis(400));
        congestion.passed();
        assert_eq!(congestion.lasts(start), None);
        let again = congestion.refused(start + Duration::from_secs(1));
        assert_eq!(
            (again.first, again.lasted, again.pause),
            (true, Duration::ZERO, SHORTEST)
        );
    }
}
