//! The head of a worker's answer, made into the head of ours.

use bytes::Bytes;
use message::{
    answer::{Answer, AnswerLength},
    fields::Fields,
};
use wire::response::{Response, Trailers};

/// A head and the body bytes that came with it.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) answer: Answer,
    /// How many body bytes must follow; `None`: as many as come.
    pub(super) body_bytes: Option<u64>,
    /// The first of them.
    pub(super) first: Bytes,
    /// A field by which the application leaves the answer to the server, if there is one.
    pub(super) left_to_us: Option<&'static str>,
}

/// Why an answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadAnswer {
    /// The frame itself is wrong.
    #[error("malformed response frame")]
    Malformed,
    /// A name that is no token, or a value with control characters.
    #[error("invalid response header field")]
    Field,
    /// Not a number, or several different ones.
    #[error("invalid Content-Length")]
    Length,
}

/// Reads the payload of a response frame. `whole`: the frame ends the answer. `head_only`: the request was a HEAD.
pub(super) fn read(payload: &Bytes, whole: bool, head_only: bool) -> Result<AnswerHead, BadAnswer> {
    let (response, first) = Response::decode(payload).map_err(|_| BadAnswer::Malformed)?;
    let mut answer = Answer::new(response.status);
    answer.reason = response.reason.to_vec();
    let (mut length, mut left_to_us) = (None, None);
    // Names and values fit in what has come; each field gets two bytes more than it had.
    answer.fields = Fields::with_capacity(response.headers.len() + 1, payload.len() - first.len());
    for (name, value) in response.headers.iter() {
        if !is_token(name) || !is_value(value) {
            return Err(BadAnswer::Field);
        }
        match kind(name) {
            // What the client should change to is what this answer is about (RFC 9110 §15.5.22).
            Name::Ours if response.status == 426 && name.eq_ignore_ascii_case(b"upgrade") => {
                answer.fields.push(name, value);
            }
            Name::Ours => answer.trailers |= name.eq_ignore_ascii_case(b"trailer"),
            Name::ContentLength => {
                let number = number(value).ok_or(BadAnswer::Length)?;
                if length.is_some_and(|other| other != number) {
                    return Err(BadAnswer::Length);
                }
                length = Some(number);
            }
            Name::Passed => {
                left_to_us = left_to_us.or_else(|| leaves_to_us(name));
                answer.fields.push(name, value);
            }
        }
    }
    let bodiless = head_only || matches!(response.status, 204 | 304);
    answer.length = match length {
        // Neither may have one with 204 (RFC 9110 §8.6).
        _ if response.status == 204 => AnswerLength::None,
        Some(length) => AnswerLength::Known(length),
        None if bodiless => AnswerLength::None,
        None if whole => AnswerLength::Known(first.len() as u64),
        None => AnswerLength::Unknown,
    };
    let body_bytes = match answer.length {
        _ if bodiless => Some(0),
        AnswerLength::Known(length) => Some(length),
        AnswerLength::Unknown | AnswerLength::None => None,
    };
    let first = payload.slice(payload.len() - first.len()..);
    Ok(AnswerHead {
        answer,
        body_bytes,
        first,
        left_to_us,
    })
}

/// Reads the payload of an informational response.
pub(super) fn informational(payload: &Bytes) -> Result<Answer, BadAnswer> {
    let response = Response::decode_informational(payload).map_err(|_| BadAnswer::Malformed)?;
    let mut answer = Answer::new(response.status);
    answer.length = AnswerLength::None;
    for (name, value) in response.headers.iter() {
        if !is_token(name) || !is_value(value) {
            return Err(BadAnswer::Field);
        }
        if matches!(kind(name), Name::Passed) {
            answer.fields.push(name, value);
        }
    }
    Ok(answer)
}

/// Reads the payload of a trailers frame. What may not stand in trailers (RFC 9110 §6.5.1) is left out.
pub(super) fn trailers(payload: &Bytes) -> Result<Fields, BadAnswer> {
    let headers = Trailers::decode(payload).map_err(|_| BadAnswer::Malformed)?;
    let mut fields = Fields::with_capacity(headers.len(), payload.len());
    for (name, value) in headers.iter() {
        if !is_token(name) || !is_value(value) {
            return Err(BadAnswer::Field);
        }
        if matches!(kind(name), Name::Passed) && !is_for_heads_only(name) {
            fields.push(name, value);
        }
    }
    Ok(fields)
}

/// Framing, routing, conditions, authentication, and whatever tells how to take the content: a recipient that merges trailers
/// into the head would be misled by it.
fn is_for_heads_only(name: &[u8]) -> bool {
    const HEADS_ONLY: [&str; 27] = [
        "age",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-language",
        "content-location",
        "content-range",
        "content-security-policy",
        "content-type",
        "cookie",
        "expect",
        "expires",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "location",
        "max-forwards",
        "pragma",
        "range",
        "retry-after",
        "set-cookie",
        "strict-transport-security",
        "vary",
        "www-authenticate",
    ];
    HEADS_ONLY
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}

