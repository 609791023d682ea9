//! The head of an HTTP/2 request.

use config::Limits;
use h2::ext::Protocol;
use http::{HeaderValue, Method, Uri, header, request::Parts};
use message::{
    authority,
    fields::Fields,
    head::{BodyLength, Head, Version},
    request_line::METHOD_BYTES_MAX,
};

/// Makes a head of what h2 has decoded; `Err`: the status to refuse it with. A head is there in any case, so that the
/// refusal has something to answer to. `ended`: no body follows.
///
/// h2 has seen to what makes a request malformed by its form (pseudo fields, connection-specific fields,
/// upper case). What is left are the rules that HTTP/1 has as well, and our own limits.
pub(crate) fn read(parts: &Parts, ended: bool, limits: &Limits) -> (Head, Result<(), u16>) {
    let mut facts = Facts::default();
    let mut fields = Fields::with_capacity(parts.headers.len(), 512);
    let mut cookies: Vec<u8> = Vec::new();
    for (name, value) in &parts.headers {
        facts.bad |= has_blanks_around(value);
        if name == header::COOKIE {
            // RFC 9113 §8.2.3: crumbs are one field again before they leave HTTP/2, and one field for our
            // limits.
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value.as_bytes());
        } else {
            facts.see(name.as_str(), value);
            fields.push(name.as_str(), value.as_bytes());
        }
    }
    if !cookies.is_empty() {
        fields.push("cookie", &cookies);
    }
    let host = match (parts.uri.authority(), facts.host) {
        (Some(authority), named) => {
            let authority = authority.as_str().as_bytes();
            facts.bad |= named.is_some_and(|named| !named.as_bytes().eq_ignore_ascii_case(authority));
            authority.to_vec()
        }
        (None, named) => named.map(HeaderValue::as_bytes).unwrap_or_default().to_vec(),
    };
    facts.bad |= !authority::is_valid(&host);
    // Its bytes are no content (RFC 9110 §9.3.6), and a length of them would never be reached.
    facts.bad |= parts.method == Method::CONNECT && facts.length.is_some();
    let target = target(&parts.uri);
    let bytes = fields.as_http1().len() + fields.len() * FIELD_OVERHEAD + target.len() + host.len();
    let verdict = if target.len() > limits.target_bytes_max {
        Err(414)
    } else if bytes > limits.head_bytes_max || fields.len() > limits.headers_max {
        Err(431)
    } else if facts.bad {
        Err(400)
    } else if parts.method.as_str().len() > METHOD_BYTES_MAX {
        Err(501)
    } else if facts.unknown_expectation {
        Err(417)
    } else {
        form(parts, &target)
    };
    if facts.host.is_none() && !host.is_empty() {
        fields.push("host", &host);
    }
    let head = Head {
        method: parts.method.as_str().to_owned(),
        target,
        version: Version::Http2,
        host,
        body: match facts.length {
            _ if ended => BodyLength::Known(0),
            Some(length) => BodyLength::Known(length),
            None => BodyLength::Unknown,
        },
        fields,
    };
    (head, verdict)
}

/// What RFC 7541 §4.1 counts for each field besides its text, less the bytes that stand between name and
/// value in `Fields`.
const FIELD_OVERHEAD: usize = 32 - 4;

/// `:path`; a CONNECT of the usual kind has none.
fn target(uri: &Uri) -> Vec<u8> {
    uri.path_and_query()
        .map(|path| path.as_str().as_bytes().to_vec())
        .unwrap_or_default()
}

/// What the fields that matter for framing say, collected in one pass.
#[derive(Debug, Default)]
struct Facts<'a> {
    host: Option<&'a HeaderValue>,
    length: Option<u64>,
    /// A field breaks a rule.
    bad: bool,
    /// Something else than `100-continue` is expected of us.
    unknown_expectation: bool,
}

