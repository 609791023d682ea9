//! One HTTP answer on its way: what the application has said, what has been sent, what waits for credit.

use std::{collections::VecDeque, os::fd::OwnedFd};

use pyo3::{prelude::*, types::PyBytes};
use wire::{
    frame::{self, AbortReason, END, FILE_COST, FileRange, Kind, WINDOW},
    request::HeadersWriter,
    response::Trailers,
};

use super::{channel::broken, head::Head};
use crate::{
    engine::link::Link,
    wsgi::{
        file_wrapper::answers_at_once,
        head::{BYTES_MAX, HINTS_BYTES_MAX},
    },
};

/// Most body bytes in one frame.
const FRAME: u64 = 256 << 10;

/// The answer of one stream.
#[derive(Debug)]
pub(crate) struct Answer {
    link: std::sync::Arc<Link>,
    stream: u32,
    /// The request's method is HEAD.
    head_only: bool,
    head: Option<Head>,
    /// The head has left.
    sent: bool,
    /// The application has said all of the body.
    complete: bool,
    /// The last frame has left.
    over: bool,
    /// The application sent more than its Content-Length; the rest is not sent.
    cut: bool,
    /// Bytes of informational responses.
    hinted: usize,
    /// Bytes of the application's Content-Length that have not come.
    left: Option<u64>,
    credit: u64,
    waiting: VecDeque<Piece>,
    /// What has come of the trailers.
    trailers: Trailing,
    /// All of them have come.
    trailed: bool,
}

/// What could not be sent yet.
#[derive(Debug)]
enum Piece {
    /// Bytes from a position on.
    Bytes(Py<PyBytes>, usize),
    /// A file that goes as a descriptor.
    File(OwnedFd, FileRange),
    /// A file that is read here, because that may take its time.
    Read(OwnedFd, FileRange),
}

/// What the application adds to its body.
#[derive(Debug)]
pub(crate) enum Part<'a, 'py> {
    Bytes(&'a Bound<'py, PyBytes>),
    File(OwnedFd, FileRange),
}

/// Trailers, which may come in several events.
#[derive(Debug, Default)]
struct Trailing {
    payloads: Vec<u8>,
    ends: Vec<usize>,
}

impl Trailing {
    /// Takes what one event brought, as the payload of a frame.
    fn add(&mut self, payload: &[u8]) -> PyResult<()> {
        if self.payloads.len() + payload.len() > BYTES_MAX {
            return Err(broken("http.response.trailers are too long".to_owned()));
        }
        self.payloads.extend_from_slice(payload);
        self.ends.push(self.payloads.len());
        Ok(())
    }

    /// All fields in one payload.
    fn payload(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.payloads.len());
        let mut writer = HeadersWriter::begin(&mut all);
        let mut start = 0;
        for &end in &self.ends {
            // It was written here.
            for (name, value) in Trailers::decode(&self.payloads[start..end])
                .iter()
                .flat_map(|fields| fields.iter())
            {
                writer.put(&mut all, name, value);
            }
            start = end;
        }
        writer.finish(&mut all);
        all
    }
}

impl Answer {
    pub(crate) fn new(link: &std::sync::Arc<Link>, stream: u32, head_only: bool) -> Self {
        Self {
            link: std::sync::Arc::clone(link),
            stream,
            head_only,
            head: None,
            sent: false,
            complete: false,
            over: false,
            cut: false,
            hinted: 0,
            left: None,
            credit: u64::from(WINDOW),
            waiting: VecDeque::new(),
            trailers: Trailing::default(),
            trailed: false,
        }
    }

