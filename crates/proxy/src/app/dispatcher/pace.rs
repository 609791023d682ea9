//! How long requests take, as far as it decides about prefetch.
//!
//! Service times are wall-clock: on a busy machine a tiny request now and then takes milliseconds because its thread was
//! preempted. Such an outlier must not stop prefetch, or a loaded server would pay a wake-up per request exactly when it
//! can least afford it; what waits behind it is taken back as soon as another worker is free. Slow requests that keep
//! coming must stop it. So the mean is taken of capped times, and slow ones are counted apart.

/// Requests seen before anything is concluded.
const SAMPLES_MIN: u32 = 32;

/// Prefetch only while the mean is below this...
const MEAN_MAX_NS: u64 = 1_000_000;

/// ...and what takes longer than this...
const SLOW_NS: u64 = 2_000_000;

/// ...is rarer than one in this many.
const SLOW_RARITY: u64 = 20;

/// Weight of the newest request in both, one part in this many.
const SPAN: u64 = 64;

/// What counts as one in the fixed-point share of slow requests.
const ONE: u64 = 1 << 20;

/// What waits inside a worker is work for so long...
const WORK_AHEAD_NS: u64 = 6_000_000;

/// ...but at least and at most so many requests.
const DEPTH: std::ops::RangeInclusive<u64> = 8..=64;

/// Recent service times of one app.
#[derive(Debug, Default)]
pub(super) struct Pace {
    samples: u32,
    mean_ns: u64,
    /// Mean of the times, each counted as [`SLOW_NS`] at most.
    capped_ns: u64,
    /// Share of slow requests, in parts of [`ONE`].
    slow: u64,
}

impl Pace {
    /// A request took this long in its worker's thread.
    pub(super) fn observe(&mut self, took_ns: u64) {
        // Cut so that the sums below cannot overflow.
        let took_ns = took_ns.min(u64::MAX / (2 * SPAN));
        let capped_ns = took_ns.min(SLOW_NS);
        if self.samples == 0 {
            (self.mean_ns, self.capped_ns) = (took_ns, capped_ns);
        }
        self.samples = self.samples.saturating_add(1);
        self.mean_ns = (self.mean_ns * (SPAN - 1) + took_ns) / SPAN;
        self.capped_ns = (self.capped_ns * (SPAN - 1) + capped_ns) / SPAN;
        let slow = if took_ns > SLOW_NS { ONE } else { 0 };
        self.slow = (self.slow * (SPAN - 1) + slow) / SPAN;
    }

    /// How many requests may wait in a worker beyond those it runs.
    pub(super) fn depth(&self) -> usize {
        if self.samples < SAMPLES_MIN || self.capped_ns > MEAN_MAX_NS || self.slow > ONE / SLOW_RARITY {
            return 0;
        }
        let depth = WORK_AHEAD_NS / self.capped_ns.max(1);
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

    fn after(times_ns: impl IntoIterator<Item = u64>) -> Pace {
        let mut pace = Pace::default();
        for took_ns in times_ns {
            pace.observe(took_ns);
        }
        pace
    }

    #[test]
    fn prefetch_needs_many_tiny_requests() {
        assert_eq!(after([50_000; 31]).depth(), 0);
        assert!((8..=64).contains(&after([50_000; 32]).depth()));
    }

    #[test]
    fn one_preempted_request_does_not_stop_prefetch() {
        let times = (0..1000).map(|n| if n % 100 == 99 { 10_000_000 } else { 100_000 });
        assert!(after(times).depth() >= 8);
    }

    #[test]
    fn slow_requests_that_keep_coming_stop_it_until_they_end() {
        let mixed = (0..1000).map(|n| if n % 10 == 9 { 10_000_000 } else { 100_000 });
        let mut pace = after(mixed);
        assert_eq!(pace.depth(), 0);
        for _ in 0..300 {
            pace.observe(100_000);
        }
        assert!(pace.depth() >= 8);
    }

    #[test]
    fn a_slow_app_gets_no_prefetch() {
        assert_eq!(after([u64::MAX, 1_500_000].repeat(500)).depth(), 0);
        assert_eq!(after([1_100_000; 1000]).depth(), 0);
    }
}
