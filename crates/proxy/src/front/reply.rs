//! The head of an answer as HTTP/1 sends it, and the framing of its body.

use bytes::BytesMut;
use message::date::http_date;
use message::{
    answer::{Answer, AnswerLength},
    head::Version,
};

/// How the end of an answer's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyFraming {
    /// No body is sent, whatever the caller gives.
    Empty,
    /// By Content-Length.
    Sized {
        /// Bytes still to come.
        left: u64,
    },
    /// By the last chunk.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

impl ReplyFraming {
    /// The framing for this answer to a request of this method and version.
    pub(crate) fn choose(answer: &Answer, method: &str, version: Version) -> Self {
        if method == "HEAD" || !allows_body(answer.status) {
            return Self::Empty;
        }
        match answer.length {
            AnswerLength::Known(left) => Self::Sized { left },
            AnswerLength::None => Self::Sized { left: 0 },
            AnswerLength::Unknown if version == Version::Http10 => Self::UntilClose,
            AnswerLength::Unknown => Self::Chunked,
        }
    }
}

/// Appends the head to `out`.
pub(crate) fn write_head(
    out: &mut BytesMut,
    answer: &Answer,
    framing: ReplyFraming,
    version: Version,
    keep_alive: bool,
) {
    out.reserve(answer.fields.as_http1().len() + HEAD_BYTES);
    write_status_line(out, answer.status, &answer.reason);
    write_server_and_date(out, answer);
    answer.fields.write_http1(out);
    let length = match framing {
        ReplyFraming::Sized { left } => Some(left),
        // HEAD tells the length of what GET would send. 204 must not, and 304 would only repeat what the client has.
        ReplyFraming::Empty if allows_body(answer.status) => match answer.length {
            AnswerLength::Known(length) => Some(length),
            AnswerLength::Unknown | AnswerLength::None => None,
        },
        ReplyFraming::Empty | ReplyFraming::Chunked | ReplyFraming::UntilClose => None,
    };
    if let Some(length) = length {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if framing == ReplyFraming::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if answer.status == 426 && answer.fields.get("upgrade").is_some() {
        // It concerns this connection (RFC 9110 §7.8).
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    }
    if !keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if version == Version::Http10 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head that makes a WebSocket of the connection.
pub(crate) fn write_switch(out: &mut BytesMut, answer: &Answer) {
    write_status_line(out, answer.status, &answer.reason);
    write_server_and_date(out, answer);
    out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
    answer.fields.write_http1(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends an informational response.
pub(crate) fn write_informational(out: &mut BytesMut, answer: &Answer) {
    write_status_line(out, answer.status, &answer.reason);
    answer.fields.write_http1(out);
    out.extend_from_slice(b"\r\n");
}

fn write_server_and_date(out: &mut BytesMut, answer: &Answer) {
    if answer.names_server {
        out.extend_from_slice(b"Server: appliance\r\n");
    }
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(&http_date());
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut BytesMut, status: u16, reason: &[u8]) {
    if status == 200 && reason.is_empty() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.extend_from_slice(b" ");
    // A reason from an application must not start a line of its own.
    if !reason.is_empty() && reason.iter().all(|byte| *byte >= b' ' && *byte != 0x7f) {
        out.extend_from_slice(reason);
    } else if let Some(usual) = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
    {
        out.extend_from_slice(usual.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

const fn allows_body(status: u16) -> bool {
    !(status < 200 || status == 204 || status == 304)
}

/// Status line, Server, Date, framing and Connection.
const HEAD_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(answer: &Answer, method: &str, version: Version) -> String {
        let mut out = BytesMut::new();
        let framing = ReplyFraming::choose(answer, method, version);
        write_head(
            &mut out,
            answer,
            framing,
            version,
            framing != ReplyFraming::UntilClose,
        );
        let text = String::from_utf8(out.to_vec()).unwrap();
        let (start, rest) = text.split_once("Date: ").unwrap();
        format!("{start}{}", &rest[31..])
    }

    #[test]
    fn each_kind_of_answer_has_its_framing() {
        let mut answer = Answer::new(200);
        answer.length = AnswerLength::Known(5);
        answer.fields.push("X", "y");
        let sized = "HTTP/1.1 200 OK\r\nServer: appliance\r\nX: y\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(head(&answer, "GET", Version::Http11), sized);
        assert_eq!(head(&answer, "HEAD", Version::Http11), sized);
        assert!(head(&answer, "GET", Version::Http10).contains("Connection: keep-alive\r\n"));
        answer.length = AnswerLength::Unknown;
        assert!(head(&answer, "GET", Version::Http11).contains("Transfer-Encoding: chunked\r\n"));
        assert!(!head(&answer, "HEAD", Version::Http11).contains("Transfer-Encoding"));
        assert!(head(&answer, "GET", Version::Http10).ends_with("Connection: close\r\n\r\n"));
        for status in [204, 304] {
            assert!(!head(&Answer::new(status), "GET", Version::Http11).contains("Content-Length"));
        }
        assert!(head(&Answer::new(404), "GET", Version::Http11).contains("404 Not Found\r\n"));
        assert!(head(&Answer::new(404), "GET", Version::Http11).contains("Content-Length: 0\r\n"));
    }

    #[test]
    fn an_upgrade_that_is_required_is_an_option_of_the_connection() {
        let mut answer = Answer::new(426);
        answer.fields.push("upgrade", "websocket");
        assert!(head(&answer, "GET", Version::Http11).contains("\r\nConnection: Upgrade\r\n"));
    }

    #[test]
    fn the_server_is_named_by_us_or_by_the_route_and_never_by_both() {
        let mut answer = Answer::new(200);
        answer.names_server = false;
        assert!(!head(&answer, "GET", Version::Http11).contains("Server"));
        answer.fields.push("server", "theirs");
        let named = head(&answer, "GET", Version::Http11);
        assert_eq!(named.matches("Server: theirs\r\n").count(), 1, "{named}");
        assert!(!named.contains("appliance"), "{named}");
    }

    #[test]
    fn a_reason_can_not_start_a_line() {
        let mut answer = Answer::new(299);
        answer.reason = b"Fine\r\nSet-Cookie: a=b".to_vec();
        assert!(head(&answer, "GET", Version::Http11).starts_with("HTTP/1.1 299 \r\nServer"));
        answer.reason = b"Fine".to_vec();
        assert!(head(&answer, "GET", Version::Http11).starts_with("HTTP/1.1 299 Fine\r\n"));
    }
}
