//! Malformed requests over HTTP/2, asked of this server and of nginx: who pays for one, its stream or the
//! whole connection? Where nginx is installed both are compared, and each difference is one of
//! [`DIFFERENCES`], which the README of `deploy` tells.

use std::sync::Arc;

use crate::harness::{
    Site,
    certificate::Certificate,
    free_port,
    http2::{
        DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE,
        block, client, frame, is_timeout,
    },
    nginx::{self, Nginx},
};

/// What becomes of a request, and of its neighbour on the same connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Answered with 200.
    Served,
    /// Reset, or answered with an error; the neighbour is served.
    Refused,
    /// The connection ends.
    Ended,
}

use Fate::{Ended, Refused, Served};

/// What becomes of these at nginx 1.22, which is something else than here, and why.
const DIFFERENCES: &[(&str, Fate)] = &[
    // The `h2` crate checks names and values while it decompresses a head; when one fails, the state of the
    // compression is lost.
    ("a name in upper case", Refused),
    ("a name with a blank", Refused),
    ("a name with a tab", Refused),
    ("a name with NUL", Refused),
    ("a name with a line end", Refused),
    ("a name with DEL", Refused),
    ("a name with a colon", Refused),
    ("a name with a bracket", Served),
    ("a name with Latin-1", Served),
    ("a value with NUL", Refused),
    ("a value with CR", Refused),
    ("a value with LF", Refused),
    ("a value with another control byte", Served),
    ("a value with DEL", Served),
    ("a method with a blank", Refused),
    ("a method with Latin-1", Refused),
    ("a path with Latin-1", Served),
    ("an authority with Latin-1", Served),
    // RFC 3986 §2 knows none of them in a target, and `h2` refuses it; HTTP/1.1 clients are served.
    ("a query with quotes", Served),
    ("a query with angle brackets", Served),
    ("a path with angle brackets", Served),
    // What is asked for by another scheme is not ours to answer.
    ("another scheme", Served),
    // A target has no fragment (RFC 9113 §8.3.1).
    ("a path with a fragment", Served),
    ("an unknown pseudo field", Refused),
    // A malformed request is a stream error (RFC 9113 §8.1.1); nginx goes on as if nothing was wrong, or ends
    // the connection.
    ("a value behind a blank", Served),
    ("a value before a tab", Served),
    ("a cookie behind a blank", Served),
    ("a pseudo field behind a field", Served),
    ("connection", Served),
    ("keep-alive", Served),
    ("proxy-connection", Served),
    ("transfer-encoding", Served),
    ("upgrade", Served),
    ("te without trailers", Served),
    ("less than the length", Served),
    ("more than the length", Served),
    ("an empty scheme", Ended),
    ("an empty authority", Ended),
    // An authority names no user (RFC 9113 §8.3.1).
    ("an authority with a user", Served),
    // Methods are case-sensitive, and any token is one (RFC 9110 §9.1).
    ("a method in lower case", Refused),
    // nginx knows no trailers of requests.
    ("good trailers", Ended),
    ("trailers that are not the end", Ended),
    ("a pseudo field in trailers", Ended),
    ("a connection field in trailers", Ended),
    // A new table size comes before the fields (RFC 7541 §4.2).
    ("a table size in the middle", Served),
];

type Field = (&'static [u8], &'static [u8]);

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"https");
const AUTHORITY: Field = (b":authority", b"localhost");
const PATH: Field = (b":path", b"/");
const GOOD: [Field; 4] = [METHOD, SCHEME, AUTHORITY, PATH];

/// A request on stream 3.
struct Case {
    name: &'static str,
    /// What it costs here.
    fate: Fate,
    frames: Vec<u8>,
}

/// One head and no body.
fn head(name: &'static str, fate: Fate, fields: &[Field]) -> Case {
    Case {
        name,
        fate,
        frames: frame(HEADERS, WHOLE, 3, &block(fields)),
    }
}

/// A good head with this field behind it.
fn with(name: &'static str, fate: Fate, field: &'static [u8], value: &'static [u8]) -> Case {
    head(name, fate, &[&GOOD[..], &[(field, value)]].concat())
}