    /// Has the application begun it?
    pub(crate) fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// Can nothing be said before it any more?
    pub(crate) fn head_has_left(&self) -> bool {
        self.sent
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete && (self.trailed || !self.wants_trailers())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has all of the body been said, but not the trailers that were announced?
    pub(crate) fn lacks_trailers(&self) -> bool {
        self.complete && !self.trailed && self.wants_trailers()
    }

    pub(crate) fn body_complete(&self) -> bool {
        self.complete
    }

    /// Did the application send more than it announced?
    pub(crate) fn was_cut(&self) -> bool {
        self.cut
    }

    /// Bytes that the Content-Length announced and that never came.
    pub(crate) fn missing(&self) -> u64 {
        if self.is_silent() {
            return 0;
        }
        self.left.unwrap_or(0)
    }

    fn wants_trailers(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.trailers) && !self.is_silent()
    }

    /// Does no body belong to this answer?
    fn is_silent(&self) -> bool {
        self.head_only
            || self
                .head
                .as_ref()
                .is_some_and(|head| matches!(head.status, 204 | 304))
    }

    /// The head, to be sent with the first body bytes.
    pub(crate) fn start(&mut self, head: Head) {
        self.left = head.content_length;
        self.head = Some(head);
    }

    /// An informational response before the head. `false`: this request has had all that it may have of them.
    pub(crate) fn inform(&mut self, payload: &[u8]) -> bool {
        self.hinted = self.hinted.saturating_add(payload.len());
        let fits = self.hinted <= HINTS_BYTES_MAX;
        if fits {
            self.link.put(None, |out| {
                frame::put(out, self.stream, Kind::Informational, 0, payload)
            });
        }
        fits
    }

    /// More of the body; `last`: all of it.
    pub(crate) fn body(&mut self, py: Python<'_>, part: Part<'_, '_>, last: bool) {
        self.complete |= last;
        if self.over {
            self.cut |= !self.is_silent()
                && match part {
                    Part::Bytes(bytes) => !bytes.as_bytes().is_empty(),
                    Part::File(_, range) => range.len > 0,
                };
            return;
        }
        if self.is_silent() {
            self.frame(&[], true);
            return;
        }
        match part {
            Part::Bytes(bytes) => {
                let len = self.fitting(bytes.as_bytes().len() as u64);
                let taken = &bytes.as_bytes()[..usize::try_from(len).unwrap_or(0)];
                if self.waiting.is_empty() && len <= self.credit {
                    let end = self.ends_here();
                    // Nothing of the answer has come yet, or an empty part: the head need not wait for the
                    // first byte. Unless none will come though a Content-Length says so: that is a failure,
                    // and the client can still be told.
                    let falls_short = last && self.missing() > 0;
                    if end || !taken.is_empty() || !(self.sent || falls_short) {
                        self.credit -= len;
                        self.frame(taken, end);
                    }
                    return;
                }
                if taken.len() == bytes.as_bytes().len() {
                    self.waiting.push_back(Piece::Bytes(bytes.clone().unbind(), 0));
                } else {
                    self.waiting
                        .push_back(Piece::Bytes(PyBytes::new(py, taken).unbind(), 0));
                }
            }
            Part::File(file, mut range) => {
                // How long it is, is known, so the client may know it too.
                if last
                    && !self.sent
                    && self.waiting.is_empty()
                    && let Some(head) = &mut self.head
                    && head.content_length.is_none()
                    && !head.trailers
                {
                    head.append_length(range.len);
                    self.left = Some(range.len);
                }
                range.len = self.fitting(range.len);
                if range.len > 0 {
                    let piece = if answers_at_once(&file) {
                        Piece::File
                    } else {
                        Piece::Read
                    };
                    self.waiting.push_back(piece(file, range));
                }
            }
        }
        self.pump(py);
    }

    /// Trailers: the last thing of an answer. `last`: all of them have come.
    pub(crate) fn trail(&mut self, py: Python<'_>, payload: &[u8], last: bool) -> PyResult<()> {
        self.trailers.add(payload)?;
        self.trailed = last;
        if last {
            self.pump(py);
        }
        Ok(())
    }

    /// So many bytes more may be sent.
    pub(crate) fn grant(&mut self, py: Python<'_>, bytes: u32) {
        self.credit = self.credit.saturating_add(u64::from(bytes));
        if !self.waiting.is_empty() {
            self.pump(py);
        }
    }

