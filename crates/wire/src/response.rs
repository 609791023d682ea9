//! The head of a response, as the application gave it, checked by the worker.

use crate::{
    Malformed,
    cursor::Cursor,
    request::{Headers, HeadersWriter},
};

/// A response head. The proxy decides the framing: a Content-Length of the application is kept, anything hop-by-hop is
/// not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status code, 200 to 999; 103 in an informational response.
    pub status: u16,
    /// Reason phrase, at most [`Response::REASON_MAX`] bytes.
    pub reason: &'a [u8],
    /// Header fields in order; names as the application wrote them; no CR, LF or NUL in either.
    pub headers: Headers<'a>,
}

impl<'a> Response<'a> {
    /// Longest reason phrase; what is longer is cut.
    pub const REASON_MAX: usize = u16::MAX as usize;

    /// Appends status and reason, and starts the header fields; when those are finished the first body bytes follow.
    #[inline]
    pub fn encode(status: u16, reason: &[u8], out: &mut Vec<u8>) -> HeadersWriter {
        out.extend_from_slice(&status.to_le_bytes());
        let len = u16::try_from(reason.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&reason[..usize::from(len)]);
        HeadersWriter::begin(out)
    }

    /// Reads the payload of a response frame: the head and what is left, the first body bytes.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (response, rest) = Self::read(payload)?;
        if response.status < 200 {
            return Err(Malformed { what: "response" });
        }
        Ok((response, rest))
    }

    /// Adds a field behind the others of a finished head that no body bytes follow.
    pub fn append_field(payload: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let (response, _) = Response::decode(payload)?;
        let mut longer = Vec::with_capacity(payload.len() + name.len() + value.len() + 16);
        let mut fields = Response::encode(response.status, response.reason, &mut longer);
        for (name, value) in response.headers.iter() {
            fields.put(&mut longer, name, value);
        }
        fields.put(&mut longer, name, value);
        fields.finish(&mut longer);
        *payload = longer;
        Ok(())
    }

    /// Reads the payload of an informational response frame. 101 is not one: it is the proxy's to send.
    pub fn decode_informational(payload: &'a [u8]) -> Result<Self, Malformed> {
        let (response, rest) = Self::read(payload)?;
        if !(102..200).contains(&response.status) || !rest.is_empty() {
            return Err(Malformed {
                what: "informational response",
            });
        }
        Ok(response)
    }

    #[inline]
    fn read(payload: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let mut cursor = Cursor::new(payload, "response");
        let status = cursor.u16()?;
        if !(100..=999).contains(&status) {
            return Err(cursor.malformed());
        }
        let reason = usize::from(cursor.u16()?);
        let response = Self {
            status,
            reason: cursor.take(reason)?,
            headers: Headers::read(&mut cursor)?,
        };
        Ok((response, cursor.rest))
    }
}

/// Trailer fields: [`HeadersWriter`] writes the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailers;

impl Trailers {
    /// Reads the payload of a trailers frame.
    pub fn decode(payload: &[u8]) -> Result<Headers<'_>, Malformed> {
        let mut cursor = Cursor::new(payload, "trailers");
        let headers = Headers::read(&mut cursor)?;
        if cursor.rest.is_empty() {
            Ok(headers)
        } else {
            Err(cursor.malformed())
        }
    }
}
