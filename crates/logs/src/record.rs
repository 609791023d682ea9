//! What one request has learnt.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::{Outcome, Remote};

/// Room for the raw texts of a usual request, so that filling a record allocates once.
const TEXT_BYTES: usize = 512;

/// What one request has learnt on its way; becomes the access line.
///
/// Plain facts are public fields, set when they are known. Texts that come from the client are copied as raw bytes, all
/// into one buffer; nothing is checked or escaped before the line is made.
#[derive(Debug, Clone)]
pub struct Record {
    /// Wall clock when the request was first seen.
    pub time: SystemTime,
    /// The same moment on the clock that never jumps; every duration counts from here.
    pub start: Instant,
    /// The real client: the peer, or whom a trusted proxy named.
    pub client: Remote,
    /// Who is connected to us.
    pub peer: Remote,
    /// HTTP version; `None` while no head could be read.
    pub protocol: Option<Protocol>,
    /// `http` or `https`
    pub scheme: Scheme,
    /// TLS of the client's connection.
    pub tls: Option<Tls>,
    /// Status sent to the client; `None` while none was sent.
    pub status: Option<u16>,
    /// Bytes of the request body read from the client.
    pub bytes_in: u64,
    /// Bytes of the response body sent to the client.
    pub bytes_out: u64,
    /// Name of the site.
    pub site: Option<Arc<str>>,
    /// Name of the route.
    pub route: Option<Arc<str>>,
    /// Name of the app.
    pub app: Option<Arc<str>>,
    /// Slot of the worker.
    pub worker: Option<u32>,
    /// Process id of the worker.
    pub pid: Option<u32>,
    /// Address of the upstream server that answered.
    pub upstream: Option<Arc<str>>,
    /// Microseconds in the app's queue.
    pub queue_us: Option<u64>,
    /// Microseconds from the hand-over to the worker (or upstream) to the end of its answer.
    pub app_us: Option<u64>,
    /// Microseconds from first sight to the end; set when the record is finished.
    pub total_us: u64,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    texts: Texts,
}

/// HTTP version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// Scheme of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Plain
    #[default]
    Http,
    /// Over TLS, ours or that of a trusted proxy.
    Https,
}

/// TLS of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`
    pub version: &'static str,
    /// Name of the cipher suite.
    pub cipher: &'static str,
}

impl Record {
    /// A request from `peer`, first seen now. The client is the peer until a trusted proxy says otherwise.
    #[must_use]
    pub fn new(peer: Remote) -> Self {
        Self {
            time: SystemTime::now(),
            start: Instant::now(),
            client: peer,
            peer,
            protocol: None,
            scheme: Scheme::Http,
            tls: None,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            site: None,
            route: None,
            app: None,
            worker: None,
            pid: None,
            upstream: None,
            queue_us: None,
            app_us: None,
            total_us: 0,
            outcome: None,
            texts: Texts::default(),
        }
    }

    /// Method and raw target of the request line (path and query as received).
    ///
    /// A head that could not be parsed has an empty method and its first line, as far as it was received, as target.
    pub fn set_request(&mut self, method: &[u8], target: &[u8]) {
        self.texts.set(Text::Method, method);
        self.texts.set(Text::Target, target);
    }

    /// Host the client asked for, as received.
    pub fn set_host(&mut self, host: &[u8]) {
        self.texts.set(Text::Host, host);
    }

    /// Referer field as received.
    pub fn set_referer(&mut self, referer: &[u8]) {
        self.texts.set(Text::Referer, referer);
    }

    /// User-Agent field as received.
    pub fn set_user_agent(&mut self, user_agent: &[u8]) {
        self.texts.set(Text::UserAgent, user_agent);
    }

    /// Request id: the client's, or the text made of our own.
    pub fn set_request_id(&mut self, id: &[u8]) {
        self.texts.set(Text::RequestId, id);
    }

    /// Method of the request line.
    #[must_use]
    pub fn method(&self) -> Option<&[u8]> {
        self.texts.text(Text::Method)
    }

    /// Raw target of the request line.
    #[must_use]
    pub fn target(&self) -> Option<&[u8]> {
        self.texts.text(Text::Target)
    }

    /// Host the client asked for.
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.texts.text(Text::Host)
    }

    /// Referer field.
    #[must_use]
    pub fn referer(&self) -> Option<&[u8]> {
        self.texts.text(Text::Referer)
    }

    /// User-Agent field.
    #[must_use]
    pub fn user_agent(&self) -> Option<&[u8]> {
        self.texts.text(Text::UserAgent)
    }

    /// Request id.
    #[must_use]
    pub fn request_id(&self) -> Option<&[u8]> {
        self.texts.text(Text::RequestId)
    }

    /// Time since the request was first seen.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Protocol {
    /// As the request line says it; HTTP/2 as nginx does.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

impl Scheme {
    /// `http` or `https`
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The texts a record keeps.
#[derive(Debug, Clone, Copy)]
enum Text {
    Method,
    Target,
    Host,
    Referer,
    UserAgent,
    RequestId,
}

/// Several texts in one buffer. An absent text and an empty one are different things: nginx writes `-` for the first.
#[derive(Debug, Clone, Default)]
struct Texts {
    bytes: Vec<u8>,
    spans: [Option<(usize, usize)>; 6],
}

impl Texts {
    fn set(&mut self, text: Text, value: &[u8]) {
        // A text that is set again reuses its place when it fits, so that repeated setting cannot grow the buffer for ever.
        let start = match self.spans[text as usize] {
            Some((start, end)) if value.len() <= end - start => {
                self.bytes[start..start + value.len()].copy_from_slice(value);
                start
            }
            _ => {
                if self.bytes.capacity() == 0 {
                    self.bytes.reserve(TEXT_BYTES.max(value.len()));
                }
                let start = self.bytes.len();
                self.bytes.extend_from_slice(value);
                start
            }
        };
        self.spans[text as usize] = Some((start, start + value.len()));
    }

    fn text(&self, text: Text) -> Option<&[u8]> {
        self.spans[text as usize].map(|(start, end)| &self.bytes[start..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_apart_and_may_be_set_again() {
        let mut record = Record::new(Remote::Unix);
        assert_eq!(record.method(), None);
        record.set_request(b"GET", b"/a?b");
        record.set_user_agent(b"");
        record.set_host(b"example.org");
        record.set_request(b"POST", b"/");
        assert_eq!(record.method(), Some(&b"POST"[..]));
        assert_eq!(record.target(), Some(&b"/"[..]));
        assert_eq!(record.host(), Some(&b"example.org"[..]));
        assert_eq!(record.user_agent(), Some(&b""[..]));
        assert_eq!(record.referer(), None);
    }
}
