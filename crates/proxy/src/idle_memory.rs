//! Memory that a crowd needed goes back to the system once the crowd is gone.
//!
//! The allocator keeps what was freed: after eight thousand connections a proxy held 135 MB of which it used
//! 5. Giving it back means a walk over the whole heap, so this is done only where it can pay (the process has
//! grown and has worked since the last time) and nobody waits for it (it is quiet now).

use std::{
    fs,
    sync::Weak,
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use tokio::time::{MissedTickBehavior, interval};

use crate::os;

/// How often we look. Idle memory is back within two or three looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(8);

/// A process that worked less than this since the last walk has freed next to nothing.
const WORK_MIN: Duration = Duration::from_millis(10);

/// A process that uses less of its time than one part in so many is quiet.
const QUIET_PART: u32 = 5;

/// Growth that is worth a walk.
const GROWTH_BYTES: u64 = 2 << 20;

/// What one look sees.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    /// Processor time of the process so far.
    work: Duration,
    /// Private memory that it has in RAM.
    resident_bytes: u64,
}

impl Look {
    /// `None` where the system does not tell (no /proc).
    fn now() -> Option<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let time = |time: nix::sys::time::TimeVal| {
            let micros = time.tv_sec().saturating_mul(1_000_000) + time.tv_usec();
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        };
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        let mut pages = statm.split(' ').skip(1).map(str::parse::<u64>);
        let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
        Some(Self {
            at: Instant::now(),
            work: time(usage.user_time()) + time(usage.system_time()),
            resident_bytes: resident.saturating_sub(shared) * rustix::param::page_size() as u64,
        })
    }
}

/// Decides when a walk over the heap pays.
#[derive(Debug)]
struct Trimmer {
    last: Look,
    /// Work done by the last walk, or by the start.
    walked_work: Duration,
    /// The least that was ever in use.
    least_bytes: u64,
}

impl Trimmer {
    fn new(first: Look) -> Self {
        Self {
            last: first,
            walked_work: first.work,
            least_bytes: first.resident_bytes,
        }
    }

    /// Is it worth a walk now?
    fn pays(&mut self, look: Look) -> bool {
        let since = look.at.saturating_duration_since(self.last.at);
        let quiet = look.work.saturating_sub(self.last.work) * QUIET_PART < since;
        self.last = look;
        self.least_bytes = self.least_bytes.min(look.resident_bytes);
        let grown = look.resident_bytes.saturating_sub(self.least_bytes) >= GROWTH_BYTES;
        let worked = look.work.saturating_sub(self.walked_work) >= WORK_MIN;
        let pays = quiet && grown && worked;
        if pays {
            self.walked_work = look.work;
        }
        pays
    }
}

/// Looks after the memory of this process while `alive` is there.
pub(crate) async fn look_after<T>(alive: Weak<T>) {
    let Some(first) = Look::now() else { return };
    let mut trimmer = Trimmer::new(first);
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if alive.strong_count() == 0 {
            return;
        }
        if Look::now().is_some_and(|look| trimmer.pays(look)) {
            // On a thread of its own: the walk takes milliseconds, and requests do not wait for it. Without a
            // thread there is no walk.
            let walk = thread::Builder::new().name("trim".into());
            let _ = walk.spawn(os::trim);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Whether a walk pays at each look: milliseconds worked since the last one, and MiB in use.
    fn walks(looks: &[(u64, u64)]) -> Vec<bool> {
        let mut look = Look {
            at: Instant::now(),
            work: Duration::from_millis(30),
            resident_bytes: 5 * MIB,
        };
        let mut trimmer = Trimmer::new(look);
        let step = |&(worked_ms, mib): &(u64, u64)| {
            look.at += LOOK_INTERVAL;
            look.work += Duration::from_millis(worked_ms);
            look.resident_bytes = mib * MIB;
            trimmer.pays(look)
        };
        looks.iter().map(step).collect()
    }

    #[test]
    fn memory_goes_back_when_the_crowd_is_gone() {
        let looks = [(8000, 100), (8000, 135), (20, 135), (0, 6), (0, 6)];
        assert_eq!(walks(&looks), [false, false, true, false, false]);
    }

    #[test]
    fn an_idle_process_is_left_in_peace() {
        assert_eq!(walks(&[(0, 5), (1, 5), (1, 6), (1, 100)]), [false; 4]);
    }

    #[test]
    fn memory_that_is_in_use_is_looked_at_again_only_after_work() {
        let looks = [(500, 100), (0, 100), (2, 100), (30, 100), (0, 100)];
        assert_eq!(walks(&looks), [true, false, false, true, false]);
    }

    #[test]
    fn a_busy_process_is_not_walked_over() {
        assert_eq!(walks(&[(4000, 50), (1700, 60), (1500, 60)]), [false, false, true]);
    }

    #[test]
    fn a_look_sees_this_process() {
        let look = Look::now().expect("there is a /proc here");
        assert!(
            look.resident_bytes > 100 << 10 && look.work > Duration::ZERO,
            "{look:?}"
        );
    }
}
