//! The head of a request, whatever version of HTTP it came by.

use crate::fields::Fields;

/// A request head that has passed the rules of its protocol. Nothing in it is interpreted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Method, as sent (a token, RFC 9110 §9.1).
    pub method: String,
    /// Request target as sent; for HTTP/2 the `:path`.
    pub target: Vec<u8>,
    /// Version it came by.
    pub version: Version,
    /// Host as sent: the Host field, `:authority`, or the authority of an absolute target (which wins, RFC
    /// 9112 §3.2.2).
    pub host: Vec<u8>,
    /// Fields as sent, framing and hop-by-hop fields included.
    pub fields: Fields,
    /// What body follows.
    pub body: BodyLength,
}

impl Head {
    /// May the request be run again when whoever ran it died over it (RFC 9110 §9.2.2)?
    #[inline]
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.method.as_str(),
            "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE"
        )
    }

    /// Does the client wait for `100 Continue` before it sends its body? HTTP/1.0 knows no such word (RFC
    /// 9110 §10.1.1).
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.body != BodyLength::Known(0)
            && self.version != Version::Http10
            && self
                .fields
                .get("expect")
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }
}

/// Methods that a 405 names where nothing narrows them (RFC 9110 §15.5.6).
pub const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

#[cfg(any(test, feature = "recorder"))]
impl Version {
    /// As a request line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// Length of a request body (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// Exactly this many bytes; 0 is "no body".
    Known(u64),
    /// Until its own end mark: chunked, or an HTTP/2 stream without Content-Length.
    Unknown,
}
