//! One answer on its way: what has been sent, what may be sent.

use std::sync::Arc;

use pyo3::prelude::*;
use wire::frame::{self, ANSWER_WINDOW, AbortReason, BODY_FD, END, FileRange, Header, Kind, WINDOW};

use super::{
    file_wrapper::OpenFile,
    head::{HINTS_BYTES_MAX, Head},
};
use crate::engine::{link::Link, queue::Queue};

/// Most body bytes in one frame.
const FRAME: u64 = ANSWER_WINDOW as u64;

/// A frame with so many body bytes is sent at once, and not copied into the buffer of answers: that costs more than sending.
const DIRECT: usize = 64 << 10;

/// The answer to one request.
#[derive(Debug)]
pub(crate) struct Exchange {
    source: Source,
    link: Arc<Link>,
    stream: u32,
    /// The request's method is HEAD.
    head_only: bool,
    head: Option<Head>,
    /// The head has left.
    pub(crate) sent: bool,
    /// The last frame has left.
    pub(crate) over: bool,
    /// The application sent more than its Content-Length; the rest is not sent.
    pub(crate) cut: bool,
    /// Bytes of informational responses.
    hinted: usize,
    /// Bytes of the application's Content-Length that have not come.
    left: Option<u64>,
    /// Body bytes that may be sent; past them the source is asked.
    free: u64,
}

/// Where more credit comes from, and the word that nobody waits for the answer.
#[derive(Debug)]
enum Source {
    /// The slot of a host thread, which waits there.
    Slot(Arc<Queue>, usize),
    /// The stream itself, told by its hub. Nothing waits here: what has no credit yet is kept.
    Stream {
        cancelled: bool,
        kept: Vec<u8>,
        /// What is kept is all that is left of the answer.
        last: bool,
    },
}

/// The answer cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nobody waits for it.
    Cancelled,
    /// `start_response` was not called.
    NoHead,
}

impl Exchange {
    pub(crate) fn new(
        queue: &Arc<Queue>,
        slot: usize,
        link: &Arc<Link>,
        stream: u32,
        head_only: bool,
    ) -> Self {
        Self::of(Source::Slot(Arc::clone(queue), slot), link, stream, head_only)
    }

    /// For a host that never waits inside of it.
    pub(crate) fn unwaiting(link: &Arc<Link>, stream: u32, head_only: bool) -> Self {
        let source = Source::Stream {
            cancelled: false,
            kept: Vec::new(),
            last: false,
        };
        Self::of(source, link, stream, head_only)
    }

    fn of(source: Source, link: &Arc<Link>, stream: u32, head_only: bool) -> Self {
        let window = match source {
            Source::Slot(..) => ANSWER_WINDOW,
            // What is kept for it would only be more.
            Source::Stream { .. } => WINDOW,
        };
        Self {
            source,
            link: Arc::clone(link),
            stream,
            head_only,
            head: None,
            sent: false,
            over: false,
            cut: false,
            hinted: 0,
            left: None,
            free: u64::from(window),
        }
    }

    pub(crate) fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// The head to send with the first body bytes; replaces an earlier one.
    pub(crate) fn start(&mut self, head: Head) {
        self.left = head.content_length;
        self.head = Some(head);
    }

    /// Does no body belong to this answer?
    pub(crate) fn silent(&self) -> bool {
        self.head_only
            || self
                .head
                .as_ref()
                .is_some_and(|head| matches!(head.status, 204 | 304))
    }

    /// Has all been said that will be sent, and is it known that the application goes on for nothing?
    pub(crate) fn is_full(&self) -> bool {
        self.over && (self.cut || self.silent())
    }

    /// An informational response: before the head, within what one request may have of them.
    pub(crate) fn hint(&mut self, payload: &[u8]) {
        self.hinted = self.hinted.saturating_add(payload.len());
        if !self.sent && !self.over && self.hinted <= HINTS_BYTES_MAX && !self.is_cancelled() {
            self.link.put(None, |out| {
                frame::put(out, self.stream, Kind::Informational, 0, payload)
            });
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        let cancelled = match &self.source {
            Source::Slot(queue, slot) => queue.slots[*slot].is_cancelled(),
            Source::Stream { cancelled, .. } => *cancelled,
        };
        cancelled || self.link.is_gone()
    }

    /// Have we raised an exception in the application, because its time was over?
    pub(crate) fn was_interrupted(&self) -> bool {
        match &self.source {
            Source::Slot(queue, slot) => queue.slots[*slot].was_interrupted(),
            Source::Stream { .. } => false,
        }
    }

    /// Nobody waits for the answer any more; what was kept is dropped.
    pub(crate) fn cancel(&mut self) {
        if let Source::Stream { cancelled, kept, .. } = &mut self.source {
            *cancelled = true;
            *kept = Vec::new();
        }
    }

    /// Is something kept until there is credit?
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(&self.source, Source::Stream { kept, .. } if !kept.is_empty()) && !self.is_cancelled()
    }

