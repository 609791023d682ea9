//! How much of what is of no use a client may send.

use std::time::Duration;

use tokio::time::Instant;

/// PING, SETTINGS, PRIORITY, GOAWAY and unknown frames that a client may send at once, and WINDOW_UPDATE
/// frames beyond those that answer to something. nginx ends a connection after as many.
const FRAMES_MAX: u32 = 10_000;

/// So many more each second: some clients measure the line by pings, for days.
const FRAMES_PER_SECOND: u32 = 100;

/// Heads that h2 refuses. A balancer's connection carries those of many clients, so that it is no life's
/// total.
const REFUSALS_MAX: u32 = 32;
const REFUSALS_PER_SECOND: u32 = 1;

/// Requests that a client may cancel, beyond as many as are answered to their end (CVE-2023-44487), or open
/// past the limit of streams. A map that is moved cancels some hundred images.
const CANCELLED_MAX: u32 = 1_000;
const CANCELLED_PER_SECOND: u32 = 20;

/// What is left of it on one connection.
#[derive(Debug)]
pub(in crate::phases) struct Allowance {
    most: u32,
    per_second: u32,
    left: u32,
    /// When something was last added.
    at: Instant,
}

impl Allowance {
    /// All frames of no use that a client may send.
    pub(super) fn of_frames(now: Instant) -> Self {
        Self::new(FRAMES_MAX, FRAMES_PER_SECOND, now)
    }

    /// All requests that a client may cancel.
    pub(in crate::phases) fn of_cancelled(now: Instant) -> Self {
        Self::new(CANCELLED_MAX, CANCELLED_PER_SECOND, now)
    }

    /// All heads that h2 may have to refuse.
    pub(in crate::phases) fn of_refusals(now: Instant) -> Self {
        Self::new(REFUSALS_MAX, REFUSALS_PER_SECOND, now)
    }

    fn new(most: u32, per_second: u32, now: Instant) -> Self {
        Self {
            most,
            per_second,
            left: most,
            at: now,
        }
    }

    /// Something useful has come, which allows one more.
    pub(in crate::phases) fn earn(&mut self) {
        self.left = self.left.saturating_add(1).min(self.most);
    }

    /// So many have come; `false`: these are too many.
    pub(in crate::phases) fn take(&mut self, count: u32, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.at).as_secs();
        let more = seconds.saturating_mul(self.per_second.into());
        self.left = self
            .left
            .saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
            .min(self.most);
        self.at += Duration::from_secs(seconds);
        match self.left.checked_sub(count) {
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
        let mut allowance = Allowance::of_frames(now);
        assert!(allowance.take(FRAMES_MAX, now));
        assert!(!allowance.take(1, now + Duration::from_millis(999)));
        assert!(allowance.take(FRAMES_PER_SECOND, now + Duration::from_secs(1)));
        assert!(!allowance.take(1, now + Duration::from_millis(1_999)));
    }

    #[test]
    fn a_few_each_second_are_let_through_for_ever() {
        let now = Instant::now();
        let mut allowance = Allowance::of_frames(now);
        for second in 0..10_000 {
            assert!(allowance.take(FRAMES_PER_SECOND, now + Duration::from_secs(second)));
        }
        assert!(!allowance.take(FRAMES_MAX + 1, now + Duration::from_secs(1_000_000)));
    }

    #[test]
    fn what_is_useful_earns_what_is_not_and_never_more_than_all() {
        let now = Instant::now();
        let mut allowance = Allowance::of_refusals(now);
        for _ in 0..1_000 {
            assert!(allowance.take(1, now));
            allowance.earn();
        }
        allowance.earn();
        assert!(allowance.take(REFUSALS_MAX, now));
        assert!(!allowance.take(1, now));
        allowance.earn();
        assert!(allowance.take(1, now));
    }
}
