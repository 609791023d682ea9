//! Memory that answers share once one of them has used up its own.
//!
//! An answer of a megabyte to a fast client waits for a few milliseconds: writing it to a file and reading it back would cost more
//! than all the rest of its way. So as long as few such answers are about they wait in memory. Many slow clients use this
//! up, and what is beyond it goes to disk as ever.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes left of it, of the whole process.
static LEFT: AtomicUsize = AtomicUsize::new(32 << 20);

/// One answer cannot have all of it.
const SHARE_MAX: usize = 4 << 20;

/// What one answer has of it; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    bytes: usize,
    bytes_max: usize,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            bytes: 0,
            bytes_max: SHARE_MAX,
        }
    }
}

impl Share {
    /// Of an answer that gets nothing.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            bytes: 0,
            bytes_max: 0,
        }
    }

    /// Makes it so many bytes; `false`, and unchanged, when there is not as much.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let take = |left: usize| left.checked_sub(more);
            if bytes > self.bytes_max
                || LEFT
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                    .is_err()
            {
                return false;
            }
        } else {
            LEFT.fetch_add(self.bytes - bytes, Ordering::Relaxed);
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
        // Other tests of this process may have some of it, so only what holds whatever they do is asked for.
        let mut share = Share::default();
        assert!(!share.resize(SHARE_MAX + 1));
        let mut shares: Vec<Share> = Vec::new();
        for _ in 0..100 {
            let mut share = Share::default();
            if share.resize(SHARE_MAX) {
                shares.push(share);
            }
        }
        assert!(shares.len() <= (32 << 20) / SHARE_MAX);
        shares.clear();
        for _ in 0..1000 {
            let mut share = Share::default();
            assert!(share.resize(1 << 10) && share.resize(10) && share.resize(20));
        }
    }
}
