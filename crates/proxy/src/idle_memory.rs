//! Memory that a crowd needed goes back to the system once the crowd is gone.
//!
//! The allocator keeps what was freed: after eight thousand connections a proxy held 135 MB of which it used
//! 5. Giving it back means a walk over the whole heap, so this is done only where it can pay (the process has
//! grown and has worked since the last time) and nobody waits for it (it is quiet now).

use std::{
    fs,
    sync::Weak,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use tokio::{
    runtime::Handle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::os;

/// How often we look. Idle memory is back within two or three looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(8);

/// A process that worked less than this since the last walk has freed next to nothing: to end a thousand
/// streams takes more.
const WORK_MIN: Duration = Duration::from_millis(1);

/// A process that uses less of its time than one part in so many is quiet.
const QUIET_PART: u32 = 5;

/// Growth that is worth a walk: so much, and in a process that uses little, one part in so many of it.
const GROWTH_BYTES: u64 = 2 << 20;
const GROWTH_PART: u64 = 2;

/// How long a thread may take to look after what is kept for it.
const RENEWAL_TIME: Duration = Duration::from_millis(100);

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
        let work = work(UsageWho::RUSAGE_SELF)?;
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        let mut pages = statm.split(' ').skip(1).map(str::parse::<u64>);
        let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
        Some(Self {
            at: Instant::now(),
            work,
            resident_bytes: resident.saturating_sub(shared) * rustix::param::page_size() as u64,
        })
    }
}

/// Processor time so far.
fn work(of: UsageWho) -> Option<Duration> {
    let usage = getrusage(of).ok()?;
    let time = |time: TimeVal| {
        let micros = time.tv_sec().saturating_mul(1_000_000) + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    Some(time(usage.user_time()) + time(usage.system_time()))
}

/// Decides when a walk over the heap pays.
#[derive(Debug)]
struct Trimmer {
    last: Look,
    /// Work done when the last walk began, and by it; or by the start.
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
        let growth = GROWTH_BYTES.min(self.least_bytes / GROWTH_PART);
        let grown = look.resident_bytes.saturating_sub(self.least_bytes) >= growth;
        let worked = look.work.saturating_sub(self.walked_work) >= WORK_MIN;
        let pays = quiet && grown && worked;
        if pays {
            self.walked_work = look.work;
        }
        pays
    }

    /// A walk has ended that was so much work itself.
    fn walked(&mut self, work: Duration) {
        self.walked_work += work;
    }
}

/// Looks after the memory of this process, whose threads run these, while `alive` is there.
pub(crate) async fn look_after<T>(alive: Weak<T>, threads: Vec<Handle>) {
    let Some(first) = Look::now() else { return };
    let mut trimmer = Trimmer::new(first);
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut walking: Option<JoinHandle<Duration>> = None;
    loop {
        looks.tick().await;
        if alive.strong_count() == 0 {
            return;
        }
        match walking.take_if(|walk| walk.is_finished()).map(JoinHandle::join) {
            Some(work) => trimmer.walked(work.unwrap_or_default()),
            None if walking.is_some() => continue,
            None => {}
        }
        if Look::now().is_some_and(|look| trimmer.pays(look)) {
            let renewed: Vec<_> = threads
                .iter()
                .map(|thread| thread.spawn(async { os::renew_kept() }))
                .collect();
            for renewed in renewed {
                // One that is busy, or has ended, holds nothing up.
                let _ = timeout(RENEWAL_TIME, renewed).await;
            }
            // On a thread of its own: the walk takes milliseconds, and requests do not wait for it. Without a
            // thread there is no walk.
            walking = thread::Builder::new().name("trim".into()).spawn(walk).ok();
        }
    }
}

/// Gives back what is free; how much work was it?
fn walk() -> Duration {
    os::trim();
    work(UsageWho::RUSAGE_THREAD).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    const KIB: u64 = 1 << 10;

    /// What a walk costs here.
    const WALK: Duration = Duration::from_millis(3);

    /// Whether a walk pays at each look: milliseconds worked since the last one, and MiB in use.
    fn walks(looks: &[(f64, u64)]) -> Vec<bool> {
        walks_from(
            5 * MIB,
            &looks.iter().map(|(ms, mib)| (*ms, mib * MIB)).collect::<Vec<_>>(),
        )
    }

    /// The same in bytes, of a process that began with so many.
    fn walks_from(first_bytes: u64, looks: &[(f64, u64)]) -> Vec<bool> {
        let mut look = Look {
            at: Instant::now(),
            work: Duration::from_millis(30),
            resident_bytes: first_bytes,
        };
        let mut trimmer = Trimmer::new(look);
        let step = |&(worked_ms, bytes): &(f64, u64)| {
            look.at += LOOK_INTERVAL;
            look.work += Duration::from_secs_f64(worked_ms / 1e3);
            look.resident_bytes = bytes;
            let pays = trimmer.pays(look);
            if pays {
                look.work += WALK;
                trimmer.walked(WALK);
            }
            pays
        };
        looks.iter().map(step).collect()
    }

    #[test]
    fn memory_goes_back_when_the_crowd_is_gone() {
        let looks = [(8000.0, 100), (8000.0, 135), (20.0, 135), (0.0, 6), (0.0, 6)];
        assert_eq!(walks(&looks), [false, false, true, false, false]);
    }

    #[test]
    fn an_idle_process_is_left_in_peace() {
        assert_eq!(walks(&[(0.0, 5), (0.1, 5), (0.1, 6), (0.1, 100)]), [false; 4]);
    }

    #[test]
    fn memory_that_is_in_use_is_looked_at_again_only_after_work() {
        let looks = [(500.0, 100), (0.0, 100), (0.2, 100), (30.0, 100), (0.0, 100)];
        assert_eq!(walks(&looks), [true, false, false, true, false]);
    }

    #[test]
    fn a_busy_process_is_not_walked_over() {
        assert_eq!(
            walks(&[(4000.0, 50), (1700.0, 60), (1500.0, 60)]),
            [false, false, true]
        );
    }

    #[test]
    fn a_crowd_that_was_looked_at_while_it_was_there_is_gone_in_a_moment() {
        let looks = [(800.0, 100), (0.1, 100), (4.0, 100), (0.1, 6)];
        assert_eq!(walks(&looks), [true, false, true, false]);
    }

    #[test]
    fn a_process_that_uses_little_never_keeps_twice_as_much() {
        let idle = 1500 * KIB;
        let looks = [(50.0, 2200 * KIB), (50.0, 2300 * KIB), (50.0, 1600 * KIB)];
        assert_eq!(walks_from(idle, &looks), [false, true, false]);
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
