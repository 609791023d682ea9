//! The head of a response.

use crate::fields::Fields;

/// A response head. Framing (Content-Length, Transfer-Encoding, Connection), `Date` and `Server` are added by
/// the [`Downstream`](crate::downstream::Downstream) that sends it; `fields` holds none of them, but for a
/// `Server` that the route sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Reason phrase; empty: the usual one. HTTP/2 has none.
    pub reason: Vec<u8>,
    /// Fields.
    pub fields: Fields,
    /// Length of the body; for HEAD and 304 the length that a GET would have had.
    pub length: AnswerLength,
    /// Trailers are announced: the last body byte may not be the end.
    pub trailers: bool,
    /// It is a page of our own about a failure, not what the route is there for.
    pub is_page: bool,
    /// We name ourselves in `Server`; otherwise `fields` does, or nobody.
    pub names_server: bool,
}

/// Length of a response body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerLength {
    /// Exactly this many bytes follow.
    Known(u64),
    /// Told by the end of the body: chunked on HTTP/1.1, end of connection on HTTP/1.0, end of stream on
    /// HTTP/2.
    Unknown,
    /// No body and no Content-Length (1xx, 204, 304 without a known length).
    None,
}

impl Answer {
    /// An answer without fields or body.
    #[inline]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            reason: Vec::new(),
            fields: Fields::default(),
            length: AnswerLength::Known(0),
            trailers: false,
            is_page: false,
            names_server: true,
        }
    }
}
