//! How fast a client sends its body.

use std::time::Duration;

use config::Limits;
use tokio::time::Instant;

/// Holds a body to the listener's limits: no pause longer than `body_timeout`, and after that much waiting at least
/// `body_rate_min` bytes per second. Only the time spent waiting for the client counts, not the time in which nobody
/// wanted more of the body.
#[derive(Debug)]
pub(crate) struct Pace {
    timeout: Duration,
    rate_min: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    bytes: u64,
}

/// The client is below the minimum rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BelowRate;

impl Pace {
    /// Nothing has been waited for yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            timeout: limits.body_timeout,
            rate_min: limits.body_rate_min,
            waited: Duration::ZERO,
            waiting_since: None,
            bytes: 0,
        }
    }

    /// The longest pause.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A wait begins, or goes on after its future was dropped; says when it has been too long.
    pub(crate) fn wait(&mut self, now: Instant) -> Instant {
        *self.waiting_since.get_or_insert(now) + self.timeout
    }

    /// Bytes have come.
    pub(crate) fn arrived(&mut self, bytes: usize, now: Instant) -> Result<(), BelowRate> {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.bytes += bytes as u64;
        let due = u128::from(self.rate_min) * self.waited.as_millis();
        if self.waited > self.timeout && u128::from(self.bytes) * 1000 < due {
            Err(BelowRate)
        } else {
            Ok(())
        }
    }
}