    /// So many bytes more may be sent: what was kept is, as far as they go.
    pub(crate) fn grant(&mut self, bytes: u32) {
        self.free = self.free.saturating_add(u64::from(bytes));
        let Source::Stream { kept, last, .. } = &mut self.source else {
            return;
        };
        let (mut kept, last) = (std::mem::take(kept), *last);
        let mut at = 0;
        while at < kept.len() && self.free > 0 {
            let room = self.free.min(FRAME).min((kept.len() - at) as u64);
            self.free -= room;
            let next = at + usize::try_from(room).unwrap_or(0);
            self.frame(&kept[at..next], last && next == kept.len());
            at = next;
        }
        kept.drain(..at);
        self.keep(&kept, last);
    }

    fn keep(&mut self, bytes: &[u8], ends: bool) {
        if let Source::Stream { kept, last, .. } = &mut self.source {
            kept.extend_from_slice(bytes);
            *last = ends;
        }
    }

    /// Sends the bytes behind what was sent before; the head first. `last`: nothing follows.
    pub(crate) fn body(&mut self, py: Python<'_>, bytes: &[u8], last: bool) -> Result<(), Stop> {
        if self.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if self.head.is_none() {
            return Err(Stop::NoHead);
        }
        if self.over {
            self.cut |= !self.silent() && !bytes.is_empty();
            return Ok(());
        }
        let (mut at, mut end) = (0, bytes.len());
        let mut last = last;
        if self.silent() {
            // Nothing that follows will be sent either.
            (end, last) = (0, true);
        } else if let Some(left) = &mut self.left {
            if (end as u64) > *left {
                self.cut = true;
                end = usize::try_from(*left).unwrap_or(end);
            }
            *left -= end as u64;
            // An application that said how long its answer is need not say that it ends.
            last = *left == 0;
            if end == 0 && !last {
                // Nothing to send, and the head still waits for the first byte: none may come.
                return Ok(());
            }
        }
        if self.is_waiting() {
            // Another greenlet of the application writes to the same answer.
            self.keep(&bytes[..end], last);
            return Ok(());
        }
        loop {
            let wanted = (end - at) as u64;
            let room = if wanted <= self.free {
                self.free -= wanted;
                wanted
            } else {
                self.room(py, wanted)?
            };
            if room == 0 && wanted > 0 {
                self.keep(&bytes[at..end], last);
                return Ok(());
            }
            let next = at + usize::try_from(room).unwrap_or(0);
            let piece = &bytes[at..next];
            if piece.len() >= DIRECT && matches!(self.source, Source::Slot(..)) {
                self.direct(py, piece, last && next == end);
            } else {
                self.frame(piece, last && next == end);
            }
            at = next;
            if at == end {
                return Ok(());
            }
        }
    }

    /// How many of the wanted bytes may be sent now. A host thread waits until it is some.
    fn room(&mut self, py: Python<'_>, wanted: u64) -> Result<u64, Stop> {
        if self.free > 0 {
            return Ok(std::mem::take(&mut self.free));
        }
        let Source::Slot(queue, slot) = &self.source else {
            return Ok(0);
        };
        let (slot, link) = (&queue.slots[*slot], &*self.link);
        let wanted = wanted.min(FRAME);
        let granted = match slot.take_credit(wanted) {
            0 => py.detach(|| queue.credit(slot, link, wanted)),
            granted => granted,
        };
        if granted == 0 || self.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        Ok(granted)
    }