/// A good head with this field before it.
fn twice(name: &'static str, fate: Fate, field: Field) -> Case {
    head(name, fate, &[&[field], &GOOD[..]].concat())
}

/// A good head but for one of its pseudo fields.
fn but(name: &'static str, fate: Fate, field: &'static [u8], value: &'static [u8]) -> Case {
    head(
        name,
        fate,
        &GOOD.map(|good| if good.0 == field { (field, value) } else { good }),
    )
}

/// A good head without this pseudo field.
fn without(name: &'static str, fate: Fate, field: Field) -> Case {
    let rest: Vec<Field> = GOOD.into_iter().filter(|good| *good != field).collect();
    head(name, fate, &rest)
}

/// A request with a body: a good head with this field, and what follows it.
fn post(name: &'static str, fate: Fate, field: Field, rest: &[Vec<u8>]) -> Case {
    let fields = [(&b":method"[..], &b"POST"[..]), SCHEME, AUTHORITY, PATH, field];
    let head = frame(HEADERS, END_HEADERS, 3, &block(&fields));
    Case {
        name,
        fate,
        frames: [head, rest.concat()].concat(),
    }
}

/// A good head with these bytes behind it.
fn compressed(name: &'static str, fate: Fate, rest: &[u8]) -> Case {
    Case {
        name,
        fate,
        frames: frame(HEADERS, WHOLE, 3, &[&block(&GOOD), rest].concat()),
    }
}

fn names_and_values() -> Vec<Case> {
    vec![
        with("a good request", Served, b"x-mine", b"1"),
        with("a name in upper case", Ended, b"X-Mine", b"1"),
        with("a name with a blank", Ended, b"x mine", b"1"),
        with("a name with a tab", Ended, b"x\tmine", b"1"),
        with("a name with NUL", Ended, b"x\0mine", b"1"),
        with("a name with a line end", Ended, b"x\nmine", b"1"),
        with("a name with DEL", Ended, b"x\x7fmine", b"1"),
        with("a name with a colon", Ended, b"x:mine", b"1"),
        with("a name with a bracket", Ended, b"x(mine", b"1"),
        with("a name with Latin-1", Ended, b"x-m\xefne", b"1"),
        with("an empty name", Ended, b"", b"1"),
        with("a value with NUL", Ended, b"x-mine", b"a\0b"),
        with("a value with CR", Ended, b"x-mine", b"a\rb"),
        with("a value with LF", Ended, b"x-mine", b"a\nb"),
        with("a value with another control byte", Ended, b"x-mine", b"a\x01b"),
        with("a value with DEL", Ended, b"x-mine", b"a\x7fb"),
        with("a value with Latin-1", Served, b"x-mine", b"a\xe9b"),
        with("a value behind a blank", Refused, b"x-mine", b" a"),
        with("a value before a tab", Refused, b"x-mine", b"a\t"),
        with("a cookie behind a blank", Refused, b"cookie", b" a=1"),
        with("an empty value", Served, b"x-mine", b""),
    ]
}

