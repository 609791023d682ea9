//! What is said on a WebSocket's stream besides messages.

use crate::{
    Malformed,
    cursor::{Cursor, put_bytes},
    request::{Headers, HeadersWriter},
};

/// The application accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept<'a> {
    /// The subprotocol it chose, empty for none.
    pub subprotocol: &'a [u8],
    /// Further fields of the handshake's response.
    pub headers: Headers<'a>,
}

impl<'a> Accept<'a> {
    /// Appends the subprotocol and starts the header fields.
    pub fn encode(subprotocol: &[u8], out: &mut Vec<u8>) -> HeadersWriter {
        put_bytes(out, subprotocol);
        HeadersWriter::begin(out)
    }

    /// Reads the payload of an accept frame.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload, "accept");
        let accept = Self {
            subprotocol: cursor.bytes()?,
            headers: Headers::read(&mut cursor)?,
        };
        if cursor.rest.is_empty() {
            Ok(accept)
        } else {
            Err(cursor.malformed())
        }
    }
}

/// How a WebSocket ends (RFC 6455 §7.1.5 and §7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close<'a> {
    /// Status code; 1005 when the client gave none, 1006 when it left without a word.
    pub code: u16,
    /// Why, at most 123 bytes.
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// Appends the payload.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.to_le_bytes());
        out.extend_from_slice(self.reason.as_bytes());
    }

    /// Reads the payload of a close frame.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload, "close");
        let code = cursor.u16()?;
        let reason = std::str::from_utf8(cursor.rest).map_err(|_| cursor.malformed())?;
        if reason.len() > 123 {
            return Err(cursor.malformed());
        }
        Ok(Self { code, reason })
    }
}
