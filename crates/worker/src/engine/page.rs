//! The page of a link, as the worker holds it.

use std::os::fd::OwnedFd;

use shm::Words;
use wire::page::Page;

/// The words of one page, shared with the proxy.
#[derive(Debug)]
pub(crate) struct LinkPage(Words);

impl LinkPage {
    /// Maps the page that came with a link.
    pub(crate) fn map(file: &OwnedFd) -> Result<Self, shm::Error> {
        Words::map(file).map(Self)
    }

    /// The view of it that knows the protocol.
    #[inline]
    pub(crate) fn page(&self) -> Page<'_> {
        Page::new(self.0.words())
    }
}
