//! The link page as the proxy holds it: words shared with one worker.

use std::{os::fd::OwnedFd, sync::atomic::AtomicU64};

use shm::Words;
use wire::page::Page;

/// Words of a link page, wherever they lie.
#[derive(Debug)]
pub(crate) enum LinkPage {
    /// Shared with the worker.
    Shared(Words),
    /// Of this process only: what the simulation uses.
    #[cfg(test)]
    Private(std::sync::Arc<[AtomicU64]>),
}

impl LinkPage {
    /// Maps the page that came with a link.
    pub(crate) fn map(file: &OwnedFd) -> Result<Self, shm::Error> {
        Words::map(file).map(Self::Shared)
    }

    /// The view of it that knows the protocol.
    #[inline]
    pub(crate) fn page(&self) -> Page<'_> {
        Page::new(self.words())
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        match self {
            Self::Shared(words) => words.words(),
            #[cfg(test)]
            Self::Private(words) => words,
        }
    }
}
