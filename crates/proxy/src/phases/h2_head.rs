//! The head of an HTTP/2 request.

use config::Limits;
use h2::ext::Protocol;
use http::{Method, header};
use pingora_http::RequestHeader;

use crate::{
    fields::Fields,
    head::{BodyLength, Head, Version},
};

/// Makes a head of what h2 has decoded; `Err`: the status to refuse it with. A head is there in any case, so that the
/// refusal has something to answer to.
///
/// h2 has seen to what RFC 9113 calls malformed (pseudo fields, connection-specific fields, upper case), pingora to
/// contradicting authorities and content lengths. What is left are our own limits and forms.
pub(crate) fn read(header: &RequestHeader, ended: bool, limits: &Limits) -> (Head, Result<(), u16>) {
    let mut fields = Fields::with_capacity(header.headers.len(), 512);
    let mut bytes = 0;
    let mut cookies: Vec<u8> = Vec::new();
    for (name, value) in &header.headers {
        bytes += name.as_str().len() + value.len() + FIELD_OVERHEAD;
        if name == header::COOKIE {
            // RFC 9113 §8.2.3: crumbs are one field again before they leave HTTP/2.
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value.as_bytes());
        } else {
            fields.push(name.as_str(), value.as_bytes());
        }
    }
    if !cookies.is_empty() {
        fields.push("cookie", &cookies);
    }
    let host = match header.uri.authority() {
        Some(authority) => authority.as_str().as_bytes().to_vec(),
        None => fields.get("host").unwrap_or_default().to_vec(),
    };
    if fields.get("host").is_none() && !host.is_empty() {
        fields.push("host", &host);
    }
    let target = header.raw_path().to_vec();
    bytes += target.len() + host.len();
    let verdict = if target.len() > limits.target_bytes_max {
        Err(414)
    } else if bytes > limits.head_bytes_max || header.headers.len() > limits.headers_max {
        Err(431)
    } else {
        let protocol = header.extensions.get::<Protocol>();
        form(&header.method, protocol.map(Protocol::as_str), &target)
    };
    let head = Head {
        method: header.method.as_str().to_owned(),
        target,
        version: Version::Http2,
        host,
        body: match length(&fields) {
            _ if ended => BodyLength::Known(0),
            Some(length) => BodyLength::Known(length),
            None => BodyLength::Unknown,
        },
        fields,
    };
    (head, verdict)
}

/// What RFC 7541 §4.1 counts for each field besides its text.
const FIELD_OVERHEAD: usize = 32;

fn form(method: &Method, protocol: Option<&str>, target: &[u8]) -> Result<(), u16> {
    match target {
        // RFC 8441: what passes as CONNECT asks for a WebSocket. Tunnels are not offered.
        [b'/', ..] if method == Method::CONNECT && protocol == Some("websocket") => Ok(()),
        _ if method == Method::CONNECT || protocol.is_some() => Err(501),
        [b'/', ..] => Ok(()),
        b"*" if method == Method::OPTIONS => Ok(()),
        _ => Err(400),
    }
}

/// pingora has made sure that all Content-Length fields agree.
fn length(fields: &Fields) -> Option<u64> {
    let value = fields.get("content-length")?;
    let first = value.split(|byte| *byte == b',').next()?;
    std::str::from_utf8(first).ok()?.trim().parse().ok()
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

    fn request(method: &str, uri: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
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
            .into()
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
    fn a_stream_without_a_length_has_a_body_until_its_end() {
        let header = request("POST", "https://example.org/", &[]);
        assert_eq!(read(&header, false, &limits()).0.body, BodyLength::Unknown);
        let header = request("POST", "https://example.org/", &[("content-length", "7")]);
        assert_eq!(read(&header, false, &limits()).0.body, BodyLength::Known(7));
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
            Err(501)
        );
    }
}
