//! The frame: a 12-byte header and a payload, many streams on one socket.
//!
//! ```text
//! 0        4        8      9      10       12
//! | length | stream | kind | flags| zero   | payload (length bytes)
//! ```
//!
//! A stream is one request and its answer. The proxy chooses its number and does not use it again while it is open.
//!
//! Descriptors travel as `SCM_RIGHTS` with the bytes of a frame that says it carries one ([`BODY_FD`],
//! [`Kind::File`] or [`Kind::Socket`]). The kernel keeps their order, so a receiver queues what arrives and
//! takes the oldest for each such frame.
//!
//! Flow control, the same in both directions: the sender of [`Kind::Data`], [`Kind::Body`] and
//! [`Kind::Message`] may have [`WINDOW`] payload bytes of one stream beyond what the receiver granted by
//! [`Kind::Credit`] frames. What travels as a descriptor is not on the socket, but the descriptor waits in
//! the proxy: a [`Kind::File`] frame counts [`FILE_COST`], unless it is all that is left of its answer. What
//! a [`Kind::Request`] frame carries inline counts nothing either. Each [`Kind::Message`] frame counts
//! [`MESSAGE_COST`] beside its payload. A receiver grants what a message that is not complete has taken at
//! once, or a message larger than the window could never end; up to a quarter of the window it may owe, so
//! that small messages are granted together. The body of an HTTP answer may begin with [`ANSWER_WINDOW`]
//! bytes instead.
//!
//! Large pieces of an answer can travel on a tray: a memory file of [`TRAY_BYTES`] that the worker makes for one link and both ends
//! keep mapped, so that the bytes are copied once on this side of the proxy and no piece is too large for the socket. The worker
//! writes the bytes and says so in a [`Kind::Tray`] frame; from then on the tray is the proxy's to read, and the worker does not
//! touch it before a [`Kind::Return`] of its number. The bytes count as those of [`Kind::Data`]. Nobody has to wait for a tray: what
//! finds none goes as [`Kind::Data`].
//!
//! A WebSocket is a stream whose request says so ([`crate::request::Request::websocket`]). The worker answers with
//! [`Kind::Accept`], and then both send [`Kind::Message`] until one sends [`Kind::Close`]; or it refuses with an ordinary
//! response. Handshake, masking, fragments, pings and compression are the proxy's.
//!
//! A WSGI application speaks that protocol itself. To a request that says it is a WebSocket its worker
//! answers with [`Kind::Socket`] first: one end of a socket pair, whose other end the application has. As
//! soon as the application writes there, that is the answer, beginning with a head of status 101, and what
//! else is said on the stream only tells that the application has ended. An application that leaves the
//! socket alone gives an ordinary response.

use crate::{Malformed, cursor::Cursor};

/// Length of a frame header in bytes.
pub const HEADER_LEN: usize = 12;

/// Longest payload in bytes; larger bodies go in several frames or by descriptor. A request head (bounded by the
/// listener's limits) and its inline body fit.
pub const PAYLOAD_MAX: usize = 4 << 20;

/// Bytes of one stream and one direction that may be on their way before the first credit.
pub const WINDOW: u32 = 256 << 10;

/// What a [`Kind::Message`] frame takes of the window beside its payload: about what a message that waits costs its receiver, a
/// place in a queue and an allocation. Otherwise a window would hold 262,144 messages of one byte, and empty ones without end.
pub const MESSAGE_COST: u32 = 64;

/// What a [`Kind::File`] frame takes of the window: so many files of one answer may wait for its client as
/// make a window.
pub const FILE_COST: u32 = WINDOW / 16;

/// As [`WINDOW`], for the body of an HTTP answer: most answers leave the worker in one piece, and it is free for the next request.
pub const ANSWER_WINDOW: u32 = 1 << 20;

/// Length of a tray's file: what may be sent of an answer at once fits.
pub const TRAY_BYTES: u32 = ANSWER_WINDOW;

/// Most trays of one link: enough for the answers that clients are just taking, while a worker makes the next ones. More would not
/// help against clients that keep all there are, and each may take its length in memory.
pub const TRAYS_MAX: u32 = 8;

/// Largest request body that travels inside the request's own frame; larger ones go by descriptor.
pub const INLINE_BODY_MAX: usize = 64 << 10;

/// Flag: nothing of this direction follows on the stream.
pub const END: u8 = 1;

/// Flag of [`Kind::Request`] beside [`BODY_FD`]: the file is lent. The last 4 bytes of the payload, in place of an inline body, are
/// the number that [`Kind::Return`] gives back once nothing in the worker can read the file any more. A file that is sealed against
/// becoming shorter may also be mapped, and the mapping kept for the next body that is lent in it; until then nobody looks at it.
pub const LENT: u8 = 32;

/// Flag of [`Kind::Request`]: the body is a file, its descriptor comes with this frame; its length is the request's
/// `content_length`, it is read from offset 0 with `pread`, or as [`LENT`] says. Of [`Kind::Tray`]: the tray is new, and this frame
/// brings its descriptor.
pub const BODY_FD: u8 = 2;

