//! The head of a server's answer, made into the head of ours.

use std::{mem::MaybeUninit, time::Duration};

use bytes::{Buf, BytesMut};
use http::StatusCode;
use message::{
    answer::{Answer, AnswerLength},
    chunked::Chunked,
    fields::Fields,
};

use super::answer_body::AnswerBody;

/// A head that the front of the input holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AnswerHead {
    /// An interim answer (1xx); another one follows.
    Interim(Answer),
    /// The connection is a WebSocket from here on (101).
    Switch(Answer),
    /// The answer.
    Final(FinalHead),
}

/// The head of the answer, and what it says of what follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FinalHead {
    /// As the client gets it.
    pub(super) answer: Answer,
    /// Nothing of it is taken yet.
    pub(super) body: AnswerBody,
    /// How long the server keeps the connection for another request; `None`: it does not.
    pub(super) keep: Option<Duration>,
}

/// Why an answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadAnswer {
    /// No HTTP/1, or a line of the head breaks its rules.
    #[error("malformed head of the answer: {0}")]
    Malformed(httparse::Error),
    /// More than [`HEAD_BYTES_MAX`].
    #[error("head of the answer larger than {HEAD_BYTES_MAX} bytes")]
    TooLarge,
    /// More than [`FIELDS_MAX`].
    #[error("more than {FIELDS_MAX} fields in the answer")]
    TooManyFields,
    /// Below 100.
    #[error("no status in the answer")]
    Status,
    /// Nobody has asked for it, or not for this one.
    #[error("an answer that switches to a protocol nobody asked for")]
    Switch,
    /// The proof that it has understood the request for a WebSocket is not that of this request.
    #[error("a WebSocket without its proof")]
    NoWebSocket,
    /// There is a page where the client asks for a WebSocket. On HTTP/2 the client would take any success for
    /// one.
    #[error("a page where a WebSocket was asked for")]
    Page,
    /// More than [`INTERIM_MAX`] and one each second.
    #[error("interim answers without end")]
    Interim,
    /// Not a number, or there is more than one.
    #[error("invalid Content-Length of the answer")]
    Length,
    /// Not `chunked` alone, in HTTP/1.0, or beside a Content-Length: its end could be seen in two places.
    #[error("ambiguous Transfer-Encoding of the answer")]
    Coding,
    /// It breaks a rule of HTTP/2, or is larger than what we take; h2 has reset the stream.
    #[error("invalid HTTP/2 answer: {0}")]
    Http2(h2::Reason),
    /// The chunked coding of the body is broken.
    #[error("malformed chunk in the answer")]
    Chunk,
}

/// Of a head; nginx takes 4 to 8 KiB. It is held in memory once per request under way.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Of a head.
pub(super) const FIELDS_MAX: usize = 256;
/// A usual head needs no more room than this for the places of its fields.
const FIELDS_ON_STACK: usize = 32;
/// Interim answers to one request, besides one for each second that it takes.
pub(super) const INTERIM_MAX: u64 = 16;

/// Where to go on looking for the end of a head that has not come yet.
#[derive(Debug, Default)]
pub(super) struct Search {
    seen: usize,
}

impl Search {
    /// Takes the head off the front of `input`; `None`: more of it has to be read. `head_only`: the request was a HEAD.
    pub(super) fn take(
        &mut self,
        input: &mut BytesMut,
        head_only: bool,
    ) -> Result<Option<AnswerHead>, BadAnswer> {
        read_as_known_version(input);
        // Most heads come in one piece. What comes in many is parsed when it is whole, not each time.
        if self.seen > 0 && !self.has_end(input) {
            return if input.len() > HEAD_BYTES_MAX {
                Err(BadAnswer::TooLarge)
            } else {
                Ok(None)
            };
        }
        let parsed = parse(input, head_only)?;
        match parsed {
            Some((head, len)) if len <= HEAD_BYTES_MAX => {
                input.advance(len);
                self.seen = 0;
                Ok(Some(head))
            }
            None if input.len() <= HEAD_BYTES_MAX => {
                self.seen = input.len();
                Ok(None)
            }
            Some(_) | None => Err(BadAnswer::TooLarge),
        }
    }

