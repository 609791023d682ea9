//! Requests for which an upstream has no server at all. Each fails in the same way and at once, so that a
//! line for each would fill the log as fast as clients ask; they are counted, and told now and then.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines of the log.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Those of one upstream.
#[derive(Debug, Default)]
pub(super) struct Unserved(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// Since the last line.
    requests: u64,
    told: Option<Instant>,
}

impl Unserved {
    /// One more. Gives the number since the last time when it is time to tell; the first one is told at once.
    pub(super) fn count(&self, now: Instant) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.requests = counted.requests.saturating_add(1);
        let since = |told| now.saturating_duration_since(told);
        if counted.told.is_some_and(|told| since(told) < TELL_EVERY) {
            return None;
        }
        counted.told = Some(now);
        Some(std::mem::take(&mut counted.requests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_told_at_once_and_then_now_and_then_with_their_number() {
        let unserved = Unserved::default();
        let now = Instant::now();
        assert_eq!(unserved.count(now), Some(1));
        for _ in 0..1000 {
            assert_eq!(unserved.count(now), None);
        }
        assert_eq!(unserved.count(now + TELL_EVERY), Some(1001));
        assert_eq!(unserved.count(now + TELL_EVERY), None);
    }
}