fn pseudo_fields() -> Vec<Case> {
    vec![
        but("an empty method", Ended, b":method", b""),
        but("a method in lower case", Served, b":method", b"get"),
        but("a method with a blank", Ended, b":method", b"GE T"),
        but("a method with Latin-1", Ended, b":method", b"G\xc9T"),
        without("no method", Refused, METHOD),
        twice("two methods", Refused, METHOD),
        but("an empty path", Refused, b":path", b""),
        but("a path without a slash", Refused, b":path", b"x"),
        but("a path of another method", Refused, b":path", b"*"),
        but("a path with a blank", Refused, b":path", b"/a b"),
        but("a path with NUL", Refused, b":path", b"/a\0b"),
        but("a path with another control byte", Refused, b":path", b"/a\x01b"),
        but("a path with Latin-1", Ended, b":path", b"/\xe9"),
        but("a query with quotes", Refused, b":path", b"/?q={\"a\":1}"),
        but("a query with angle brackets", Refused, b":path", b"/?q=<a>"),
        but("a path with angle brackets", Refused, b":path", b"/<a>"),
        but("a path with a fragment", Refused, b":path", b"/a#b"),
        but("a path above the root", Refused, b":path", b"/../a"),
        but("a path with a broken escape", Refused, b":path", b"/%zz"),
        without("no path", Refused, PATH),
        twice("two paths", Refused, PATH),
        but("an empty scheme", Refused, b":scheme", b""),
        but("another scheme", Refused, b":scheme", b"ftp"),
        but("a scheme that begins with a digit", Refused, b":scheme", b"1a"),
        but("a scheme in upper case", Served, b":scheme", b"HTTPS"),
        but("a scheme with a blank", Refused, b":scheme", b"ht tps"),
        without("no scheme", Refused, SCHEME),
        twice("two schemes", Refused, SCHEME),
        but("an empty authority", Refused, b":authority", b""),
        but(
            "an authority with a user",
            Refused,
            b":authority",
            b"me@localhost",
        ),
        but("an authority with a blank", Refused, b":authority", b"local host"),
        but("an authority with a path", Refused, b":authority", b"localhost/a"),
        but("an authority with Latin-1", Ended, b":authority", b"l\xf6calhost"),
        without("no authority", Refused, AUTHORITY),
        twice("two authorities", Refused, AUTHORITY),
        with("a host that is another", Refused, b"host", b"elsewhere"),
        with("an empty host", Refused, b"host", b""),
        head(
            "a pseudo field behind a field",
            Refused,
            &[METHOD, SCHEME, AUTHORITY, (b"x-mine", b"1"), PATH],
        ),
        head(
            "an unknown pseudo field",
            Ended,
            &[&GOOD[..], &[(b":mine", b"1")]].concat(),
        ),
        head(
            "a pseudo field of responses",
            Refused,
            &[&GOOD[..], &[(b":status", b"200")]].concat(),
        ),
        with("a protocol without CONNECT", Refused, b":protocol", b"websocket"),
    ]
}

fn framing() -> Vec<Case> {
    let data = |flags, body: &[u8]| frame(DATA, flags, 3, body);
    let trailers = |flags, field: Field| frame(HEADERS, flags, 3, &block(&[field]));
    let plain: Field = (b"x-mine", b"1");
    vec![
        with("connection", Refused, b"connection", b"close"),
        with("keep-alive", Refused, b"keep-alive", b"timeout=5"),
        with("proxy-connection", Refused, b"proxy-connection", b"close"),
        with("transfer-encoding", Refused, b"transfer-encoding", b"chunked"),
        with("upgrade", Refused, b"upgrade", b"websocket"),
        with("te without trailers", Refused, b"te", b"gzip"),
        with("te with trailers", Served, b"te", b"trailers"),
        with("a length and no body", Refused, b"content-length", b"5"),
        with("a length that is no number", Refused, b"content-length", b"five"),
        with("a length with a sign", Refused, b"content-length", b"+0"),
        with("a negative length", Refused, b"content-length", b"-1"),
        with("two lengths in one", Refused, b"content-length", b"0, 0"),
        post(
            "a good upload",
            Served,
            (b"content-length", b"5"),
            &[data(END_STREAM, b"12345")],
        ),
        post(
            "less than the length",
            Refused,
            (b"content-length", b"5"),
            &[data(END_STREAM, b"123")],
        ),
        post(
            "more than the length",
            Refused,
            (b"content-length", b"3"),
            &[data(END_STREAM, b"12345")],
        ),
        post(
            "good trailers",
            Served,
            plain,
            &[data(0, b"1"), trailers(WHOLE, plain)],
        ),
        post(
            "trailers that are not the end",
            Refused,
            plain,
            &[data(0, b"1"), trailers(END_HEADERS, plain)],
        ),
        post(
            "a name in upper case in trailers",
            Ended,
            plain,
            &[trailers(WHOLE, (b"X-Mine", b"1"))],
        ),
        post(
            "a pseudo field in trailers",
            Refused,
            plain,
            &[trailers(WHOLE, PATH)],
        ),
        post(
            "a connection field in trailers",
            Refused,
            plain,
            &[trailers(WHOLE, (b"connection", b"close"))],
        ),
        compressed("index 0", Ended, &[0x80]),
        compressed("an index out of the table", Ended, &[0xff, 0x7f]),
        compressed("a string that is cut", Ended, &[0, 5, b'x']),
        compressed(
            "a broken Huffman code",
            Ended,
            &[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff],
        ),
        compressed("a table size in the middle", Ended, &[0x20]),
    ]
}

