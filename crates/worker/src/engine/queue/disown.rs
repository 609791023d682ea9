//! A process that the application has forked is not the worker.

use std::{os::fd::OwnedFd, sync::atomic::Ordering};

use super::Queue;

impl Queue {
    /// In a process that the application has forked: nothing of the worker's is left to it.
    pub(crate) fn disown(&self, null: &OwnedFd) {
        self.disowned.store(true, Ordering::Relaxed);
        self.links.disown(null);
    }

    #[inline]
    pub(crate) fn is_disowned(&self) -> bool {
        self.disowned.load(Ordering::Relaxed)
    }
}
