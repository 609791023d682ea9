//! Memory that bodies share once one of them has used up its own.
//!
//! A body of a megabyte from or to a fast client waits for a few milliseconds: writing it to a file and reading it back would cost
//! more than all the rest of its way. So as long as few such bodies are about they wait in memory. Many slow clients use
//! this up, and what is beyond it goes to disk as ever.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// One body cannot have all of it.
pub(super) const SHARE_MAX: usize = 4 << 20;

/// What is left of it, of the whole process.
#[derive(Debug)]
pub(crate) struct Spare(AtomicUsize);

impl Spare {
    /// So many bytes.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    /// A share of it, of nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share {
            spare: Arc::clone(self),
            bytes: 0,
        }
    }
}

/// What one body has of it; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    spare: Arc<Spare>,
    bytes: usize,
}

impl Share {
    /// Makes it so many bytes; `false`, and unchanged, when there is not as much.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        (bytes <= SHARE_MAX || bytes <= self.bytes) && self.resize_beyond(bytes)
    }

    /// The same for a body that has nowhere else to wait: it may have all there is.
    pub(super) fn resize_beyond(&mut self, bytes: usize) -> bool {
        let left = &self.spare.0;
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let take = |left: usize| left.checked_sub(more);
            if left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_err()
            {
                return false;
            }
        } else {
            left.fetch_add(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_had_again_and_nobody_gets_all() {
        let spare = Spare::new(2 * SHARE_MAX + 100);
        assert!(!spare.share().resize(SHARE_MAX + 1));
        let mut shares: Vec<Share> = Vec::new();
        for _ in 0..2 {
            let mut share = spare.share();
            assert!(share.resize(SHARE_MAX));
            shares.push(share);
        }
        let mut last = spare.share();
        assert!(last.resize(100) && !last.resize(101));
        shares.clear();
        for _ in 0..1000 {
            let mut share = spare.share();
            assert!(share.resize(1 << 10) && share.resize(10) && share.resize(20));
        }
        assert!(last.resize(SHARE_MAX) && last.resize_beyond(SHARE_MAX + 50));
        assert!(!last.resize(SHARE_MAX + 60) && last.resize(SHARE_MAX + 10) && last.resize(0));
        assert_eq!(spare.0.load(Ordering::Relaxed), 2 * SHARE_MAX + 100);
    }
}