/// Sends it beside a request whose answer waits for the client.
#[track_caller]
fn fate(case: &Case, port: u16, client: &Arc<rustls::ClientConfig>) -> Fate {
    let mut http2 = Http2::open(port, client);
    // Nothing of a body may be sent yet.
    http2.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    http2.send(HEADERS, WHOLE, 1, &block(&GOOD));
    // nginx keeps a head back while nothing of its body may be sent.
    let room = frame(WINDOW_UPDATE, 0, 3, &[0, 0, 1, 0]);
    http2.connection.send([&case.frames[..], &room].concat()).unwrap();
    let fate = loop {
        match http2.frame() {
            Ok(frame) if frame.kind == GOAWAY && frame.payload[4..8] != [0; 4] => return Ended,
            Ok(frame) if frame.stream != 3 => {}
            Ok(frame) if frame.kind == RST_STREAM => break Refused,
            Ok(frame) if frame.kind == HEADERS => {
                // The size of the table may be told before the status.
                let status = frame.payload.iter().find(|byte| **byte & 0xe0 != 0x20);
                break if status == Some(&STATUS_200) {
                    Served
                } else {
                    Refused
                };
            }
            Ok(_) => {}
            Err(error) => {
                assert!(!is_timeout(&error), "{}: no answer", case.name);
                return Ended;
            }
        }
    };
    let room = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 1, 0]);
    if http2.connection.send(room).is_err() {
        return Ended;
    }
    loop {
        match http2.frame() {
            Ok(frame) if frame.kind == GOAWAY && frame.payload[4..8] != [0; 4] => return Ended,
            Ok(frame) if frame.stream == 1 && frame.kind == DATA => {
                assert_eq!(frame.payload, b"hello", "{}", case.name);
                return fate;
            }
            Ok(_) => {}
            Err(error) => {
                assert!(!is_timeout(&error), "{}: no body", case.name);
                return Ended;
            }
        }
    }
}

/// `:status: 200` of the static table (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;

#[test]
fn a_malformed_request_costs_what_it_costs_at_nginx_but_for_what_is_listed() {
    let mut site = Site::new("http2-parity");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    site.config(
        r#"
        [tls]
        certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]

        [[listener]]
        address = "127.0.0.1:{tls_port}"
        tls = true

        [[site]]
        respond = "hello"
        "#,
    );
    site.start();
    let client = client(&certificate);
    let nginx = nginx::is_of("1.22").then(|| {
        let port = free_port();
        let file = |name: &str| nginx::quoted(&site.directory.join(name));
        let nginx = Nginx::start(&format!(
            "listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ return 200 hello; }}",
            file("localhost.crt"),
            file("localhost.key")
        ));
        (nginx, port)
    });
    if nginx.is_none() {
        println!("not compared: nginx is not installed, or of another release");
    }
    let cases = [names_and_values(), pseudo_fields(), framing()]
        .into_iter()
        .flatten();
    let cases: Vec<Case> = cases.collect();
    for (name, _) in DIFFERENCES {
        assert!(
            cases.iter().any(|case| case.name == *name),
            "{name}: no such case"
        );
    }
    let mut failures = Vec::new();
    for case in &cases {
        let ours = fate(case, site.tls_port, &client);
        if ours != case.fate {
            failures.push(format!("{}: {ours:?} instead of {:?}", case.name, case.fate));
        }
        let Some((_, port)) = &nginx else { continue };
        let theirs = fate(case, *port, &client);
        let listed = DIFFERENCES.iter().find(|(name, _)| *name == case.name);
        let expected = listed.map_or(case.fate, |(_, fate)| *fate);
        if theirs != expected {
            failures.push(format!(
                "{} at nginx: {theirs:?} instead of {expected:?}",
                case.name
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(site.stop().success());
}
