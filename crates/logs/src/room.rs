//! The bound on what waits for a file.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The bytes that may wait for a file, and the lines that found no room.
#[derive(Debug)]
pub(crate) struct Room {
    bytes_max: usize,
    /// Bytes more that may wait when they matter.
    reserve_bytes: usize,
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl Room {
    pub(crate) fn new(bytes_max: usize, reserve_bytes: usize) -> Self {
        Self {
            bytes_max,
            reserve_bytes,
            waiting_bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Takes room for `bytes`, if there is so much. `matters`: the reserve may be used.
    pub(crate) fn take(&self, bytes: usize, matters: bool) -> bool {
        let max = self.bytes_max + if matters { self.reserve_bytes } else { 0 };
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= max;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    /// Gives room back: what took it is written, or given up.
    pub(crate) fn release(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Lines dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_finds_room_where_the_rest_does_not() {
        let room = Room::new(10, 5);
        assert!(room.take(8, false));
        assert!(!room.take(3, false));
        assert!(room.take(2, false));
        assert!(!room.take(1, false));
        assert!(room.take(5, true));
        assert!(!room.take(1, true));
        room.release(6);
        assert!(room.take(1, false));
    }
}