    /// Is there an empty line in what has come since the last look?
    fn has_end(&mut self, input: &[u8]) -> bool {
        let from = self.seen.saturating_sub(3);
        self.seen = input.len();
        let fresh = input.get(from..).unwrap_or_default();
        memchr::memchr_iter(b'\n', fresh)
            .any(|at| matches!(fresh.get(at + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..])))
    }
}

/// A higher minor version of HTTP/1 is to be read as the highest one known (RFC 9110 §2.5).
fn read_as_known_version(input: &mut BytesMut) {
    if input.starts_with(b"HTTP/1.")
        && let Some(minor @ b'2'..=b'9') = input.get_mut(7)
    {
        *minor = b'1';
    }
}

/// The head and its length.
fn parse(input: &[u8], head_only: bool) -> Result<Option<(AnswerHead, usize)>, BadAnswer> {
    let mut few = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut response = httparse::Response::new(&mut []);
    match config().parse_response_with_uninit_headers(&mut response, input, &mut few) {
        Err(httparse::Error::TooManyHeaders) => {}
        parsed => return understand(parsed, &response, input, head_only),
    }
    let mut many = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = config().parse_response_with_uninit_headers(&mut response, input, &mut many);
    understand(parsed, &response, input, head_only)
}

/// Spaces before the colon are to be taken off an answer by a proxy (RFC 9112 §5.1). Folded lines are refused.
fn config() -> httparse::ParserConfig {
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    config
}

fn understand(
    parsed: httparse::Result<usize>,
    response: &httparse::Response<'_, '_>,
    input: &[u8],
    head_only: bool,
) -> Result<Option<(AnswerHead, usize)>, BadAnswer> {
    let len = match parsed {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(BadAnswer::TooManyFields),
        Err(error) => return Err(BadAnswer::Malformed(error)),
    };
    let status = response
        .code
        .filter(|code| *code >= 100)
        .ok_or(BadAnswer::Status)?;
    let mut facts = Facts::default();
    let mut answer = Answer::new(status);
    // Names and values fit in what has come; a line may have lost one space.
    answer.fields = Fields::with_capacity(response.headers.len(), len.min(input.len()) + 16);
    let named = named(response.headers);
    for field in response.headers.iter() {
        if facts.see(field.name, field.value)?
            && !named
                .iter()
                .any(|name| name.eq_ignore_ascii_case(field.name.as_bytes()))
        {
            answer.fields.push(field.name, field.value);
        }
    }
    if status < 200 {
        answer.length = AnswerLength::None;
        let head = match status {
            101 if upgrades(response.headers).eq([&b"websocket"[..]]) => AnswerHead::Switch(answer),
            101 => return Err(BadAnswer::Switch),
            _ => AnswerHead::Interim(answer),
        };
        return Ok(Some((head, len)));
    }
    if status == 426 {
        // What the client should change to is what this answer is about (RFC 9110 §15.5.22).
        for protocol in upgrades(response.headers) {
            answer.fields.push("Upgrade", protocol);
        }
    }
    let reason = response.reason.unwrap_or_default();
    if StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        != Some(reason)
    {
        answer.reason = reason.as_bytes().to_vec();
    }
    let modern = response.version == Some(1);
    if facts.chunked && (!modern || facts.length.is_some()) {
        return Err(BadAnswer::Coding);
    }
    let bodiless = head_only || matches!(status, 204 | 304);
    let body = match facts.length {
        _ if bodiless => AnswerBody::NONE,
        _ if facts.chunked => AnswerBody::Chunked(Chunked::of_answer()),
        Some(left) => AnswerBody::Sized { left },
        None => AnswerBody::UntilClose,
    };
    answer.length = match facts.length {
        // It may have none (RFC 9110 §8.6).
        _ if status == 204 => AnswerLength::None,
        Some(length) => AnswerLength::Known(length),
        None if bodiless => AnswerLength::None,
        None => AnswerLength::Unknown,
    };
    let keep = (modern && !facts.close && body != AnswerBody::UntilClose).then_some(facts.keep);
    Ok(Some((AnswerHead::Final(FinalHead { answer, body, keep }), len)))
}

