//! A request that nobody has begun.

use std::{os::fd::OwnedFd, sync::Arc};

use wire::{
    Malformed,
    frame::{BODY_FD, END, Header, LENT},
};

use super::{body_file::BodyFile, link::Link};

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) link: Arc<Link>,
    pub(crate) stream: u32,
    /// [`wire::request`] and the inline body.
    pub(crate) payload: Vec<u8>,
    /// The body, when it is a file.
    pub(crate) body: Option<BodyFile>,
    /// Nothing follows; a body that is still arriving is not taken by this interface.
    pub(crate) whole: bool,
}

impl Job {
    /// The request of this frame.
    pub(crate) fn new(
        link: &Arc<Link>,
        header: Header,
        payload: &[u8],
        file: Option<OwnedFd>,
    ) -> Result<Self, Malformed> {
        let (payload, body) = match file {
            Some(file) if header.has(LENT) => {
                let (payload, ticket) = payload
                    .split_last_chunk::<4>()
                    .ok_or(Malformed { what: "loan" })?;
                let ticket = u32::from_le_bytes(*ticket);
                (payload, Some(BodyFile::lent(file, link, ticket)))
            }
            file => (payload, file.map(BodyFile::own)),
        };
        Ok(Self {
            link: Arc::clone(link),
            stream: header.stream,
            payload: payload.to_vec(),
            body,
            whole: header.has(END) || header.has(BODY_FD),
        })
    }

    /// Is its body in a slab that stays mapped for the next one?
    pub(crate) fn is_mapped(&self) -> bool {
        self.body.as_ref().is_some_and(BodyFile::is_mapped)
    }

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