impl<'a> Facts<'a> {
    fn see(&mut self, name: &str, value: &'a HeaderValue) {
        match name {
            "host" => self.bad |= self.host.replace(value).is_some(),
            "content-length" => match number(value.as_bytes()) {
                Some(length) => self.bad |= self.length.replace(length).is_some(),
                None => self.bad = true,
            },
            "expect" => {
                let value = value.as_bytes();
                self.unknown_expectation |= !value.is_empty() && !value.eq_ignore_ascii_case(b"100-continue");
            }
            _ => {}
        }
    }
}

fn form(parts: &Parts, target: &[u8]) -> Result<(), u16> {
    let protocol = parts.extensions.get::<Protocol>().map(Protocol::as_str);
    if parts.uri.scheme_str().is_some_and(|scheme| !is_ours(scheme)) {
        return Err(400);
    }
    match target {
        _ if target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) => Err(400),
        // RFC 8441: what passes as CONNECT asks for a WebSocket. Tunnels are not offered.
        [b'/', ..] if parts.method == Method::CONNECT && protocol == Some("websocket") => Ok(()),
        // What else might pass as one (RFC 9220 §3), and a tunnel, as over HTTP/1.1.
        _ if protocol.is_some() => Err(501),
        _ if parts.method == Method::CONNECT => Err(405),
        [b'/', ..] => Ok(()),
        b"*" if parts.method == Method::OPTIONS => Ok(()),
        _ => Err(400),
    }
}

/// What is asked for by another scheme is not ours to answer, as in an absolute target over HTTP/1.1.
fn is_ours(scheme: &str) -> bool {
    ["https", "http"]
        .iter()
        .any(|ours| scheme.eq_ignore_ascii_case(ours))
}