/// What the fields say that are not passed on.
#[derive(Debug)]
struct Facts {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep: Duration,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            length: None,
            chunked: false,
            close: false,
            keep: Duration::MAX,
        }
    }
}

impl Facts {
    /// Does this field go on to the client?
    fn see(&mut self, name: &str, value: &[u8]) -> Result<bool, BadAnswer> {
        // Most names are told apart by their length.
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                self.close |= options(value).any(|option| option.eq_ignore_ascii_case(b"close"));
                Ok(false)
            }
            10 if name.eq_ignore_ascii_case("keep-alive") => {
                self.keep = timeout(value).unwrap_or(self.keep);
                Ok(false)
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = number(value).ok_or(BadAnswer::Length)?;
                // Even two equal ones: whoever stands behind us might take another one than we do.
                if self.length.replace(length).is_some() {
                    return Err(BadAnswer::Length);
                }
                Ok(false)
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadAnswer::Coding);
                }
                self.chunked = true;
                Ok(false)
            }
            _ => Ok(passes_to_client(name.as_bytes())),
        }
    }
}

/// May this field of a server's answer go on to the client? Not what concerns one connection only (RFC 9110 §7.6.1 and what
/// predates it), and not what we say ourselves. Framing is the caller's business, and so is what Connection [names](options).
pub(crate) fn passes_to_client(name: &[u8]) -> bool {
    let names: &[&str] = match name.len() {
        2 => &["te"],
        4 => &["date"],
        6 => &["server"],
        7 => &["trailer", "upgrade"],
        10 => &["connection", "keep-alive"],
        16 => &["proxy-connection"],
        17 => &["transfer-encoding"],
        18 => &["proxy-authenticate"],
        19 => &["proxy-authorization"],
        _ => &[],
    };
    !names
        .iter()
        .any(|ours| name.eq_ignore_ascii_case(ours.as_bytes()))
}

/// The fields that the Connection fields name. A server that names what belongs to the answer is mistaken: taking it off
/// would change the answer.
fn named<'a>(fields: &[httparse::Header<'a>]) -> Vec<&'a [u8]> {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("connection"))
        .flat_map(|field| options(field.value))
        .filter(|name| !is_usual(name) && !is_end_to_end(name))
        .collect()
}

/// The protocols that the Upgrade fields name; in lower case where it is the one we know.
fn upgrades<'a>(fields: &'a [httparse::Header<'a>]) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("upgrade"))
        .flat_map(|field| options(field.value))
        .map(|protocol| match protocol.eq_ignore_ascii_case(b"websocket") {
            true => b"websocket",
            false => protocol,
        })
}

/// The elements of a Connection field.
pub(crate) fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// An option that names no field.
fn is_usual(option: &[u8]) -> bool {
    option.is_empty() || option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
}

/// A field that says what the answer is, whatever Connection says of it.
pub(crate) fn is_end_to_end(name: &[u8]) -> bool {
    ["content-length", "transfer-encoding", "content-type"]
        .iter()
        .any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

/// `timeout=5` of a Keep-Alive field.
fn timeout(value: &[u8]) -> Option<Duration> {
    let seconds = options(value).find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(8)?;
        name.eq_ignore_ascii_case(b"timeout=").then(|| number(value))?
    })?;
    Some(Duration::from_secs(seconds))
}

/// Digits only.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    // `parse` would take a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