    /// Nobody waits for what has not left yet.
    pub(crate) fn drop_waiting(&mut self) {
        self.waiting.clear();
    }

    /// The answer will not be completed; nothing when it is complete.
    pub(crate) fn abort(&mut self, reason: AbortReason) {
        if !self.over {
            self.over = true;
            self.waiting.clear();
            self.link.abort(self.stream, reason);
        }
    }

    /// How much of so many bytes the Content-Length leaves room for.
    fn fitting(&mut self, len: u64) -> u64 {
        let Some(left) = &mut self.left else {
            return len;
        };
        let fitting = len.min(*left);
        self.cut |= fitting < len;
        *left -= fitting;
        fitting
    }

    /// Is what leaves next the last? An application that said how long its answer is need not say that it ends.
    fn ends_here(&self) -> bool {
        if self.wants_trailers() {
            return false;
        }
        match self.left {
            Some(left) => left == 0,
            None => self.complete,
        }
    }

    /// Sends what waits, as far as there is credit, and the end when all of it has left.
    fn pump(&mut self, py: Python<'_>) {
        while let Some(piece) = self.waiting.pop_front() {
            match piece {
                Piece::Bytes(bytes, at) => {
                    let rest = &bytes.as_bytes(py)[at..];
                    let room = self.credit.min(FRAME).min(rest.len() as u64);
                    if room == 0 && !rest.is_empty() {
                        self.waiting.push_front(Piece::Bytes(bytes, at));
                        return;
                    }
                    self.credit -= room;
                    let taken = usize::try_from(room).unwrap_or(0);
                    let whole = taken == rest.len();
                    let end = whole && self.waiting.is_empty() && self.ends_here();
                    if taken > 0 || end {
                        self.frame(&rest[..taken], end);
                    }
                    if !whole {
                        self.waiting.push_front(Piece::Bytes(bytes, at + taken));
                    }
                }
                Piece::File(file, range) => {
                    if !self.sent {
                        self.frame(&[], false);
                    }
                    let end = self.waiting.is_empty() && self.ends_here();
                    if !end {
                        let Some(left) = self.credit.checked_sub(u64::from(FILE_COST)) else {
                            self.waiting.push_front(Piece::File(file, range));
                            return;
                        };
                        self.credit = left;
                    }
                    let flags = if end { END } else { 0 };
                    self.link.put(Some(file), |out| {
                        frame::put(out, self.stream, Kind::File, flags, &range.encode())
                    });
                    self.over |= end;
                }
                Piece::Read(file, mut range) => {
                    let room = self.credit.min(FRAME).min(range.len);
                    if room == 0 {
                        self.waiting.push_front(Piece::Read(file, range));
                        return;
                    }
                    let mut bytes = vec![0; usize::try_from(room).unwrap_or(0)];
                    let read =
                        rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut bytes, range.offset));
                    let Some(read @ 1..) = read.ok() else {
                        // It became shorter, or cannot be read any more: the client must not take it for the
                        // whole.
                        return self.abort(AbortReason::Exception);
                    };
                    self.credit -= read as u64;
                    range.offset += read as u64;
                    range.len -= read as u64;
                    let end = range.len == 0 && self.waiting.is_empty() && self.ends_here();
                    self.frame(&bytes[..read], end);
                    if range.len > 0 {
                        self.waiting.push_front(Piece::Read(file, range));
                    }
                }
            }
        }
        if self.over {
            return;
        }
        if self.ends_here() {
            self.frame(&[], true);
        } else if self.complete && self.trailed && self.missing() == 0 {
            if !self.sent {
                self.frame(&[], false);
            }
            let trailers = self.trailers.payload();
            self.link.put(None, |out| {
                frame::put(out, self.stream, Kind::Trailers, END, &trailers)
            });
            self.over = true;
        }
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
        self.over |= last;
    }
}
