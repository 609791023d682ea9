//! How soon an app has to be looked after.

use super::Dispatcher;
use crate::app::lull::Need;

impl<T: Clone> Dispatcher<T> {
    /// Is there a worker that could run out of work, or does each have enough of it for a while?
    pub(crate) fn need(&self) -> Need {
        let (window, mean_ns) = (self.rules.window, self.pace.mean_ns());
        let mut need = Need::None;
        for link in self.links.iter().flatten() {
            let ahead = link.in_flight.saturating_sub(window) as u64;
            if link.ready && ahead.saturating_mul(mean_ns) >= AHEAD_NS {
                need = Need::Patient;
            } else if link.ready || link.in_flight > 0 {
                return Need::Prompt;
            }
        }
        need
    }
}

/// Enough that the worker will not wait for us when it has sent its answers; with less, front and worker are at work in turn.
const AHEAD_NS: u64 = 1_000_000;
