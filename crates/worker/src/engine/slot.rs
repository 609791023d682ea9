//! One host thread's place in the engine.

use std::{
    os::fd::OwnedFd,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use rustix::event::{EventfdFlags, eventfd};

use super::lock;

/// What others need to know of a host thread, and where they leave word for it.
#[derive(Debug)]
pub(crate) struct Slot {
    running: Mutex<Running>,
    /// Nobody waits for the answer of the running request any more.
    cancelled: AtomicBool,
    /// Readable when credit or a cancellation has come.
    pub(crate) word: OwnedFd,
    /// The kernel's id of the thread.
    pub(crate) thread: AtomicU32,
    /// Python's id of the thread.
    pub(crate) ident: AtomicU64,
}

/// The stream that runs and what the proxy has granted for it since the thread last asked.
#[derive(Debug, Default)]
struct Running {
    stream: Option<(u32, u32)>,
    credit: u64,
    /// We have raised an exception in it.
    interrupted: bool,
}

impl Slot {
    pub(crate) fn new() -> rustix::io::Result<Self> {
        Ok(Self {
            running: Mutex::default(),
            cancelled: AtomicBool::new(false),
            word: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            thread: AtomicU32::new(0),
            ident: AtomicU64::new(0),
        })
    }

    /// The thread takes a stream of a link.
    #[inline]
    pub(crate) fn begin(&self, link: u32, stream: u32) {
        let mut running = lock(&self.running);
        *running = Running {
            stream: Some((link, stream)),
            // The exchange has the window itself; this is what is granted beyond it.
            credit: 0,
            interrupted: false,
        };
        self.cancelled.store(false, Ordering::Relaxed);
    }

    /// The stream is over.
    #[inline]
    pub(crate) fn end(&self) {
        lock(&self.running).stream = None;
    }

    /// Notes that the request that runs is interrupted by us; `false`: none runs.
    pub(crate) fn interrupt(&self) -> bool {
        let mut running = lock(&self.running);
        running.interrupted = running.stream.is_some();
        running.interrupted
    }

    /// Have we interrupted the request that runs?
    pub(crate) fn was_interrupted(&self) -> bool {
        lock(&self.running).interrupted
    }

    /// All credit there is, at most `wanted`.
    #[inline]
    pub(crate) fn take_credit(&self, wanted: u64) -> u64 {
        let mut running = lock(&self.running);
        let taken = running.credit.min(wanted);
        running.credit -= taken;
        taken
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Credit for a stream; `false`: it is not ours.
    pub(crate) fn grant(&self, link: u32, stream: u32, credit: u32) -> bool {
        let mut running = lock(&self.running);
        if running.stream != Some((link, stream)) {
            return false;
        }
        running.credit = running.credit.saturating_add(u64::from(credit));
        drop(running);
        self.notify();
        true
    }

    /// Nobody waits for this stream (`None`: for any stream of this link) any more; `false`: it is not ours.
    pub(crate) fn cancel(&self, link: u32, stream: Option<u32>) -> bool {
        // The lock is held over the store, so a stream that begins meanwhile is not cancelled in its place.
        let running = lock(&self.running);
        let ours = running
            .stream
            .is_some_and(|(of, number)| of == link && stream.is_none_or(|stream| stream == number));
        if ours {
            self.cancelled.store(true, Ordering::Relaxed);
        }
        drop(running);
        if ours {
            self.notify();
        }
        ours
    }

    fn notify(&self) {
        // Can only fail when the counter is full, and then it is readable anyway.
        let _ = rustix::io::write(&self.word, &1u64.to_ne_bytes());
    }

    /// Takes the word back, before looking at what it was about.
    pub(crate) fn heard(&self) {
        let _ = rustix::io::read(&self.word, &mut [0u8; 8]);
    }
}
