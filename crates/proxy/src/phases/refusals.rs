//! Heads that h2 refuses by itself.
//!
//! A head of more than twice `head_max` never reaches us: h2 answers it with 431, keeps nothing of it, and tells nobody. To
//! let more of it in, so that the refusal were ours, would be a memory hole: its fields are some bytes on the wire and a
//! hundred times as much in memory, for each of the streams that a client may open at once. So we watch what h2 writes. Its
//! 431 has a form that nothing else on the connection has: a final head with a single field, of a stream that has no head
//! yet. Our own answers have `server` and `date` besides their status, and pingora's 400 is in the static table. Past four times
//! its limit h2 ends the connection and says why in its farewell.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::listener::stream::ClientStream;

/// How many heads h2 has refused and nobody has told yet.
pub(super) type Refusals = Arc<AtomicU32>;

/// A client's HTTP/2 connection that counts the heads h2 refuses.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Box<ClientStream>,
    frames: Frames,
    refusals: Refusals,
}

impl Watched {
    /// Nothing has been written yet.
    pub(super) fn new(stream: Box<ClientStream>, refusals: Refusals) -> Self {
        Self {
            stream,
            frames: Frames::default(),
            refusals,
        }
    }

    fn written(&mut self, bytes: &[u8]) {
        let refused = self.frames.take(bytes);
        if refused > 0 {
            self.refusals.fetch_add(refused, Ordering::Relaxed);
        }
    }
}

/// The frames of a server, as its bytes pass by.
#[derive(Debug, Default)]
struct Frames {
    /// The head of a frame, as far as it has come.
    head: [u8; HEAD_LEN],
    have: usize,
    /// Of its payload still to come.
    left: usize,
    /// The payload of a head or a farewell that may be of interest.
    block: Vec<u8>,
    /// Streams whose answer has begun and not ended; as many as a client may have open.
    begun: Vec<u32>,
}

const HEAD_LEN: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// h2's 431 is five bytes when it comes first, and changes of the table's size may stand before it; its farewell has two
/// numbers before its words.
const BLOCK_BYTES_MAX: usize = 64;
const GOAWAY_WORDS_AT: usize = 8;

/// What h2 says in its farewell after a head of more than four times the limit, and after one in too many pieces.
const FAREWELLS: [&[u8]; 2] = [b"header_list_way_too_large", b"too_many_continuations"];

impl Frames {
    /// Looks at what is written; returns how many heads of h2's own are complete in it.
    fn take(&mut self, mut bytes: &[u8]) -> u32 {
        let mut refused = 0;
        while !bytes.is_empty() {
            if self.have < HEAD_LEN {
                let (head, rest) = bytes.split_at(bytes.len().min(HEAD_LEN - self.have));
                self.head[self.have..self.have + head.len()].copy_from_slice(head);
                self.have += head.len();
                bytes = rest;
                if self.have < HEAD_LEN {
                    break;
                }
                self.left = self.length();
                self.block.clear();
            } else {
                let (payload, rest) = bytes.split_at(bytes.len().min(self.left));
                self.left -= payload.len();
                if matches!(self.kind(), HEADERS | GOAWAY) && self.length() <= BLOCK_BYTES_MAX {
                    self.block.extend_from_slice(payload);
                }
                bytes = rest;
            }
            if self.left == 0 {
                refused += u32::from(self.end());
                self.have = 0;
            }
        }
        refused
    }

    /// A frame is complete; was it h2's refusal?
    fn end(&mut self) -> bool {
        let (kind, flags) = (self.kind(), self.head[4]);
        let [.., a, b, c, d] = self.head;
        let stream = u32::from_be_bytes([a, b, c, d]);
        let known = self.begun.iter().position(|begun| *begun == stream);
        let ends = flags & END_STREAM != 0;
        match (kind, known) {
            (HEADERS, None) if ends => {
                return flags & END_HEADERS != 0
                    && self.length() <= BLOCK_BYTES_MAX
                    && is_lone_status(&self.block);
            }
            (HEADERS, None) => self.begun.push(stream),
            (GOAWAY, _) => {
                let words = self.block.get(GOAWAY_WORDS_AT..);
                return words.is_some_and(|words| FAREWELLS.contains(&words));
            }
            (HEADERS | DATA, Some(at)) if ends => {
                self.begun.swap_remove(at);
            }
            (RST_STREAM, Some(at)) => {
                self.begun.swap_remove(at);
            }
            _ => {}
        }
        false
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }

