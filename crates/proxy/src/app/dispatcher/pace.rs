//! How long requests take, as far as it decides about prefetch.

/// Requests seen before anything is concluded.
const SAMPLES_MIN: u32 = 32;

/// Prefetch only while the mean is below this...
const MEAN_MAX_NS: u64 = 500_000;

/// ...and nothing recent took longer than this: a request that waits behind another inside a worker waits this long at
/// worst before it can be recalled or run.
const LONGEST_MAX_NS: u64 = 2_000_000;

/// How long the longest time is remembered, once or twice over.
const MEMORY_NS: u64 = 1_000_000_000;

/// Fewest and most requests that wait inside a worker.
const DEPTH: std::ops::RangeInclusive<u64> = 8..=64;

/// Recent service times of one app.
#[derive(Debug, Default)]
pub(super) struct Pace {
    samples: u32,
    mean_ns: u64,
    longest_ns: u64,
    longest_before_ns: u64,
    turned_ns: u64,
}

impl Pace {
    /// A request took this long in its worker's thread.
    pub(super) fn observe(&mut self, took_ns: u64, now_ns: u64) {
        if now_ns.saturating_sub(self.turned_ns) > MEMORY_NS {
            self.longest_before_ns = self.longest_ns;
            self.longest_ns = 0;
            self.turned_ns = now_ns;
        }
        self.longest_ns = self.longest_ns.max(took_ns);
        if self.samples == 0 {
            self.mean_ns = took_ns;
        }
        self.samples = self.samples.saturating_add(1);
        // An exponential mean over about 16 requests; cut so that one outlier does not overflow it.
        let took_ns = took_ns.min(u64::MAX / 32);
        self.mean_ns = (self.mean_ns / 16 * 15).saturating_add(self.mean_ns % 16 * 15 / 16) + took_ns / 16;
    }

    /// How many requests may wait in a worker beyond those it runs.
    pub(super) fn depth(&self) -> usize {
        let longest_ns = self.longest_ns.max(self.longest_before_ns);
        if self.samples < SAMPLES_MIN || self.mean_ns > MEAN_MAX_NS || longest_ns > LONGEST_MAX_NS {
            return 0;
        }
        let depth = LONGEST_MAX_NS / self.mean_ns.max(1);
        depth.clamp(*DEPTH.start(), *DEPTH.end()) as usize
    }

    /// Recent mean in nanoseconds.
    pub(super) fn mean_ns(&self) -> u64 {
        self.mean_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetch_needs_many_tiny_requests() {
        let mut pace = Pace::default();
        for n in 0..31 {
            pace.observe(50_000, n);
        }
        assert_eq!(pace.depth(), 0);
        pace.observe(50_000, 31);
        assert!((8..=64).contains(&pace.depth()));
    }

    #[test]
    fn one_slow_request_stops_prefetch_for_a_while() {
        let mut pace = Pace::default();
        for n in 0..100 {
            pace.observe(50_000, n);
        }
        pace.observe(10_000_000, 100);
        for n in 0..100 {
            pace.observe(50_000, 1000 + n);
        }
        assert_eq!(pace.depth(), 0);
        for second in 1..=3 {
            for n in 0..100 {
                pace.observe(50_000, second * 1_500_000_000 + n);
            }
        }
        assert!(pace.depth() >= 8);
    }

    #[test]
    fn a_slow_app_gets_no_prefetch() {
        let mut pace = Pace::default();
        for n in 0..1000 {
            pace.observe(u64::MAX, n);
            pace.observe(1_500_000, n);
        }
        assert_eq!(pace.depth(), 0);
    }
}
