//! How many frames a client may send that are of no use to any request.

use std::time::Duration;

use tokio::time::Instant;

/// PING, SETTINGS, PRIORITY and unknown frames that a client may send at once. nginx ends a connection after as many.
const FRAMES_MAX: u32 = 10_000;

/// So many more each second: some clients measure the line by pings, for days.
const FRAMES_PER_SECOND: u32 = 100;

/// What is left of them on one connection.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    /// When something was last added.
    at: Instant,
}

impl Allowance {
    /// All of it.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: FRAMES_MAX,
            at: now,
        }
    }

    /// So many have come; `false`: these are too many.
    pub(super) fn take(&mut self, frames: u32, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.at).as_secs();
        let more = seconds.saturating_mul(FRAMES_PER_SECOND.into());
        self.left = self
            .left
            .saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
            .min(FRAMES_MAX);
        self.at += Duration::from_secs(seconds);
        match self.left.checked_sub(frames) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_a_flood_is_not() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        assert!(allowance.take(FRAMES_MAX, now));
        assert!(!allowance.take(1, now + Duration::from_millis(999)));
        assert!(allowance.take(FRAMES_PER_SECOND, now + Duration::from_secs(1)));
        assert!(!allowance.take(1, now + Duration::from_millis(1_999)));
    }

    #[test]
    fn a_few_each_second_are_let_through_for_ever() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        for second in 0..10_000 {
            assert!(allowance.take(FRAMES_PER_SECOND, now + Duration::from_secs(second)));
        }
        assert!(!allowance.take(FRAMES_MAX + 1, now + Duration::from_secs(1_000_000)));
    }
}
