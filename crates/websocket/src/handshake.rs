//! What a client asks for when it asks for a WebSocket (RFC 6455 §4.2.1, RFC 8441 §4).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use message::{
    fields::Fields,
    head::{BodyLength, Head, Version},
};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::extension::Deflate;

/// A handshake that can be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Sec-WebSocket-Accept; HTTP/2 has none.
    pub accept: Option<String>,
    /// Compression, when both want it.
    pub deflate: Option<Deflate>,
}

/// Why a handshake cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadHandshake {
    /// Status of the answer.
    pub status: u16,
    /// For the log.
    pub why: &'static str,
}

/// Does this request ask for a WebSocket? On HTTP/2 only the extended CONNECT does, and the only one that
/// passes as a request is that for a WebSocket.
pub fn asked(head: &Head) -> bool {
    match head.version {
        Version::Http2 => head.method == "CONNECT",
        Version::Http11 => {
            head.method == "GET"
                && has_token(&head.fields, "upgrade", b"websocket")
                && has_token(&head.fields, "connection", b"upgrade")
        }
        Version::Http10 => false,
    }
}

/// Is a WebSocket the one protocol that this HTTP/1 request would like to change to? Only then does a server
/// behind us see the client's Upgrade field.
pub fn is_only_wish(head: &Head) -> bool {
    let mut protocols = head.fields.all("upgrade");
    protocols
        .next()
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
}

/// Checks a request that asks for a WebSocket. `compression`: we would compress.
pub fn check(head: &Head, compression: bool) -> Result<Handshake, BadHandshake> {
    let bad = |why| BadHandshake { status: 400, why };
    let fields = &head.fields;
    if only(fields, "sec-websocket-version") != Some(b"13") {
        return Err(BadHandshake {
            status: 426,
            why: "Sec-WebSocket-Version is not 13",
        });
    }
    let accept = if head.version == Version::Http2 {
        None
    } else {
        if head.body != BodyLength::Known(0) {
            return Err(bad("WebSocket handshake with a body"));
        }
        let key = only(fields, "sec-websocket-key").ok_or(bad("not one Sec-WebSocket-Key"))?;
        if STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == KEY_BYTES) {
            Some(accept(key))
        } else {
            return Err(bad("Sec-WebSocket-Key is not 16 bytes in base64"));
        }
    };
    let deflate = compression
        .then(|| Deflate::agree(fields.all("sec-websocket-extensions")))
        .flatten();
    Ok(Handshake { accept, deflate })
}

/// Has the client offered this subprotocol?
pub fn offers(fields: &Fields, subprotocol: &[u8]) -> bool {
    fields
        .all("sec-websocket-protocol")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|offer| offer.trim_ascii() == subprotocol)
}

/// The key of an HTTP/1.1 handshake, made up: HTTP/2 has none.
pub fn made_up_key() -> String {
    STANDARD.encode(fastrand::u128(..).to_ne_bytes())
}

/// What proves that an answer belongs to the request with this key (RFC 6455 §4.2.2).
pub fn accept(key: impl AsRef<[u8]>) -> String {
    let text = [key.as_ref(), GUID].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

fn has_token(fields: &Fields, name: &str, token: &[u8]) -> bool {
    fields
        .all(name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(token))
}

/// The value of a field that is there once.
fn only<'a>(fields: &'a Fields, name: &'a str) -> Option<&'a [u8]> {
    let mut values = fields.all(name);
    let value = values.next()?;
    values.next().is_none().then(|| value.trim_ascii())
}

const KEY_BYTES: usize = 16;
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, lines: &[(&str, &str)]) -> Head {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name, value);
        }
        Head {
            method: method.to_owned(),
            target: b"/".to_vec(),
            version: Version::Http11,
            host: b"example.org".to_vec(),
            fields,
            body: BodyLength::Known(0),
        }
    }

    const GOOD: [(&str, &str); 4] = [
        ("Upgrade", "WebSocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let head = head("GET", &GOOD);
        assert!(asked(&head));
        let handshake = check(&head, true).expect("good");
        assert_eq!(handshake.accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(handshake.deflate, None);
    }

    #[test]
    fn only_a_get_with_both_fields_asks() {
        assert!(!asked(&head("POST", &GOOD)));
        assert!(!asked(&head("GET", &GOOD[1..])));
        assert!(!asked(&head("GET", &[GOOD[0], GOOD[2], GOOD[3]])));
    }

    #[test]
    fn a_wrong_version_is_426_and_a_wrong_key_400() {
        let with = |at: usize, value| {
            let mut lines = GOOD;
            lines[at].1 = value;
            check(&head("GET", &lines), true).expect_err("bad").status
        };
        assert_eq!(with(2, "8"), 426);
        assert_eq!(with(3, "dGhlIHNhbXBsZQ=="), 400);
        assert_eq!(with(3, "dGhlIHNhbXBsZSBub25jZQ"), 400);
        let twice = [&GOOD[..], &GOOD[3..]].concat();
        assert_eq!(check(&head("GET", &twice), true).expect_err("bad").status, 400);
    }

    #[test]
    fn subprotocols_are_compared_whole() {
        let head = head(
            "GET",
            &[
                ("Sec-WebSocket-Protocol", "chat, v2.chat"),
                ("Sec-WebSocket-Protocol", "x"),
            ],
        );
        assert!(offers(&head.fields, b"v2.chat") && offers(&head.fields, b"x"));
        assert!(!offers(&head.fields, b"v2") && !offers(&head.fields, b"") && !offers(&head.fields, b"Chat"));
    }
}
