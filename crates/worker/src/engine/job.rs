//! A request that nobody has begun.

use std::{os::fd::OwnedFd, sync::Arc};

use super::link::Link;

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) link: Arc<Link>,
    pub(crate) stream: u32,
    /// [`wire::request`] and the inline body.
    pub(crate) payload: Vec<u8>,
    /// The body, when it is a file.
    pub(crate) body: Option<OwnedFd>,
    /// Nothing follows; a body that is still arriving is not taken by this interface.
    pub(crate) whole: bool,
}

impl Job {
    /// Its entry of the link page: the first field of the request.
    pub(crate) fn entry(&self) -> u16 {
        self.payload
            .first_chunk::<2>()
            .map_or(u16::MAX, |bytes| u16::from_le_bytes(*bytes))
    }

    /// Makes it ours; `false`: the proxy has taken it back.
    #[inline]
    pub(crate) fn claim(&self, now_ns: u64, thread: u32) -> bool {
        self.link
            .page
            .page()
            .claim(self.entry(), self.stream, now_ns, thread)
    }
}
