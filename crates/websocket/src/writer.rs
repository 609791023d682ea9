//! From messages to bytes for the client.

use bytes::BytesMut;

use super::{
    close,
    deflate::Deflater,
    extension::Deflate,
    header::{self, Opcode},
};

/// Messages below this are sent as they are: they would hardly shrink, and mostly fit in one packet anyway.
const COMPRESS_BYTES_MIN: usize = 256;

/// Frames messages. Each part of a message that comes is one frame of it.
pub struct Writer {
    deflate: Option<Deflate>,
    open: Option<Open>,
}

/// A message that has begun and not ended.
struct Open {
    deflater: Option<Deflater>,
}

impl Writer {
    /// Nothing has been sent.
    pub fn new(deflate: Option<Deflate>) -> Self {
        Self { deflate, open: None }
    }

    /// Appends a message, or a part of one, to `out`.
    pub fn part(&mut self, text: bool, last: bool, bytes: &[u8], out: &mut BytesMut) {
        let first = self.open.is_none();
        let mut open = self.open.take().unwrap_or_else(|| Open {
            deflater: self
                .deflate
                .filter(|_| !last || bytes.len() >= COMPRESS_BYTES_MIN)
                .and_then(|deflate| Deflater::new(deflate.window_bits)),
        });
        let opcode = match (first, text) {
            (false, _) => Opcode::Continuation,
            (true, true) => Opcode::Text,
            (true, false) => Opcode::Binary,
        };
        let whole = first && last;
        let packed = open
            .deflater
            .as_mut()
            .and_then(|deflater| deflater.run(bytes, last));
        match packed {
            // What does not shrink is sent as it is, where all of it is at hand.
            Some(packed) if !whole || packed.len() < bytes.len() => {
                header::write(out, last, first, opcode, packed.len());
                out.extend_from_slice(packed);
            }
            _ => {
                header::write(out, last, false, opcode, bytes.len());
                out.extend_from_slice(bytes);
            }
        }
        if !last {
            self.open = Some(open);
        }
    }

    /// Appends a ping.
    pub fn ping(out: &mut BytesMut) {
        header::write(out, true, false, Opcode::Ping, 0);
    }

    /// Appends the answer to a ping.
    pub fn pong(payload: &[u8], out: &mut BytesMut) {
        header::write(out, true, false, Opcode::Pong, payload.len());
        out.extend_from_slice(payload);
    }

    /// Appends a close frame; a code that may not be sent leaves it empty.
    pub fn close(code: u16, reason: &str, out: &mut BytesMut) {
        if !close::may_be_sent(code) {
            header::write(out, true, false, Opcode::Close, 0);
            return;
        }
        let reason = close::cut(reason);
        header::write(out, true, false, Opcode::Close, 2 + reason.len());
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(reason.as_bytes());
    }
}