/// Blanks around a value make its message malformed (RFC 9113 §8.2.1).
pub(super) fn has_blanks_around(value: &HeaderValue) -> bool {
    matches!(value.as_bytes(), [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

/// Digits only.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    // `parse` would take a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> Limits {
        Limits {
            connections_max: 1,
            target_bytes_max: 64,
            head_bytes_max: 512,
            headers_max: 4,
            head_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            body_timeout: Duration::from_secs(1),
            body_rate_min: 0,
            requests_max: 1,
        }
    }

    fn request(method: &str, uri: &str, fields: &[(&'static str, &str)]) -> Parts {
        let mut builder = http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder
            .version(http::Version::HTTP_2)
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    #[test]
    fn cookie_crumbs_become_one_field() {
        let header = request(
            "GET",
            "https://example.org/a?b",
            &[("cookie", "a=1"), ("cookie", "b=2")],
        );
        let (head, verdict) = read(&header, true, &limits());
        assert_eq!(verdict, Ok(()));
        assert_eq!(head.target, b"/a?b");
        assert_eq!(head.host, b"example.org");
        assert_eq!(head.fields.get("cookie"), Some(&b"a=1; b=2"[..]));
        assert_eq!(head.body, BodyLength::Known(0));
    }

    #[test]
    fn any_number_of_crumbs_is_one_field_for_the_limits() {
        let crumbs = [("cookie", "a=1"); 40];
        let header = request("GET", "https://example.org/", &crumbs);
        let (head, verdict) = read(&header, true, &limits());
        assert_eq!((verdict, head.fields.len()), (Ok(()), 2));
        // Their bytes count all the same.
        let large = "x".repeat(30);
        let crumbs = [("cookie", large.as_str()); 20];
        let header = request("GET", "https://example.org/", &crumbs);
        assert_eq!(read(&header, true, &limits()).1, Err(431));
        // What is no cookie counts for itself.
        let many = [
            ("accept", "1"),
            ("accept", "1"),
            ("cookie", "a=1"),
            ("x", "1"),
            ("y", "1"),
        ];
        assert_eq!(
            read(&request("GET", "https://example.org/", &many), true, &limits()).1,
            Err(431)
        );
    }

    #[test]
    fn what_http1_refuses_is_refused_here_too() {
        for (uri, fields) in [
            ("https://example.org/", &[("x", " a")][..]),
            ("https://example.org/", &[("x", "a\t")]),
            ("https://example.org/", &[("cookie", " a=1")]),
            ("https://example.org/", &[("cookie", "a=1"), ("cookie", "b=2 ")]),
            ("https://example.org/", &[("content-length", "+1")]),
            (
                "https://example.org/",
                &[("content-length", "1"), ("content-length", "1")],
            ),
            ("https://example.org/", &[("content-length", "1, 1")]),
            ("https://example.org/", &[("host", "other.example")]),
            (
                "https://example.org/",
                &[("host", "example.org"), ("host", "example.org")],
            ),
            ("https://me@example.org/", &[]),
            ("ftp://example.org/", &[]),
            ("1a://example.org/", &[]),
            ("httpss://example.org/", &[]),
            ("/", &[]),
            ("/", &[("host", "")]),
            ("/", &[("host", "a b")]),
        ] {
            assert_eq!(
                read(&request("GET", uri, fields), false, &limits()).1,
                Err(400),
                "{uri} {fields:?}"
            );
        }
        for (uri, fields) in [
            (
                "https://example.org/",
                &[("host", "EXAMPLE.org"), ("x", ""), ("y", "a b")][..],
            ),
            ("/", &[("host", "example.org:1")]),
            ("HTTP://example.org/", &[]),
        ] {
            assert_eq!(
                read(&request("GET", uri, fields), false, &limits()).1,
                Ok(()),
                "{uri} {fields:?}"
            );
        }
    }

    #[test]
    fn a_method_longer_than_any_is_501_as_over_http1() {
        for (len, verdict) in [(32, Ok(())), (33, Err(501)), (300, Err(501))] {
            let header = request(&"A".repeat(len), "https://example.org/", &[]);
            assert_eq!(read(&header, true, &limits()).1, verdict, "{len}");
        }
    }

    #[test]
    fn an_unknown_expectation_is_417_as_over_http1() {
        for (value, verdict) in [
            ("coffee", Err(417)),
            ("200-ok", Err(417)),
            ("100-Continue", Ok(())),
            ("", Ok(())),
        ] {
            let header = request("POST", "https://example.org/", &[("expect", value)]);
            assert_eq!(read(&header, false, &limits()).1, verdict, "{value}");
        }
    }

    #[test]
    fn a_stream_without_a_length_has_a_body_until_its_end() {
        let header = request("POST", "https://example.org/", &[]);
        assert_eq!(read(&header, false, &limits()).0.body, BodyLength::Unknown);
        let header = request("POST", "https://example.org/", &[("content-length", "7")]);
        assert_eq!(read(&header, false, &limits()).0.body, BodyLength::Known(7));
    }

    #[test]
    fn a_websocket_has_no_length() {
        for length in ["0", "5"] {
            let fields = [("content-length", length)];
            let mut parts = request("CONNECT", "https://example.org/", &fields);
            parts.extensions.insert(Protocol::from_static("websocket"));
            assert_eq!(read(&parts, false, &limits()).1, Err(400), "{length}");
        }
    }

    #[test]
    fn heads_past_a_limit_are_refused() {
        let long = format!("https://example.org/{}", "x".repeat(80));
        assert_eq!(read(&request("GET", &long, &[]), true, &limits()).1, Err(414));
        let big = "x".repeat(600);
        let header = request("GET", "https://example.org/", &[("x-big", &big)]);
        assert_eq!(read(&header, true, &limits()).1, Err(431));
        let many = [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")];
        let header = request("GET", "https://example.org/", &many);
        assert_eq!(read(&header, true, &limits()).1, Err(431));
        assert_eq!(
            read(&request("CONNECT", "example.org:443", &[]), true, &limits()).1,
            Err(405)
        );
    }

    #[test]
    fn only_websockets_pass_as_connect() {
        for (protocol, verdict) in [("websocket", Ok(())), ("connect-udp", Err(501)), ("", Err(501))] {
            let mut parts = request("CONNECT", "https://example.org/", &[]);
            parts.extensions.insert(Protocol::from(protocol));
            assert_eq!(read(&parts, false, &limits()).1, verdict, "{protocol}");
        }
    }
}
