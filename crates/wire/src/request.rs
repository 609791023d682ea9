//! The head of a request, already parsed and checked by the proxy.

use crate::{
    Malformed,
    cursor::{Cursor, put_bytes},
};

/// `content_length` of a request whose body is still arriving and whose length is unknown.
pub const LENGTH_UNKNOWN: u64 = u64::MAX;

/// A request head. Texts are raw bytes as the client sent them unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Entry of the link page in which the worker claims this request before it runs it.
    pub entry: u16,
    /// HTTP version: 10, 11 or 20.
    pub version: u8,
    /// The client spoke TLS to us, or a trusted proxy says that it did to it.
    pub https: bool,
    /// The client asks for a WebSocket (RFC 6455 §4.1, RFC 8441 §4); the proxy has checked the handshake.
    /// With WSGI the head is that of an HTTP/1.1 handshake whatever the client speaks, and the worker answers
    /// as [`crate::frame::Kind::Socket`] says.
    pub websocket: bool,
    /// TLS version as the handshake numbers it (0x0304 is TLS 1.3); 0 when the client did not speak TLS to us.
    pub tls_version: u16,
    /// Number of the cipher suite, 0 without TLS.
    pub cipher_suite: u16,
    /// Milliseconds the worker has for it once started (`timeout.request`).
    pub deadline_ms: u32,
    /// Length of the body in bytes; 0 without one.
    pub content_length: u64,
    /// Method, as sent.
    pub method: &'a [u8],
    /// Percent-decoded path below the mount (PATH_INFO).
    pub path: &'a [u8],
    /// Where the app is mounted (SCRIPT_NAME), "" at the root.
    pub mount: &'a [u8],
    /// Query string without `?`.
    pub query: &'a [u8],
    /// The request target as sent (REQUEST_URI, raw_path).
    pub target: &'a [u8],
    /// Real address of the client, text; empty for a Unix socket peer.
    pub client: &'a [u8],
    /// Its port, 0 when unknown.
    pub client_port: u16,
    /// Host name or address the request was made to, without port; for ASGI the address it reached, or the
    /// path of the socket.
    pub server: &'a [u8],
    /// The port that goes with it; 0 where that is the path of a Unix socket.
    pub server_port: u16,
    /// Id of the request, as in the access log.
    pub request_id: &'a [u8],
    /// Header fields in order; names in lower case. Those for one connection are gone, but for what asks for
    /// a WebSocket; Content-Length is the length of the body wherever that is known.
    pub headers: Headers<'a>,
}

/// Header fields, in wire form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Number of fields.
    pub fn len(self) -> usize {
        usize::from(self.count)
    }

    /// No field at all?
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Name and value of each field.
    #[inline]
    pub fn iter(self) -> HeadersIter<'a> {
        HeadersIter {
            left: self.count,
            cursor: Cursor::new(self.bytes, "header field"),
        }
    }

    /// Reads the fields at the cursor and checks every length, so that [`Headers::iter`] cannot fail later.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let count = cursor.u16()?;
        let start = cursor.rest;
        for _ in 0..count {
            let name = usize::from(cursor.u16()?);
            let value = cursor.u32()? as usize;
            cursor.take(name)?;
            cursor.take(value)?;
        }
        let used = start.len() - cursor.rest.len();
        Ok(Self {
            count,
            bytes: &start[..used],
        })
    }
}

/// Iterator over header fields.
#[derive(Debug, Clone)]
pub struct HeadersIter<'a> {
    left: u16,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = usize::from(self.cursor.u16().ok()?);
        let value = self.cursor.u32().ok()? as usize;
        Some((self.cursor.take(name).ok()?, self.cursor.take(value).ok()?))
    }
}

/// Writes header fields one after the other; their number is filled in by [`HeadersWriter::finish`].
#[derive(Debug)]
#[must_use = "header fields without their number are malformed"]
pub struct HeadersWriter {
    at: usize,
    count: u16,
}

impl HeadersWriter {
    /// Starts at the end of `out`.
    #[inline]
    pub fn begin(out: &mut Vec<u8>) -> Self {
        let at = out.len();
        out.extend_from_slice(&[0, 0]);
        Self { at, count: 0 }
    }

    /// Appends a field. Past 65,535 fields, or with a name over 65,535 bytes, it is left out: both lie far beyond the
    /// limits of a head.
    #[inline]
    pub fn put(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        let (Ok(name_len), Ok(value_len), Some(count)) = (
            u16::try_from(name.len()),
            u32::try_from(value.len()),
            self.count.checked_add(1),
        ) else {
            return;
        };
        self.count = count;
        out.extend_from_slice(&name_len.to_le_bytes());
        out.extend_from_slice(&value_len.to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }

    /// Fills in the number of fields.
    #[inline]
    pub fn finish(self, out: &mut [u8]) {
        if let Some(field) = out.get_mut(self.at..self.at + 2) {
            field.copy_from_slice(&self.count.to_le_bytes());
        }
    }
}

impl<'a> Request<'a> {
    /// Appends everything but the header fields; go on with [`HeadersWriter`], then the inline body. `self.headers` is not
    /// used.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.entry.to_le_bytes());
        out.push(self.version);
        out.push(u8::from(self.https) | u8::from(self.websocket) << 1);
        out.extend_from_slice(&self.tls_version.to_le_bytes());
        out.extend_from_slice(&self.cipher_suite.to_le_bytes());
        out.extend_from_slice(&self.deadline_ms.to_le_bytes());
        out.extend_from_slice(&self.content_length.to_le_bytes());
        out.extend_from_slice(&self.client_port.to_le_bytes());
        out.extend_from_slice(&self.server_port.to_le_bytes());
        for text in [
            self.method,
            self.path,
            self.mount,
            self.query,
            self.target,
            self.client,
            self.server,
            self.request_id,
        ] {
            put_bytes(out, text);
        }
    }

    /// Reads the payload of a request frame: the head and what is left, the inline body.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let mut cursor = Cursor::new(payload, "request");
        let entry = cursor.u16()?;
        let version = cursor.u8()?;
        let flags = cursor.u8()?;
        if !matches!(version, 10 | 11 | 20) || flags > 3 {
            return Err(cursor.malformed());
        }
        let tls_version = cursor.u16()?;
        let cipher_suite = cursor.u16()?;
        let deadline_ms = cursor.u32()?;
        let content_length = cursor.u64()?;
        let client_port = cursor.u16()?;
        let server_port = cursor.u16()?;
        let request = Self {
            entry,
            version,
            https: flags & 1 != 0,
            websocket: flags & 2 != 0,
            tls_version,
            cipher_suite,
            deadline_ms,
            content_length,
            client_port,
            server_port,
            method: cursor.bytes()?,
            path: cursor.bytes()?,
            mount: cursor.bytes()?,
            query: cursor.bytes()?,
            target: cursor.bytes()?,
            client: cursor.bytes()?,
            server: cursor.bytes()?,
            request_id: cursor.bytes()?,
            headers: Headers::read(&mut cursor)?,
        };
        Ok((request, cursor.rest))
    }
}