/// Flag of [`Kind::Cancel`]: not the client's doing, the request ran past its deadline. What runs it should be ended.
pub const OVERDUE: u8 = 4;

/// Flag of [`Kind::Message`]: a text message, whose bytes are UTF-8; without it a binary one. The same on every frame of a
/// message.
pub const TEXT: u8 = 8;

/// Flag of [`Kind::Message`]: the message goes on in the next [`Kind::Message`] frame of the stream.
pub const MORE: u8 = 16;

const FLAGS: u8 = END | BODY_FD | OVERDUE | TEXT | MORE | LENT;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Proxy to worker: [`crate::request`], then the inline body. [`END`] unless [`Kind::Body`] frames follow.
    Request = 1,
    /// Proxy to worker: more of a streamed request body, the last with [`END`].
    Body = 2,
    /// Either: payload is a `u32`, bytes of the other direction's data that may be sent beyond what was
    /// granted before, the [`MESSAGE_COST`] of messages among them. From the worker it also says that the
    /// application has asked for the request's body, for which it may be 0.
    Credit = 3,
    /// Proxy to worker: nobody waits for this answer any more. The worker stops sending, closes the iterable, and sends
    /// nothing more but one [`Kind::Abort`] or [`END`] frame, so that the proxy knows that the stream is free.
    Cancel = 4,
    /// Worker to proxy: [`crate::response`], then the first body bytes. With [`END`] the answer is complete.
    Response = 16,
    /// Worker to proxy: more body bytes.
    Data = 17,
    /// Worker to proxy: body bytes from a descriptor that comes with this frame; payload is [`FileRange`].
    File = 18,
    /// Worker to proxy: the answer will not be completed; payload is one [`AbortReason`] byte. Ends the stream.
    Abort = 19,
    /// Worker to proxy: an informational response (103) before the final one; payload is [`crate::response`] without a body.
    Informational = 20,
    /// Worker to proxy: trailer fields ([`crate::response::Trailers`]) behind the last body byte. Always with [`END`].
    Trailers = 21,
    /// Worker to proxy: the WebSocket is accepted; payload is [`crate::websocket::Accept`].
    Accept = 22,
    /// Either: what was lent is not read any more; payload is [`Return`]. From the worker a file that came with a request ([`LENT`]),
    /// from the proxy a tray. The stream is 0: the one that it was used for may have ended before.
    Return = 23,
    /// Worker to proxy: body bytes on a tray; payload is [`Tray`]. With [`BODY_FD`] it is the first time that this tray is used.
    Tray = 24,
    /// Worker to proxy, once and before anything else of its stream: a connected stream socket, whose
    /// descriptor comes with this frame. Only for a WSGI request that says it is a WebSocket. No payload.
    Socket = 25,
    /// Either: a WebSocket message or a part of one, flags [`TEXT`] and [`MORE`].
    Message = 32,
    /// Either: nothing of this direction follows; payload is [`crate::websocket::Close`]. From the worker with [`END`], when the
    /// stream is over on its side too. From the proxy: the client closed, or is gone (1006); the worker still ends the stream by
    /// a [`Kind::Close`] with [`END`] or by [`Kind::Abort`].
    Close = 33,
}

impl Kind {
    fn from_byte(byte: u8) -> Result<Self, Malformed> {
        Ok(match byte {
            1 => Self::Request,
            2 => Self::Body,
            3 => Self::Credit,
            4 => Self::Cancel,
            16 => Self::Response,
            17 => Self::Data,
            18 => Self::File,
            19 => Self::Abort,
            20 => Self::Informational,
            21 => Self::Trailers,
            22 => Self::Accept,
            23 => Self::Return,
            24 => Self::Tray,
            25 => Self::Socket,
            32 => Self::Message,
            33 => Self::Close,
            _ => return Err(Malformed { what: "frame kind" }),
        })
    }
}

/// Why a worker gave an answer up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AbortReason {
    /// The application raised; the traceback is in the log.
    Exception = 1,
    /// The request was cancelled.
    Cancelled = 2,
    /// The worker is leaving and had not started the request; any other worker may run it.
    NotStarted = 3,
    /// The application broke its interface (bad status, bad header, wrong type); told in the log.
    Protocol = 4,
    /// The application has answered on the socket that it was given ([`Kind::Socket`]), and has ended.
    Switched = 5,
}

impl AbortReason {
    /// Reads the payload of [`Kind::Abort`].
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        match payload {
            [1] => Ok(Self::Exception),
            [2] => Ok(Self::Cancelled),
            [3] => Ok(Self::NotStarted),
            [4] => Ok(Self::Protocol),
            [5] => Ok(Self::Switched),
            _ => Err(Malformed { what: "abort reason" }),
        }
    }
}

/// Payload of [`Kind::File`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRange {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

