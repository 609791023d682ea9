//! A request head: from bytes to a [`Head`] that has passed the rules of RFC 9112.

use message::{authority, refusal::Refusal, request_line::RequestLine};
use message::{
    fields::Fields,
    head::{BodyLength, Head, Version},
};

/// A head with what it asks of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// The head.
    pub(crate) head: Head,
    /// The client wants the connection to stay open.
    pub(crate) keep_alive: bool,
    /// The client waits for `100 Continue` before it sends its body.
    pub(crate) expect_continue: bool,
}

/// Reads a whole head, its empty line included; `count` is the number of its header lines.
pub(crate) fn parse(bytes: &[u8], count: usize) -> Result<Parsed, Refusal> {
    let line_end = memchr::memchr(b'\r', bytes).ok_or(Refusal::bad("no request line"))?;
    if bytes.get(line_end + 1) != Some(&b'\n') {
        return Err(Refusal::bad("bare CR in the request line"));
    }
    let line = RequestLine::parse(&bytes[..line_end])?;

    // httparse checks names and values with wide registers; the usual head needs no allocation for their places.
    let mut few = [httparse::EMPTY_HEADER; FIELDS_ON_STACK];
    let mut many;
    let slots = if count <= FIELDS_ON_STACK {
        &mut few[..]
    } else {
        many = vec![httparse::EMPTY_HEADER; count];
        &mut many[..]
    };
    let rest = bytes.get(line_end + 2..).unwrap_or_default();
    let found = fields(rest, slots)?;

    let mut facts = Facts::default();
    let mut kept = Fields::with_capacity(found.len(), rest.len());
    for field in found {
        facts.see(field.name, field.value)?;
        kept.push(field.name, field.value);
    }
    facts.head(&line, kept)
}

/// Refuses header lines of a head that is still coming where no head can have them.
pub(crate) fn look_at_fields(lines: &[u8]) -> Result<(), Refusal> {
    let count = memchr::memchr_iter(b'\n', lines).count();
    let whole = [lines, b"\r\n"].concat();
    let mut slots = vec![httparse::EMPTY_HEADER; count];
    let mut facts = Facts::default();
    fields(&whole, &mut slots)?
        .iter()
        .try_for_each(|field| facts.see(field.name, field.value))
}

/// All header fields of these lines, the empty one included.
fn fields<'b, 's>(
    lines: &'b [u8],
    slots: &'s mut [httparse::Header<'b>],
) -> Result<&'s [httparse::Header<'b>], Refusal> {
    match httparse::parse_headers(lines, slots) {
        Ok(httparse::Status::Complete((len, found))) if len == lines.len() => Ok(found),
        Err(httparse::Error::HeaderName) => Err(Refusal::bad("invalid header field name")),
        Err(httparse::Error::HeaderValue) => Err(Refusal::bad("invalid header field value")),
        Ok(_) | Err(_) => Err(Refusal::bad("malformed head")),
    }
}

/// What the fields that matter for framing say, collected in one pass.
#[derive(Debug, Default)]
struct Facts<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expect: Option<&'a [u8]>,
}

impl<'a> Facts<'a> {
    fn see(&mut self, name: &str, value: &'a [u8]) -> Result<(), Refusal> {
        // Most names are told apart by their length.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                if self.host.replace(value).is_some() {
                    return Err(Refusal::bad("more than one Host field"));
                }
                if !authority::is_valid(value) {
                    return Err(Refusal::bad("invalid Host field"));
                }
            }
            6 if name.eq_ignore_ascii_case("expect") => self.expect = Some(value),
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let len = content_length(value).ok_or(Refusal::bad("invalid Content-Length field"))?;
                if self.content_length.replace(len).is_some() {
                    return Err(Refusal::bad("more than one Content-Length field"));
                }
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if self.chunked {
                    return Err(Refusal::bad("more than one Transfer-Encoding field"));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(unknown_coding(value));
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn head(self, line: &RequestLine<'_>, fields: Fields) -> Result<Parsed, Refusal> {
        let modern = line.version == Version::Http11;
        if self.host.is_none() && modern {
            return Err(Refusal::bad("no Host field"));
        }
        if self.chunked && self.content_length.is_some() {
            return Err(Refusal::bad("both Content-Length and Transfer-Encoding"));
        }
        if self.chunked && !modern {
            return Err(Refusal::bad("Transfer-Encoding in HTTP/1.0"));
        }
        let body = if self.chunked {
            BodyLength::Unknown
        } else {
            BodyLength::Known(self.content_length.unwrap_or(0))
        };
        let expect_continue = match self.expect {
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => {
                modern && body != BodyLength::Known(0)
            }
            // A list without a member expects nothing (RFC 9110 §10.1.1).
            Some([]) => false,
            Some(_) if modern => return Err(Refusal::new(417, "unknown expectation")),
            _ => false,
        };
        Ok(Parsed {
            keep_alive: !self.close && (modern || self.keep_alive),
            expect_continue,
            head: Head {
                method: line.method.to_owned(),
                target: line.target.to_vec(),
                version: line.version,
                host: line.authority.or(self.host).unwrap_or_default().to_vec(),
                fields,
                body,
            },
        })
    }
}

/// Digits only: a list of equal lengths is refused too, since the next reader may see it otherwise.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// 400 when the end of the body could not be told (RFC 9112 §6.3), 501 when it could but not by us.
fn unknown_coding(value: &[u8]) -> Refusal {
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let last = codings.next_back().unwrap_or_default();
    if last.eq_ignore_ascii_case(b"chunked") && !codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked"))
    {
        Refusal::new(501, "unknown transfer coding")
    } else {
        Refusal::bad("Transfer-Encoding does not end with one chunked")
    }
}

const FIELDS_ON_STACK: usize = 48;