    /// One frame: the head and the bytes, or only the bytes.
    fn frame(&mut self, bytes: &[u8], last: bool) {
        let flags = if last { END } else { 0 };
        let (stream, head) = (self.stream, if self.sent { None } else { self.head.as_ref() });
        self.link.put(None, |out| {
            let kind = if head.is_some() {
                Kind::Response
            } else {
                Kind::Data
            };
            let open = frame::begin(out, stream, kind, flags);
            if let Some(head) = head {
                out.extend_from_slice(&head.payload);
            }
            out.extend_from_slice(bytes);
            frame::finish(out, open);
        });
        self.sent = true;
        self.over = last;
    }

    /// The same, sent before it returns: on a tray, or from where the bytes are.
    fn direct(&mut self, py: Python<'_>, bytes: &[u8], last: bool) {
        let (link, stream) = (&*self.link, self.stream);
        let head = if self.sent { None } else { self.head.as_mut() };
        let flags = if last { END } else { 0 };
        py.detach(|| match link.trays.lay(bytes) {
            Some(laid) => {
                if let Some(head) = head {
                    if last && head.content_length.is_none() {
                        // The frame with the head is not the last one, so it has to say itself how long the answer is.
                        head.append_length(bytes.len() as u64);
                    }
                    link.put(None, |out| {
                        frame::put(out, stream, Kind::Response, 0, &head.payload);
                    });
                }
                let flags = if laid.file.is_some() {
                    flags | BODY_FD
                } else {
                    flags
                };
                link.put(laid.file, |out| {
                    frame::put(out, stream, Kind::Tray, flags, &laid.tray.encode());
                });
                link.flush();
            }
            None => {
                let (kind, head) = match &head {
                    Some(head) => (Kind::Response, head.payload.as_slice()),
                    None => (Kind::Data, &[][..]),
                };
                let len = u32::try_from(head.len() + bytes.len()).unwrap_or(u32::MAX);
                let header = Header {
                    len,
                    stream,
                    kind,
                    flags,
                };
                link.send_now(
                    |out| {
                        out.extend_from_slice(&header.encode());
                        out.extend_from_slice(head);
                    },
                    bytes,
                );
            }
        });
        self.sent = true;
        self.over = last;
    }

    /// Sends a file as the rest of the answer.
    pub(crate) fn file(&mut self, open: OpenFile) -> Result<(), Stop> {
        if self.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        let Some(head) = &mut self.head else {
            return Err(Stop::NoHead);
        };
        let mut len = open.len;
        match self.left {
            Some(left) => {
                self.cut = len > left;
                len = len.min(left);
            }
            // How long it is, is known, so the client may know it too.
            None if !self.sent => head.append_length(len),
            None => {}
        }
        if self.silent() {
            self.frame(&[], true);
            return Ok(());
        }
        self.left = self.left.map(|left| left - len);
        // Shorter than announced: the proxy must not think that the answer is complete.
        let complete = self.left.is_none_or(|left| left == 0);
        if len > 0 {
            if !self.sent {
                self.frame(&[], false);
            }
            let flags = if complete { END } else { 0 };
            let (stream, range) = (
                self.stream,
                FileRange {
                    offset: open.offset,
                    len,
                },
            );
            self.link.put(Some(open.file), |out| {
                frame::put(out, stream, Kind::File, flags, &range.encode())
            });
            self.over = complete;
        } else if complete {
            self.frame(&[], true);
        }
        Ok(())
    }

    /// The application has no more. `Ok(left)`: bytes that its Content-Length announced and that never came.
    pub(crate) fn finish(&mut self) -> Result<u64, Stop> {
        if self.over {
            return Ok(0);
        }
        if self.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if self.head.is_none() {
            return Err(Stop::NoHead);
        }
        if !self.silent()
            && let Some(left) = self.left.filter(|&left| left > 0)
        {
            return Ok(left);
        }
        self.frame(&[], true);
        Ok(0)
    }

    /// The answer will not be completed; nothing when it is complete.
    pub(crate) fn abort(&mut self, reason: AbortReason) {
        if !self.over {
            self.over = true;
            let cancelled = self.is_cancelled();
            if let Source::Stream { kept, .. } = &mut self.source {
                *kept = Vec::new();
            }
            let reason = if cancelled { AbortReason::Cancelled } else { reason };
            self.link.abort(self.stream, reason);
        }
    }

    /// Sends what waits on this link.
    pub(crate) fn flush(&self, py: Python<'_>) {
        let link = &*self.link;
        if link.is_dirty() {
            py.detach(|| link.flush());
        }
    }
}