/// Is this a field that tells nginx, or Apache and lighttpd, to send a file in the place of the answer?
#[inline]
fn leaves_to_us(name: &[u8]) -> Option<&'static str> {
    const LEFT_TO_SERVERS: [&str; 2] = ["X-Accel-Redirect", "X-Sendfile"];
    LEFT_TO_SERVERS
        .into_iter()
        .find(|left| name.eq_ignore_ascii_case(left.as_bytes()))
}

/// What a field is to us.
enum Name {
    /// Framing and hop-by-hop fields are the proxy's business, and so are Date and Server.
    Ours,
    ContentLength,
    Passed,
}

fn kind(name: &[u8]) -> Name {
    const OURS: [&str; 11] = [
        "te",
        "date",
        "server",
        "trailer",
        "upgrade",
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "proxy-authenticate",
        "proxy-authorization",
    ];
    if name.eq_ignore_ascii_case(b"content-length") {
        Name::ContentLength
    } else if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours.as_bytes())) {
        Name::Ours
    } else {
        Name::Passed
    }
}

pub(super) fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

pub(super) fn is_value(value: &[u8]) -> bool {
    value
        .iter()
        .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    // `parse` would take a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Bytes {
        let mut out = Vec::new();
        let mut headers = Response::encode(status, b"Fine", &mut out);
        for (name, value) in fields {
            headers.put(&mut out, name.as_bytes(), value.as_bytes());
        }
        headers.finish(&mut out);
        out.extend_from_slice(body);
        out.into()
    }

    #[test]
    fn an_answer_of_426_says_what_to_change_to() {
        for (status, upgrade) in [(426, Some(&b"h2c"[..])), (200, None), (401, None)] {
            let payload = payload(status, &[("Upgrade", "h2c"), ("Connection", "Upgrade")], b"");
            let answer = read(&payload, true, false).unwrap().answer;
            assert_eq!(answer.fields.get("upgrade"), upgrade, "{status}");
            assert_eq!(answer.fields.get("connection"), None, "{status}");
        }
    }

    #[test]
    fn framing_and_our_own_fields_are_not_passed_on() {
        let payload = payload(
            200,
            &[
                ("Content-Type", "text/plain"),
                ("CONNECTION", "close"),
                ("Transfer-Encoding", "chunked"),
                ("Date", "yesterday"),
                ("Server", "gunicorn"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
            ],
            b"hello",
        );
        let head = read(&payload, true, false).expect("good");
        assert_eq!(
            head.answer.fields.as_http1(),
            b"Content-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        );
        assert_eq!(head.answer.reason, b"Fine");
        assert_eq!(head.answer.length, AnswerLength::Known(5));
        assert_eq!(head.first, &b"hello"[..]);
    }

    #[test]
    fn length_follows_the_application_then_the_frame() {
        let told = payload(
            200,
            &[("content-length", "10"), ("Content-Length", "10")],
            b"hello",
        );
        assert_eq!(
            read(&told, false, false).expect("good").answer.length,
            AnswerLength::Known(10)
        );
        let untold = payload(200, &[], b"hello");
        assert_eq!(
            read(&untold, false, false).expect("good").answer.length,
            AnswerLength::Unknown
        );
        let head = read(&payload(200, &[("Content-Length", "7")], b""), true, true).expect("good");
        assert_eq!(
            (head.answer.length, head.body_bytes),
            (AnswerLength::Known(7), Some(0))
        );
        for status in [204, 304] {
            let head = read(&payload(status, &[], b""), true, false).expect("good");
            assert_eq!(
                (head.answer.length, head.body_bytes),
                (AnswerLength::None, Some(0))
            );
        }
    }

    #[test]
    fn an_answer_that_is_left_to_the_server_is_seen_to_be_one() {
        for (name, left) in [
            ("X-Accel-Redirect", Some("X-Accel-Redirect")),
            ("x-sendfile", Some("X-Sendfile")),
            ("X-Accel-Buffering", None),
        ] {
            let head = read(&payload(200, &[("A", "b"), (name, "/a.pdf")], b""), true, false).expect("good");
            assert_eq!(head.left_to_us, left, "{name}");
        }
    }

    #[test]
    fn what_could_split_or_smuggle_an_answer_is_refused() {
        for (name, value, why) in [
            ("X", "a\r\nb", BadAnswer::Field),
            ("X", "a\0b", BadAnswer::Field),
            ("X Y", "a", BadAnswer::Field),
            ("", "a", BadAnswer::Field),
            ("Content-Length", "+5", BadAnswer::Length),
            ("Content-Length", "", BadAnswer::Length),
            ("Content-Length", "99999999999999999999", BadAnswer::Length),
        ] {
            let payload = payload(200, &[(name, value)], b"");
            assert_eq!(
                read(&payload, true, false).expect_err("bad"),
                why,
                "{name}: {value}"
            );
        }
        let two = payload(200, &[("Content-Length", "5"), ("Content-Length", "6")], b"");
        assert_eq!(read(&two, true, false).expect_err("bad"), BadAnswer::Length);
        assert_eq!(
            read(&Bytes::from_static(b"\xc8"), true, false).expect_err("bad"),
            BadAnswer::Malformed
        );
    }
}
