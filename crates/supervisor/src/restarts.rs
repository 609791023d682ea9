//! How soon, and whether, something that died is started again.

use std::time::Duration;

/// Deaths in a row after which a thing is given up.
pub(crate) const DEATHS_MAX: u32 = 6;

/// Whoever ran this long is healthy: its death starts a new count.
pub(crate) const HEALTHY: Duration = Duration::from_secs(10);

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Deaths in a row of one slot, zygote or proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restarts {
    deaths: u32,
}

impl Restarts {
    /// It died. `served` is how long ago it was started, `None` when it never became ready. Answers how long to wait before
    /// the next start.
    pub(crate) fn died(&mut self, served: Option<Duration>) -> Duration {
        if served.is_some_and(|served| served >= HEALTHY) {
            self.deaths = 0;
            return Duration::ZERO;
        }
        let wait = FIRST.saturating_mul(1 << self.deaths.min(10)).min(LONGEST);
        self.deaths = self.deaths.saturating_add(1);
        wait
    }

    /// So many deaths in a row that another start is a waste.
    pub(crate) fn hopeless(self) -> bool {
        self.deaths >= DEATHS_MAX
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
    fn waits_double_up_to_ten_seconds() {
        let mut restarts = Restarts::default();
        let waits: Vec<u128> = (0..9).map(|_| restarts.died(None).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn a_long_life_starts_a_new_count() {
        let mut restarts = Restarts::default();
        for _ in 0..5 {
            restarts.died(Some(Duration::from_secs(9)));
        }
        assert!(!restarts.hopeless());
        assert_eq!(restarts.died(Some(HEALTHY)), Duration::ZERO);
        assert_eq!(restarts.deaths(), 0);
    }

    #[test]
    fn six_short_lives_in_a_row_are_hopeless() {
        let mut restarts = Restarts::default();
        for _ in 0..6 {
            assert!(!restarts.hopeless());
            restarts.died(None);
        }
        assert!(restarts.hopeless());
    }
}
