//! Letting busy workers run.
//!
//! On a loaded machine every packet of a client wakes the front, which then takes the processor from a worker only to put one more
//! request into a queue that is full anyway: with Flask on one core that was 7,000 switches per second. So while every
//! worker has work ahead of it, a front thread that has nothing left to do waits for a worker to say something before it
//! looks at its clients again, and finds several requests where there would have been one each time. A worker speaks at the
//! latest when it has run out of work, so no request of a busy app is answered later for it; whatever else the thread serves
//! may wait for [`LULL_MAX`] once, and for [`LULL_SHORT`] while it goes on.

use std::{
    cell::{Cell, RefCell},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::unix_socket::UnixSocket;

/// How soon an app has to be looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Need {
    /// It has no workers.
    None,
    /// A worker could have nothing to do.
    Prompt,
    /// All workers have enough to do.
    Patient,
}

/// What an app needs at present, where the front threads see it.
#[derive(Debug)]
pub(crate) struct Needs(AtomicU8);

impl Needs {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(Need::None as u8)))
    }

    pub(super) fn set(&self, need: Need) {
        let need = need as u8;
        // All front threads read it all the time.
        if self.0.load(Ordering::Relaxed) != need {
            self.0.store(need, Ordering::Relaxed);
        }
    }

    fn is(&self, need: Need) -> bool {
        self.0.load(Ordering::Relaxed) == need as u8
    }
}

/// The front threads and apps of a process.
#[derive(Debug)]
pub(crate) struct Lull {
    apps: OnceLock<Vec<Arc<Needs>>>,
    sleepers: Vec<Sleeper>,
}

/// One front thread.
#[derive(Debug)]
struct Sleeper {
    asleep: AtomicBool,
    /// Ends its lull.
    bell: OwnedFd,
}

impl Lull {
    /// For so many front threads.
    pub(crate) fn new(threads: usize) -> rustix::io::Result<Self> {
        let sleeper = |_| {
            Ok(Sleeper {
                asleep: AtomicBool::new(false),
                bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            })
        };
        Ok(Self {
            apps: OnceLock::new(),
            sleepers: (0..threads).map(sleeper).collect::<rustix::io::Result<_>>()?,
        })
    }

    /// Sets the apps, once.
    pub(crate) fn watch(&self, apps: Vec<Arc<Needs>>) {
        // A second call would change nothing, and there is none.
        let _ = self.apps.set(apps);
    }

    /// This front thread has nothing left to do: waits for a worker if all of them are busy.
    pub(crate) fn pause(&self, thread: usize) {
        if let Some(sleeper) = self.sleepers.get(thread)
            && self.apps.get().is_some_and(|apps| is_called_for(apps))
        {
            let longest = if OTHER_WORK.replace(false) {
                &LULL_SHORT
            } else {
                &LULL_MAX
            };
            sleeper.sleep(longest);
        }
    }

    /// Another thread has made something ready for this one or that: a lull of theirs is over.
    pub(super) fn end_others(&self) {
        for sleeper in &self.sleepers {
            // A thread that falls asleep at this very moment misses it, and wakes by itself soon enough.
            if sleeper.asleep.load(Ordering::Relaxed) {
                let _ = rustix::io::write(&sleeper.bell, &1u64.to_ne_bytes());
            }
        }
    }
}

impl Sleeper {
    fn sleep(&self, longest: &Timespec) {
        let links = LINKS.with_borrow_mut(|links| {
            links.retain(|link| link.strong_count() > 0);
            links.iter().filter_map(Weak::upgrade).collect::<Vec<_>>()
        });
        let mut ready: Vec<_> = links
            .iter()
            .map(|link| PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN))
            .collect();
        ready.push(PollFd::new(&self.bell, PollFlags::IN));
        self.asleep.store(true, Ordering::Relaxed);
        // A signal or a failure only makes the lull shorter.
        let _ = poll(&mut ready, Some(longest));
        self.asleep.store(false, Ordering::Relaxed);
        if ready.last().is_some_and(|bell| !bell.revents().is_empty()) {
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        }
    }
}

/// A link that this thread reads: what comes from it ends a lull.
pub(super) fn listen_to(link: &Arc<UnixSocket>) {
    LINKS.with_borrow_mut(|links| links.push(Arc::downgrade(link)));
}

/// This thread serves something that no worker has a part in: it is not to wait for long.
pub(crate) fn other_work() {
    OTHER_WORK.set(true);
}

thread_local! {
    static OTHER_WORK: Cell<bool> = const { Cell::new(false) };
    static LINKS: RefCell<Vec<Weak<UnixSocket>>> = const { RefCell::new(Vec::new()) };
}

/// Is at least one app busy, and every other one too?
fn is_called_for(apps: &[Arc<Needs>]) -> bool {
    let mut busy = false;
    for app in apps {
        if app.is(Need::Prompt) {
            return false;
        }
        busy |= app.is(Need::Patient);
    }
    busy
}

/// The longest lull of a thread that has served nothing but apps since its last one.
const LULL_MAX: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};

/// The longest lull of any other.
const LULL_SHORT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 500_000,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_app_with_an_idle_worker_is_enough_to_stay_awake() {
        let apps = [Needs::new(), Needs::new()];
        assert!(!is_called_for(&apps));
        apps[0].set(Need::Patient);
        assert!(is_called_for(&apps));
        apps[1].set(Need::Prompt);
        assert!(!is_called_for(&apps));
        apps[1].set(Need::Patient);
        assert!(is_called_for(&apps));
    }

    #[tokio::test]
    async fn a_worker_that_speaks_ends_the_lull() {
        let lull = Lull::new(1).unwrap();
        let needs = Needs::new();
        needs.set(Need::Patient);
        lull.watch(vec![Arc::clone(&needs)]);
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        let near = Arc::new(UnixSocket::new(near.into()).unwrap());
        listen_to(&near);
        let pauses = |count: u32| {
            let start = std::time::Instant::now();
            (0..count).for_each(|_| lull.pause(0));
            start.elapsed()
        };
        let longest = std::time::Duration::from_nanos(LULL_MAX.tv_nsec as u64);
        assert!(pauses(10) >= 10 * longest);
        std::io::Write::write_all(&mut far, b"x").unwrap();
        assert!(pauses(1000) < 1000 * longest, "it waits although a worker spoke");
        drop(near);
        assert!(pauses(10) >= 10 * longest, "a link that is gone does not count");
        needs.set(Need::Prompt);
        assert!(pauses(1000) < 1000 * longest);
    }
}
