//! A request for a WebSocket as a server behind us is asked it, and what the server's answer means to the
//! client.
//!
//! Servers are asked in HTTP/1.1, whatever the client speaks. Whoever has made the key of a handshake checks
//! the server's proof (`Sec-WebSocket-Accept`), so that each handshake is checked once. A client on HTTP/1.1
//! has made its own and has to fail the connection where the proof is wrong (RFC 6455 §4.1); it gets the
//! answer as it is, as from nginx. One on HTTP/2 sends an extended CONNECT without a key (RFC 8441 §5), so
//! the server gets one of ours, and we check the proof in the client's place: it never sees it.

use bytes::BytesMut;
use message::{
    answer::{Answer, AnswerLength},
    head::{BodyLength, Head, Version},
};
use websocket::handshake;

use super::answer_head::BadAnswer;

/// A client's wish for a WebSocket.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// The key that a client on HTTP/2 has not sent.
    key: Option<String>,
}

impl Upgrade {
    /// The wish of a request that [asks](handshake::asked) for a WebSocket; `None` where it cannot be passed
    /// on: a body could be taken for the WebSocket, and a server might choose another protocol of several.
    pub(crate) fn of(head: &Head) -> Option<Self> {
        if head.version == Version::Http2 {
            return Some(Self {
                key: Some(handshake::made_up_key()),
            });
        }
        let passed_on = head.body == BodyLength::Known(0) && handshake::is_only_wish(head);
        passed_on.then_some(Self { key: None })
    }

    /// Appends the fields that ask for it.
    pub(super) fn write(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
        if let Some(key) = &self.key {
            out.extend_from_slice(b"Sec-WebSocket-Key: ");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Makes the client's head of the one with which the server has accepted.
    pub(super) fn accepted(&self, mut answer: Answer) -> Result<Answer, BadAnswer> {
        let Some(key) = &self.key else { return Ok(answer) };
        let proof = handshake::accept(key);
        if answer.fields.get(ACCEPT) != Some(proof.as_bytes()) {
            return Err(BadAnswer::NoWebSocket);
        }
        answer.fields.remove(ACCEPT);
        answer.status = 200;
        answer.reason = Vec::new();
        answer.length = AnswerLength::Unknown;
        Ok(answer)
    }

    /// May this answer, which is no acceptance, go to the client?
    pub(super) fn refused(&self, answer: &Answer) -> Result<(), BadAnswer> {
        if self.key.is_some() && answer.status < 300 {
            return Err(BadAnswer::Page);
        }
        Ok(())
    }
}

const ACCEPT: &str = "sec-websocket-accept";

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;
    use message::downstream::recorder::Recorder;

    fn of_http2() -> Upgrade {
        let mut head = Recorder::new("CONNECT", "/", &[]).head;
        head.version = Version::Http2;
        head.body = BodyLength::Unknown;
        Upgrade::of(&head).unwrap()
    }

    fn switch(accept: &str) -> Answer {
        let mut answer = Answer::new(101);
        answer.fields.push("Sec-WebSocket-Accept", accept);
        answer.fields.push("Sec-WebSocket-Protocol", "chat");
        answer
    }

    #[test]
    fn a_client_without_a_key_gets_one_and_its_proof_is_checked() {
        let upgrade = of_http2();
        let mut out = BytesMut::new();
        upgrade.write(&mut out);
        let text = std::str::from_utf8(&out).unwrap();
        let key = text.trim_end().rsplit(' ').next().unwrap();
        assert_eq!(STANDARD.decode(key).unwrap().len(), 16);
        let accepted = upgrade.accepted(switch(&handshake::accept(key))).unwrap();
        assert_eq!(accepted.status, 200);
        assert_eq!(accepted.fields.as_http1(), b"Sec-WebSocket-Protocol: chat\r\n");
        for wrong in ["", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="] {
            assert_eq!(upgrade.accepted(switch(wrong)), Err(BadAnswer::NoWebSocket));
        }
        assert_ne!(of_http2().key, upgrade.key, "each request has its own");
    }

    #[test]
    fn a_success_that_is_no_websocket_is_kept_from_http2_alone() {
        for (status, fits) in [(200, false), (204, false), (302, true), (403, true), (502, true)] {
            assert_eq!(of_http2().refused(&Answer::new(status)).is_ok(), fits, "{status}");
        }
        assert!(Upgrade { key: None }.refused(&Answer::new(200)).is_ok());
    }

    #[test]
    fn what_could_become_something_else_is_not_passed_on() {
        let head =
            |upgrade| Recorder::new("GET", "/", &[("Connection", "upgrade"), ("Upgrade", upgrade)]).head;
        assert!(Upgrade::of(&head("WebSocket")).is_some());
        assert!(Upgrade::of(&head("websocket, h2c")).is_none());
        let mut with_body = head("websocket");
        with_body.body = BodyLength::Known(1);
        assert!(Upgrade::of(&with_body).is_none());
    }
}