impl FileRange {
    /// Writes the payload.
    pub fn encode(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..].copy_from_slice(&self.len.to_le_bytes());
        out
    }

    /// Reads the payload. The end of the range fits in a `u64`.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload, "file range");
        let range = Self {
            offset: cursor.u64()?,
            len: cursor.u64()?,
        };
        if !cursor.rest.is_empty() || range.offset.checked_add(range.len).is_none() {
            return Err(cursor.malformed());
        }
        Ok(range)
    }
}

/// Payload of [`Kind::Return`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    /// The number that came with the file, or the tray's.
    pub ticket: u32,
    /// A process that the worker's application has forked may still read the file: nothing else may be written to it. Never set by
    /// the proxy.
    pub shared: bool,
}

impl Return {
    /// Writes the payload.
    pub fn encode(self) -> [u8; 5] {
        let [a, b, c, d] = self.ticket.to_le_bytes();
        [a, b, c, d, u8::from(self.shared)]
    }

    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        match *payload {
            [a, b, c, d, shared @ 0..=1] => Ok(Self {
                ticket: u32::from_le_bytes([a, b, c, d]),
                shared: shared == 1,
            }),
            _ => Err(Malformed { what: "return" }),
        }
    }
}

/// Payload of [`Kind::Tray`]: the bytes lie at the tray's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tray {
    /// Which of the link's trays, below [`TRAYS_MAX`].
    pub number: u32,
    /// Number of bytes, at most [`TRAY_BYTES`].
    pub len: u32,
}

impl Tray {
    /// Writes the payload.
    pub fn encode(self) -> [u8; 8] {
        let mut out = [0; 8];
        out[..4].copy_from_slice(&self.number.to_le_bytes());
        out[4..].copy_from_slice(&self.len.to_le_bytes());
        out
    }

    /// Reads the payload. Both numbers are within their limits.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload, "tray");
        let tray = Self {
            number: cursor.u32()?,
            len: cursor.u32()?,
        };
        if !cursor.rest.is_empty() || tray.number >= TRAYS_MAX || tray.len > TRAY_BYTES {
            return Err(cursor.malformed());
        }
        Ok(tray)
    }
}

/// A frame's first 12 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload, at most [`PAYLOAD_MAX`].
    pub len: u32,
    /// Which request.
    pub stream: u32,
    /// What the payload is.
    pub kind: Kind,
    /// [`END`], [`BODY_FD`], [`OVERDUE`], [`TEXT`], [`MORE`], [`LENT`].
    pub flags: u8,
}

impl Header {
    /// Writes the 12 bytes.
    #[inline]
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&self.len.to_le_bytes());
        out[4..8].copy_from_slice(&self.stream.to_le_bytes());
        out[8] = self.kind as u8;
        out[9] = self.flags;
        out
    }

    /// Reads the 12 bytes.
    #[inline]
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes, "frame header");
        let header = Self {
            len: cursor.u32()?,
            stream: cursor.u32()?,
            kind: Kind::from_byte(cursor.u8()?)?,
            flags: cursor.u8()?,
        };
        if header.len as usize > PAYLOAD_MAX || header.flags & !FLAGS != 0 || cursor.u16()? != 0 {
            return Err(cursor.malformed());
        }
        Ok(header)
    }

    /// Is `flag` set?
    #[inline]
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Does a descriptor come with this frame?
    #[inline]
    pub fn carries_descriptor(self) -> bool {
        match self.kind {
            Kind::File | Kind::Socket => true,
            Kind::Request | Kind::Tray => self.has(BODY_FD),
            _ => false,
        }
    }
}

/// One frame in a receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Takes the first frame off `buffer`: `None` when it is not complete yet, else the frame and the bytes it used.
#[inline]
pub fn split(buffer: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Malformed> {
    let Some((head, rest)) = buffer.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let header = Header::decode(head)?;
    match rest.get(..header.len as usize) {
        Some(payload) => Ok(Some((Frame { header, payload }, HEADER_LEN + payload.len()))),
        None => Ok(None),
    }
}

/// Appends a frame whose payload is at hand. A payload over [`PAYLOAD_MAX`] is the caller's error and is refused by the
/// receiver.
#[inline]
pub fn put(out: &mut Vec<u8>, stream: u32, kind: Kind, flags: u8, payload: &[u8]) {
    let open = begin(out, stream, kind, flags);
    out.extend_from_slice(payload);
    finish(out, open);
}

/// Start of a frame that is being written in place; give it to [`finish`].
#[derive(Debug)]
#[must_use = "a frame without its length is malformed"]
pub struct Open {
    at: usize,
}

/// Appends a header whose length is filled in by [`finish`]; append the payload between the two.
#[inline]
pub fn begin(out: &mut Vec<u8>, stream: u32, kind: Kind, flags: u8) -> Open {
    let at = out.len();
    out.extend_from_slice(
        &Header {
            len: 0,
            stream,
            kind,
            flags,
        }
        .encode(),
    );
    Open { at }
}

/// Fills in the length of the frame begun last.
#[inline]
pub fn finish(out: &mut [u8], open: Open) {
    let len = out.len().saturating_sub(open.at + HEADER_LEN);
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(open.at..open.at + 4) {
        field.copy_from_slice(&len.to_le_bytes());
    }
}
