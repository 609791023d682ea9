//! The shared page of one link: who has started what.
//!
//! A page is a small shared memory file, mapped by the proxy and by the worker of one link. Each request in flight has one
//! entry of four words. The proxy writes `sent` when it hands the request over; the worker turns `sent` into `claimed`
//! before it runs it; the proxy may turn `sent` into `recalled` and give the request to somebody else. Both use
//! compare-and-swap on one word that also holds the stream, so exactly one of them wins and an entry that was used again
//! cannot be mistaken. The page survives the worker, so the proxy can tell what a dead worker had started.
//!
//! Mapping is not done here: [`Page`] works on any slice of atomic words.

use std::sync::atomic::{AtomicU64, Ordering};

/// Words of one entry: state and stream, start time, thread, one in reserve.
pub const ENTRY_WORDS: usize = 4;

/// Bytes of one entry.
pub const ENTRY_LEN: usize = ENTRY_WORDS * 8;

const SENT: u64 = 1;
const CLAIMED: u64 = 2;
const RECALLED: u64 = 3;

/// A view of a link page.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Page<'a> {
    /// A view of these words; what is left behind the last whole entry is not used.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// Number of entries.
    pub fn entries(self) -> usize {
        self.words.len() / ENTRY_WORDS
    }

    #[inline]
    fn word(self, entry: u16, word: usize) -> Option<&'a AtomicU64> {
        self.words.get(usize::from(entry) * ENTRY_WORDS + word)
    }

    #[inline]
    fn swap(self, entry: u16, stream: u32, from: u64, to: u64) -> bool {
        let stream = u64::from(stream) << 8;
        self.word(entry, 0).is_some_and(|state| {
            state
                .compare_exchange(stream | from, stream | to, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        })
    }

    /// Proxy: the request is about to be handed over.
    pub fn send(self, entry: u16, stream: u32) {
        if let (Some(state), Some(start)) = (self.word(entry, 0), self.word(entry, 1)) {
            start.store(0, Ordering::Relaxed);
            state.store(u64::from(stream) << 8 | SENT, Ordering::Release);
        }
    }

    /// Worker: about to run the request. `false`: it was taken back, forget it. `now_ns` is CLOCK_MONOTONIC, `thread` the
    /// kernel's thread id.
    pub fn claim(self, entry: u16, stream: u32, now_ns: u64, thread: u32) -> bool {
        if !self.swap(entry, stream, SENT, CLAIMED) {
            return false;
        }
        // Only the claimer writes these two, and only now that the entry is its own.
        if let (Some(start), Some(id)) = (self.word(entry, 1), self.word(entry, 2)) {
            id.store(u64::from(thread), Ordering::Relaxed);
            start.store(now_ns, Ordering::Release);
        }
        true
    }

    /// Proxy: take a request back. `true`: the worker will never run it. `false`: it has started, or ended.
    pub fn recall(self, entry: u16, stream: u32) -> bool {
        self.swap(entry, stream, SENT, RECALLED)
    }

    /// Proxy: is the entry as [`Page::send`] left it? If not, the worker has started the request, or has
    /// written something that is no state; in both cases the request cannot be taken back.
    pub fn untouched(self, entry: u16, stream: u32) -> bool {
        self.word(entry, 0)
            .is_some_and(|state| state.load(Ordering::Acquire) == u64::from(stream) << 8 | SENT)
    }

    /// Proxy: has the worker started the request?
    pub fn claimed(self, entry: u16, stream: u32) -> bool {
        self.word(entry, 0)
            .is_some_and(|state| state.load(Ordering::Acquire) == u64::from(stream) << 8 | CLAIMED)
    }

    /// Proxy: when the worker started the request, CLOCK_MONOTONIC nanoseconds; `None` when it has not.
    pub fn started_ns(self, entry: u16, stream: u32) -> Option<u64> {
        if !self.claimed(entry, stream) {
            return None;
        }
        self.word(entry, 1)
            .map(|start| start.load(Ordering::Acquire))
            .filter(|&ns| ns != 0)
    }

    /// Kernel's id of the thread that runs the request; `None` when it has not started.
    pub fn thread(self, entry: u16, stream: u32) -> Option<u32> {
        self.started_ns(entry, stream)?;
        let thread = self.word(entry, 2)?.load(Ordering::Relaxed);
        u32::try_from(thread).ok()
    }

    /// Proxy: the request is over, the entry is free.
    pub fn free(self, entry: u16) {
        if let Some(state) = self.word(entry, 0) {
            state.store(0, Ordering::Release);
        }
    }
}
