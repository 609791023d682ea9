//! Memory that bodies share once one of them has used up its own.
//!
//! A body of a megabyte from or to a fast client waits for a few milliseconds: writing it to a file and reading it back would cost
//! more than all the rest of its way. So as long as few such bodies are about they wait in memory. Many slow clients use
//! this up, and what is beyond it goes to disk as ever.
//!
//! What bodies have of their own is counted as well. Each of thousands of streams whose clients take nothing
//! would have its own, so that past as much again they have nothing of their own but a few kilobytes, and go
//! to disk at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// One body cannot have all of it.
pub(super) const SHARE_MAX: usize = 4 << 20;

/// A body may have so much of its own in any case. It is not counted: a count that all threads share would
/// cost small answers more than it bounds.
pub(super) const FREE_BYTES: usize = 16 << 10;

/// What bodies have of their own is not held to less than this, all together.
const OWN_MIN: usize = 16 << 20;

/// What is left of it, of the whole process.
#[derive(Debug)]
pub(crate) struct Spare {
    shared: AtomicUsize,
    /// Of what bodies may have of their own.
    own: AtomicUsize,
}

impl Spare {
    /// So many bytes.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            shared: AtomicUsize::new(bytes),
            own: AtomicUsize::new(bytes.max(OWN_MIN)),
        })
    }

    /// A share of it, of nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share {
            spare: Arc::clone(self),
            bytes: 0,
            own_bytes: 0,
        }
    }
}

/// What one body has of it; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    spare: Arc<Spare>,
    bytes: usize,
    own_bytes: usize,
}

impl Share {
    /// For a body of which so many bytes are in memory, and up to `own_max` of them its own: takes what is
    /// beyond that, and counts the others. `false`, and nothing changed, when there is not as much.
    pub(super) fn hold(&mut self, own_max: usize, bytes: usize) -> bool {
        let own_bytes = bytes.min(own_max).saturating_sub(FREE_BYTES);
        if !resize(&self.spare.own, self.own_bytes, own_bytes) {
            return false;
        }
        if !self.resize(bytes.saturating_sub(own_max)) {
            resize(&self.spare.own, own_bytes, self.own_bytes);
            return false;
        }
        self.own_bytes = own_bytes;
        true
    }

    /// The same for a body that has nowhere else to wait: all of it is its own, and what it cannot have of
    /// that it has of what all share.
    pub(super) fn hold_beyond(&mut self, bytes: usize) -> bool {
        self.hold(usize::MAX, bytes) || self.resize_beyond(bytes.saturating_sub(FREE_BYTES + self.own_bytes))
    }

    /// Makes it so many bytes; `false`, and unchanged, when there is not as much.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        (bytes <= SHARE_MAX || bytes <= self.bytes) && self.resize_beyond(bytes)
    }

    /// The same for a body that has nowhere else to wait: it may have all there is.
    pub(super) fn resize_beyond(&mut self, bytes: usize) -> bool {
        let resized = resize(&self.spare.shared, self.bytes, bytes);
        if resized {
            self.bytes = bytes;
        }
        resized
    }
}

/// Takes more of what is left, or gives some back; `false`: there is not as much.
fn resize(left: &AtomicUsize, before: usize, after: usize) -> bool {
    if after > before {
        let take = |left: usize| left.checked_sub(after - before);
        return left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok();
    }
    if after < before {
        left.fetch_add(before - after, Ordering::Relaxed);
    }
    true
}

impl Drop for Share {
    fn drop(&mut self) {
        self.hold(0, 0);
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
        assert_eq!(spare.shared.load(Ordering::Relaxed), 2 * SHARE_MAX + 100);
    }

    #[test]
    fn what_answers_have_of_their_own_is_bounded_together() {
        let spare = Spare::new(0);
        let mut shares: Vec<Share> = Vec::new();
        loop {
            let mut share = spare.share();
            if !share.hold(256 << 10, 256 << 10) {
                // Some of it can be had in any case, and nothing beyond its own.
                assert!(share.hold(256 << 10, FREE_BYTES) && !share.hold(1000, 1001));
                break;
            }
            shares.push(share);
        }
        assert_eq!(shares.len(), OWN_MIN / (240 << 10));
        assert!(shares[0].hold(256 << 10, 1000));
        assert!(spare.share().hold(256 << 10, 200 << 10));
        shares.clear();
        assert_eq!(spare.own.load(Ordering::Relaxed), OWN_MIN);
    }
}
