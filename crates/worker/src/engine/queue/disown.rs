//! A process that the application has forked is not the worker.

use std::{os::fd::OwnedFd, sync::atomic::Ordering};

use super::Queue;
use crate::ffi::descriptors;

impl Queue {
    /// In a process that the application has forked: everything that is the worker's is replaced by `null`. A copy must not take
    /// requests, answer them, or keep a link open when the worker dies. Another thread may have been at the list of links
    /// during the fork, and its lock then stays locked here: so it is only tried.
    pub(crate) fn disown(&self, null: &OwnedFd) {
        self.disowned.store(true, Ordering::Relaxed);
        if let Ok(links) = self.links.try_lock() {
            for link in links.iter() {
                link.disown(null);
            }
        }
        for own in [&self.epoll, &self.bell] {
            let _ = descriptors::replace(null, own);
        }
    }

    #[inline]
    pub(crate) fn is_disowned(&self) -> bool {
        self.disowned.load(Ordering::Relaxed)
    }
}
