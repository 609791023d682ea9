//! The head that an application has written to its socket.

use message::{
    answer::{Answer, AnswerLength},
    head::{Head, Version},
};
use websocket::handshake;

use crate::app::websocket::accept::is_ours;

/// Why what the application has written cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHead {
    /// Another status, another protocol, or no HTTP at all.
    #[error("it does not begin with HTTP/1.1 101")]
    NoSwitch,
    /// A line that is no field, or too many of them.
    #[error("malformed head")]
    Malformed,
    /// No end within the limit.
    #[error("head of more than {HEAD_BYTES_MAX} bytes")]
    TooLong,
    /// It ended first.
    #[error("head without an end")]
    Half,
    /// The client would have to fail the connection.
    #[error("Sec-WebSocket-Accept does not answer the client's key")]
    Accept,
    /// The same.
    #[error("the client has not offered the subprotocol that the application chose")]
    Subprotocol,
}

/// Makes our head of what the application has written: 101, or 200 on HTTP/2. Says how long its own was;
/// `None`: not all of it is there. `accept`: what it has to answer to the key it was given.
pub(super) fn read(bytes: &[u8], head: &Head, accept: &str) -> Result<Option<(Answer, usize)>, BadHead> {
    if !bytes.iter().zip(START).all(|(byte, expected)| byte == expected) {
        return Err(BadHead::NoSwitch);
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut said = httparse::Response::new(&mut fields);
    let len = match said.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) => return Err(BadHead::TooLong),
        Err(_) => return Err(BadHead::Malformed),
    };
    if said.code != Some(101) {
        return Err(BadHead::NoSwitch);
    }
    let http2 = head.version == Version::Http2;
    let mut answer = Answer::new(if http2 { 200 } else { 101 });
    answer.length = AnswerLength::Unknown;
    let mut accepts = 0;
    for field in said.headers.iter() {
        let name = field.name.as_bytes();
        let value = field.value.trim_ascii();
        if name.eq_ignore_ascii_case(b"sec-websocket-accept") {
            if value != accept.as_bytes() {
                return Err(BadHead::Accept);
            }
            accepts += 1;
            if http2 {
                continue;
            }
        }
        if name.eq_ignore_ascii_case(b"sec-websocket-protocol") && !handshake::offers(&head.fields, value) {
            return Err(BadHead::Subprotocol);
        }
        if !is_ours(name) {
            answer.fields.push(name, value);
        }
    }
    if accepts != 1 {
        return Err(BadHead::Accept);
    }
    Ok(Some((answer, len)))
}

const START: &[u8] = b"HTTP/1.1 101";

/// As long as a head of a client may be where nothing else is said; no library writes a tenth of it.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use message::{fields::Fields, head::BodyLength};

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn asked(version: Version) -> Head {
        let mut fields = Fields::default();
        fields.push("Sec-WebSocket-Protocol", "chat, v2.chat");
        Head {
            method: "GET".to_owned(),
            target: b"/".to_vec(),
            version,
            host: b"example.org".to_vec(),
            fields,
            body: BodyLength::Known(0),
        }
    }

    fn good(more: &str) -> String {
        format!(
            "HTTP/1.1 101 \r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n{more}\r\n"
        )
    }

    #[test]
    fn a_right_head_is_ours_with_the_fields_of_the_application() {
        let said = good("Server: x\r\nSet-Cookie: a=b\r\nSec-WebSocket-Protocol: v2.chat\r\n");
        let bytes = format!("{said}frames");
        let fields = "Set-Cookie: a=b\r\nSec-WebSocket-Protocol: v2.chat\r\n";
        for (version, status, expected) in [
            (
                Version::Http11,
                101,
                format!("Sec-WebSocket-Accept: {ACCEPT}\r\n{fields}"),
            ),
            (Version::Http2, 200, fields.to_owned()),
        ] {
            let read = read(bytes.as_bytes(), &asked(version), ACCEPT).expect("good");
            let (answer, len) = read.expect("whole");
            assert_eq!((answer.status, len), (status, said.len()));
            assert_eq!(String::from_utf8_lossy(answer.fields.as_http1()), expected);
        }
        for len in 0..said.len() {
            let read = read(&said.as_bytes()[..len], &asked(Version::Http11), ACCEPT);
            assert_eq!(read.expect("good so far"), None, "{len}");
        }
    }

    #[test]
    fn everything_else_is_refused_as_soon_as_it_is_seen() {
        let long = format!("HTTP/1.1 101 \r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        let many = good(&"X: y\r\n".repeat(FIELDS_MAX));
        for (said, why) in [
            ("hello", BadHead::NoSwitch),
            ("\0", BadHead::NoSwitch),
            ("HTTP/1.1 200 OK\r\n", BadHead::NoSwitch),
            ("HTTP/1.1 1010\r\n\r\n", BadHead::Malformed),
            ("HTTP/1.0 101 ", BadHead::NoSwitch),
            ("HTTP/1.1 101 \r\n\r\n", BadHead::Accept),
            ("HTTP/1.1 101 \r\nbad line\r\n\r\n", BadHead::Malformed),
            ("HTTP/1.1 101 \r\nX: a\0b\r\n\r\n", BadHead::Malformed),
            (&good("Sec-WebSocket-Accept: x\r\n"), BadHead::Accept),
            (
                &good(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n")),
                BadHead::Accept,
            ),
            (&good("Sec-WebSocket-Protocol: other\r\n"), BadHead::Subprotocol),
            (&long, BadHead::TooLong),
            (&many, BadHead::Malformed),
        ] {
            let read = read(said.as_bytes(), &asked(Version::Http11), ACCEPT);
            assert_eq!(read.expect_err("bad"), why, "{said}");
        }
    }
}
