//! The head of a request as a server behind us gets it.

use bytes::BytesMut;
use message::{
    forwarding_fields,
    head::{BodyLength, Head, Version},
    passing::Passing,
    request::Request,
    request_line::RequestLine,
};

use super::upgrade::Upgrade;

/// What the server is told of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Then<'a> {
    /// Another request may follow.
    Keep,
    /// This is the last request.
    Close,
    /// It is to become a WebSocket.
    Switch(&'a Upgrade),
}

/// Appends the head. Of the client's fields those go on that are for servers; framing and what concerns the
/// connection are written anew. `strip` is cut from the path, `host` stands in where the client named none;
/// `expect`: the body waits for `100 Continue`.
pub(super) fn write(
    out: &mut BytesMut,
    head: &Head,
    request: &Request,
    strip: &str,
    host: &str,
    expect: bool,
    then: Then<'_>,
) {
    let sent = head.fields.as_http1();
    // What we add ourselves is some 400 bytes.
    out.reserve(sent.len() + head.target.len() + request.path.len() + 2 * request.authority.len() + 512);
    out.extend_from_slice(match then {
        // On HTTP/2 it is a CONNECT.
        Then::Switch(_) => b"GET",
        Then::Keep | Then::Close => head.method.as_bytes(),
    });
    out.extend_from_slice(b" ");
    if strip.is_empty() {
        let target = RequestLine::origin_form(&head.target);
        if target.first().is_none_or(|byte| *byte == b'?') {
            out.extend_from_slice(b"/");
        }
        out.extend_from_slice(target);
    } else {
        out.extend_from_slice(&request.target_below(strip, &head.target));
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    // An absolute target overrides the field (RFC 9112 §3.2.2): there is one host, and it comes first.
    if head.host.is_empty() {
        out.extend_from_slice(host.as_bytes());
    } else {
        out.extend_from_slice(&head.host);
    }
    out.extend_from_slice(b"\r\n");
    write_fields(out, head, request.passing);
    out.extend_from_slice(forwarding_fields::request_fields(request).as_http1());
    match head.body {
        // What follows on an HTTP/2 stream is no body.
        _ if matches!(then, Then::Switch(_)) => {}
        BodyLength::Known(length) => {
            // Whoever says that there is no body is passed on, too: some servers want to hear it.
            if length > 0 || head.fields.get("content-length").is_some() {
                out.extend_from_slice(b"Content-Length: ");
                out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
        BodyLength::Unknown => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    if expect {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    match then {
        Then::Keep => {}
        Then::Close => out.extend_from_slice(b"Connection: close\r\n"),
        Then::Switch(upgrade) => upgrade.write(out),
    }
    out.extend_from_slice(b"\r\n");
}

/// The client's fields that go on.
fn write_fields(out: &mut BytesMut, head: &Head, passing: Passing) {
    let mut options = head.fields.all("connection");
    let first = options.next().unwrap_or_default();
    let joined;
    let options = match options.next() {
        None => first,
        Some(_) => {
            joined = head.fields.all("connection").collect::<Vec<_>>().join(&b","[..]);
            &joined
        }
    };
    let mut cookies = 0;
    for (name, value) in head.fields.iter() {
        if name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"content-length") {
            continue;
        }
        if !passing.lets(name, options) {
            continue;
        }
        // An extended CONNECT has none (RFC 8441 §5); the server is given one of ours.
        if head.version == Version::Http2 && name.eq_ignore_ascii_case(b"sec-websocket-key") {
            continue;
        }
        if name.eq_ignore_ascii_case(b"cookie") {
            cookies += 1;
            if cookies > 1 {
                continue;
            }
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            // Elsewhere than in HTTP/2 it is one field (RFC 9113 §8.2.3).
            for (position, crumb) in head.fields.all("cookie").enumerate() {
                if position > 0 {
                    out.extend_from_slice(b"; ");
                }
                out.extend_from_slice(crumb);
            }
        } else {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::downstream::recorder::Recorder;

    fn request() -> Request {
        Request {
            client: "192.0.2.7".parse().ok(),
            host: "example.org".into(),
            authority: "example.org:81".into(),
            port: 81,
            path: b"/api/a b".to_vec(),
            query: b"q".to_vec(),
            request_id: "0af3".into(),
            ..Request::default()
        }
    }

    fn written(head: &Head, strip: &str, last: bool) -> String {
        let mut out = BytesMut::new();
        let then = if last { Then::Close } else { Then::Keep };
        let expect = head.expects_continue();
        write(&mut out, head, &request(), strip, "named.example", expect, then);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn the_client_is_told_and_what_is_for_one_hop_stays_here() {
        let fields = [
            ("Host", "example.org:81"),
            ("X-Forwarded-For", "6.6.6.6"),
            ("X_Real_IP", "6.6.6.6"),
            ("Connection", "x-mine"),
            ("connection", "keep-alive, X-Other"),
            ("X-Mine", "1"),
            ("X-Other", "1"),
            ("TE", "trailers"),
            ("Expect", "100-continue"),
            ("Upgrade", "h2c"),
            ("Proxy", "http://evil"),
            ("Accept", "*/*"),
            ("Cookie", "a=1"),
            ("X-Between", "2"),
            ("cookie", "b=2"),
        ];
        let head = Recorder::new("GET", "/api/a%20b?q", &fields).head;
        assert_eq!(
            written(&head, "", false),
            "GET /api/a%20b?q HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nCookie: a=1; b=2\r\nX-Between: 2\r\n\
             x-real-ip: 192.0.2.7\r\nx-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: http\r\nx-forwarded-port: 81\r\n\
             x-forwarded-host: example.org:81\r\nforwarded: for=192.0.2.7;proto=http;host=\"example.org:81\"\r\n\
             x-request-id: 0af3\r\n\r\n"
        );
    }

    #[test]
    fn the_body_is_framed_anew() {
        let mut head = Recorder::new("POST", "/", &[("Content-Length", "0")]).head;
        assert!(written(&head, "", false).contains("\r\nContent-Length: 0\r\n"));
        head = Recorder::new("POST", "/", &[("content-length", "5, 5")]).head;
        head.body = BodyLength::Known(5);
        assert!(written(&head, "", false).contains("\r\nContent-Length: 5\r\n\r\n"));
        head = Recorder::new("POST", "/", &[("Transfer-Encoding", "chunked")]).head;
        head.body = BodyLength::Unknown;
        let written = written(&head, "", true);
        assert_eq!(written.matches("chunked").count(), 1);
        assert!(written.ends_with("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"));
    }

    #[test]
    fn a_server_is_told_of_a_body_that_waits_for_its_word() {
        let mut head = Recorder::new("PUT", "/", &[("Expect", "100-Continue")]).head;
        head.body = BodyLength::Known(5);
        let expects = "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        assert!(written(&head, "", false).ends_with(expects));
        // An old client does not wait, and without a body there is nothing to wait with.
        for (version, body) in [
            (Version::Http10, BodyLength::Known(5)),
            (Version::Http11, BodyLength::Known(0)),
            (Version::Http2, BodyLength::Known(0)),
        ] {
            (head.version, head.body) = (version, body);
            assert!(!written(&head, "", false).contains("Expect"), "{version:?}");
        }
    }

    #[test]
    fn targets_become_paths_and_there_is_always_a_host() {
        let mut head = Recorder::new("GET", "http://example.org?x", &[]).head;
        assert!(written(&head, "", false).starts_with("GET /?x HTTP/1.1\r\nHost: example.org\r\n"));
        head.host = Vec::new();
        assert!(
            written(&head, "/api", false).starts_with("GET /a%20b?q HTTP/1.1\r\nHost: named.example\r\n")
        );
    }
}