    fn length(&self) -> usize {
        usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2])
    }
}

/// Is this header block one field only, and that one in the dynamic table or a `:status` that gets there (RFC 7541 §6)?
fn is_lone_status(mut block: &[u8]) -> bool {
    // Changes of the table's size.
    while let [0x20..=0x3f, ..] = block {
        let Some((_, rest)) = integer(block, 5) else {
            return false;
        };
        block = rest;
    }
    match block {
        [0x80..=0xff, ..] => {
            integer(block, 7).is_some_and(|(index, rest)| index > STATIC_LAST && rest.is_empty())
        }
        // A literal with the name of the static table's `:status`: indexed, not indexed, never indexed.
        [0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e, value @ ..] => {
            integer(value, 7).is_some_and(|(len, rest)| rest.len() == len)
        }
        _ => false,
    }
}

/// Last index of HPACK's static table.
const STATIC_LAST: usize = 61;

/// An integer with a prefix of so many bits (RFC 7541 §5.1), and what follows it.
fn integer(bytes: &[u8], prefix_bits: u32) -> Option<(usize, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mask = (1usize << prefix_bits) - 1;
    let mut value = usize::from(first) & mask;
    if value < mask {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (&byte, more) = rest.split_first()?;
        rest = more;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = written {
            self.written(bytes.get(..written).unwrap_or(bytes));
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(mut left)) = written {
            for slice in slices {
                let bytes = slice.get(..left).unwrap_or(slice);
                left -= bytes.len();
                self.written(bytes);
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        // The connection is of no more use, whether or not the client hears of it.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Watched {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Peek for Watched {}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        out.extend_from_slice(payload);
        out
    }

    /// `:status: 431`, as h2 writes it first and later.
    const FIRST: &[u8] = &[0x48, 0x83, 0x68, 0xcc, 0x2f];
    const LATER: &[u8] = &[0xbe];
    const FINAL: u8 = END_STREAM | END_HEADERS;

    #[test]
    fn refusals_of_h2_are_told_from_everything_else() {
        let mut all = Vec::new();
        all.extend(frame(4, 0, 0, &[0; 6]));
        // A refusal.
        all.extend(frame(HEADERS, FINAL, 1, FIRST));
        // An answer with a body; its trailers look like the next refusal.
        all.extend(frame(HEADERS, END_HEADERS, 3, &[0x88, 0xbf, 0xc0]));
        all.extend(frame(DATA, 0, 3, b"0123456789"));
        all.extend(frame(HEADERS, FINAL, 3, LATER));
        // Two refusals, one behind a change of the table's size.
        all.extend(frame(HEADERS, FINAL, 5, LATER));
        all.extend(frame(HEADERS, FINAL, 7, &[0x3f, 0xe1, 0x1f, 0xff, 0x00]));
        // Our own final head, pingora's 400, a reset, and the end of a body.
        all.extend(frame(
            HEADERS,
            FINAL,
            9,
            &[0x48, 0x83, 0x68, 0xcc, 0x2f, 0xbf, 0xc0],
        ));
        all.extend(frame(HEADERS, FINAL, 11, &[0x8c]));
        all.extend(frame(HEADERS, END_HEADERS, 13, LATER));
        all.extend(frame(RST_STREAM, 0, 13, &[0; 4]));
        all.extend(frame(HEADERS, END_HEADERS, 15, LATER));
        all.extend(frame(DATA, END_STREAM, 15, b""));
        // An ordinary farewell, and one because of a head.
        all.extend(frame(GOAWAY, 0, 0, &[0; 8]));
        all.extend(frame(GOAWAY, 0, 0, b"12345678too_many_continuations"));
        for piece in [1, 3, 7, 1000] {
            let mut frames = Frames::default();
            let refused: u32 = all.chunks(piece).map(|bytes| frames.take(bytes)).sum();
            assert_eq!((refused, frames.begun.len()), (4, 0), "in pieces of {piece}");
        }
    }
}
