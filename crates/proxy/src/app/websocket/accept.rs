//! The head that accepts a WebSocket.

use message::{
    answer::{Answer, AnswerLength},
    head::{Head, Version},
};
use websocket::handshake::{self, Handshake};
use wire::websocket::Accept;

use crate::app::answer_head::{is_token, is_value};

/// Why the application's acceptance cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadAccept {
    /// The frame itself is wrong.
    #[error("malformed accept frame")]
    Malformed,
    /// The client would have to fail the connection.
    #[error("the client has not offered the subprotocol that the application chose")]
    Subprotocol,
    /// A name that is no token, or a value with control characters.
    #[error("invalid header field")]
    Field,
}

/// Makes the head of what the worker says: 101, or 200 on HTTP/2.
pub(super) fn accept(payload: &[u8], head: &Head, handshake: &Handshake) -> Result<Answer, BadAccept> {
    let said = Accept::decode(payload).map_err(|_| BadAccept::Malformed)?;
    let mut answer = Answer::new(if head.version == Version::Http2 { 200 } else { 101 });
    answer.length = AnswerLength::Unknown;
    for (name, value) in said.headers.iter() {
        if !is_token(name) || !is_value(value) {
            return Err(BadAccept::Field);
        }
        if !is_ours(name) && !is_of_handshake(name) {
            answer.fields.push(name, value);
        }
    }
    if let Some(accept) = &handshake.accept {
        answer.fields.push("sec-websocket-accept", accept);
    }
    if !said.subprotocol.is_empty() {
        if !handshake::offers(&head.fields, said.subprotocol) {
            return Err(BadAccept::Subprotocol);
        }
        answer.fields.push("sec-websocket-protocol", said.subprotocol);
    }
    if let Some(deflate) = handshake.deflate {
        answer.fields.push("sec-websocket-extensions", deflate.field());
    }
    Ok(answer)
}

/// A field of the handshake itself.
fn is_of_handshake(name: &[u8]) -> bool {
    name.split_at_checked(14)
        .is_some_and(|(start, _)| start.eq_ignore_ascii_case(b"sec-websocket-"))
}

/// A field of the connection, or of the framing that is no more.
pub(super) fn is_ours(name: &[u8]) -> bool {
    const OURS: [&str; 9] = [
        "te",
        "date",
        "server",
        "trailer",
        "upgrade",
        "connection",
        "keep-alive",
        "content-length",
        "transfer-encoding",
    ];
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours.as_bytes()))
}
