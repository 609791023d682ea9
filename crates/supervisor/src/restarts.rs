//! How soon something that died is started again. There is no last time: what it lacks may come back any
//! moment.

use std::time::Duration;

/// Deaths in a row, none of them ready, after which nobody should wait for a thing.
const STILLBORN_MAX: u32 = 6;

/// Whoever ran this long is healthy: its death starts a new count.
pub(crate) const HEALTHY: Duration = Duration::from_secs(10);

const FIRST: Duration = Duration::from_millis(100);

/// Longest wait for one that was ready: what killed it was a request or a hand, and others wait in the queue.
const LONGEST_READY: Duration = Duration::from_secs(1);

/// Longest wait for one that was not: the next is not likely to be either, and each try costs an import.
const LONGEST: Duration = Duration::from_secs(5);

/// Deaths in a row of one slot, zygote or proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restarts {
    deaths: u32,
    /// Those at the end of them that were never ready.
    stillborn: u32,
}

impl Restarts {
    /// It died. `served` is how long ago it was started, `None` when it never became ready. Answers how long to wait before
    /// the next start.
    pub(crate) fn died(&mut self, served: Option<Duration>) -> Duration {
        self.stillborn = match served {
            Some(_) => 0,
            None => self.stillborn.saturating_add(1),
        };
        if served.is_some_and(|served| served >= HEALTHY) {
            self.deaths = 0;
            return Duration::ZERO;
        }
        let longest = if served.is_some() { LONGEST_READY } else { LONGEST };
        let wait = FIRST.saturating_mul(1 << self.deaths.min(10)).min(longest);
        self.deaths = self.deaths.saturating_add(1);
        wait
    }

    /// So many in a row were never ready that nobody should wait for the next.
    pub(crate) fn failing(self) -> bool {
        self.stillborn >= STILLBORN_MAX
    }

    /// Deaths in a row so far.
    pub(crate) fn deaths(self) -> u32 {
        self.deaths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_some_seconds() {
        let mut restarts = Restarts::default();
        let waits: Vec<u128> = (0..8).map(|_| restarts.died(None).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        let mut restarts = Restarts::default();
        let ready = Some(Duration::from_millis(300));
        let waits: Vec<u128> = (0..6).map(|_| restarts.died(ready).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn a_long_life_starts_a_new_count() {
        let mut restarts = Restarts::default();
        for _ in 0..5 {
            restarts.died(Some(Duration::from_secs(9)));
        }
        assert_eq!(restarts.died(Some(HEALTHY)), Duration::ZERO);
        assert_eq!(restarts.deaths(), 0);
    }

    #[test]
    fn six_in_a_row_that_were_never_ready_are_failing_and_others_are_not() {
        let mut restarts = Restarts::default();
        for _ in 0..6 {
            assert!(!restarts.failing());
            restarts.died(None);
        }
        assert!(restarts.failing());
        restarts.died(Some(Duration::ZERO));
        assert!(!restarts.failing());
        for _ in 0..100 {
            restarts.died(Some(Duration::ZERO));
        }
        assert!(!restarts.failing());
    }
}
