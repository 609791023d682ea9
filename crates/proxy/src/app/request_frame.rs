//! The frame that carries a request to a worker.

use std::{borrow::Cow, os::unix::ffi::OsStrExt, time::Duration};

use config::Address;
use message::{
    connection::Connection,
    downstream::Downstream,
    forwarding_fields,
    head::{BodyLength, Head, Version},
    request::Request,
};
use wire::{
    frame::{self, BODY_FD, END, Kind, LENT},
    request::HeadersWriter,
};

use super::{
    app_request::AppRequest,
    mount::Mount,
    request_body::{RequestBody, Stored},
};

/// Names up to this length are made lower case without an allocation.
const NAME_BYTES: usize = 64;

/// What the application is asked by. PEP 3333 wants the server that the client named; ASGI the one that it reached, which the
/// client cannot choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface<'a> {
    /// WSGI
    Wsgi,
    /// WSGI, by an application that speaks the WebSocket protocol itself, with the key of its handshake.
    WsgiSocket(&'a str),
    /// ASGI, `http`
    Asgi,
    /// ASGI, `websocket`
    WebSocket,
}

impl Interface<'_> {
    fn is_asgi(self) -> bool {
        matches!(self, Self::Asgi | Self::WebSocket)
    }

    fn is_websocket(self) -> bool {
        matches!(self, Self::WsgiSocket(_) | Self::WebSocket)
    }
}

/// A request, where it came in and where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) head: &'a Head,
    pub(super) connection: &'a Connection,
    /// Where the connection was accepted.
    pub(super) listener: &'a Address,
    pub(super) request: &'a Request,
    pub(super) mount: Mount<'a>,
}

impl<'a> Placed<'a> {
    pub(super) fn of<D: Downstream>(down: &'a D, asked: &AppRequest<'a>) -> Self {
        Self {
            head: down.head(),
            connection: down.connection(),
            listener: &asked.listener.address,
            request: asked.request,
            mount: asked.mount,
        }
    }
}

/// Writes the frame of a request. Stream and entry are 0 until it is sent.
pub(super) fn write(
    placed: &Placed<'_>,
    body: &RequestBody,
    deadline: Duration,
    interface: Interface<'_>,
) -> Vec<u8> {
    let Placed {
        head,
        connection,
        request,
        mount,
        ..
    } = *placed;
    // What we add ourselves is some 400 bytes; a usual frame stays within the sizes that the allocator has at hand.
    let sent = head.fields.as_http1().len() + 2 * head.target.len() + 2 * request.authority.len();
    let mut out = Vec::with_capacity(sent + body.inline.len() + 512);
    let flags = match body {
        RequestBody { follows: true, .. } => 0,
        RequestBody {
            stored: Some(Stored::Lent(_)),
            ..
        } => END | BODY_FD | LENT,
        RequestBody { stored: Some(_), .. } => END | BODY_FD,
        _ => END,
    };
    let open = frame::begin(&mut out, 0, Kind::Request, flags);
    let mut client = String::with_capacity(48);
    if let Some(ip) = request.client {
        forwarding_fields::push_address(&mut client, ip);
    }
    let local;
    let (server, server_port) = match (connection.local, placed.listener) {
        _ if !interface.is_asgi() && !request.host.is_empty() => (request.host.as_bytes(), request.port),
        (Some(address), _) => {
            local = address.ip().to_canonical().to_string();
            let port = if interface.is_asgi() {
                address.port()
            } else {
                request.port
            };
            (local.as_bytes(), port)
        }
        (None, Address::Unix(path)) if interface.is_asgi() => (path.as_os_str().as_bytes(), 0),
        _ if !request.host.is_empty() => (request.host.as_bytes(), request.port),
        // PEP 3333 wants a name in any case.
        _ => (&b"localhost"[..], request.port),
    };
    let path = below(request.told_path(mount.route), mount.prefix);
    let (told_mount, target) = if mount.strip && !mount.prefix.is_empty() {
        ("", Cow::Owned(request.target_below(mount.prefix, &head.target)))
    } else {
        (mount.prefix, Cow::Borrowed(head.target.as_slice()))
    };
    // Asked for without what was cut off it, the path is the root of what is left.
    let path = if path.is_empty() && told_mount.is_empty() {
        b"/"
    } else {
        path
    };
    wire::request::Request {
        entry: 0,
        version: match head.version {
            Version::Http10 => 10,
            Version::Http11 => 11,
            Version::Http2 => 20,
        },
        https: request.https,
        websocket: interface.is_websocket(),
        tls_version: connection.tls.as_ref().map_or(0, |tls| tls.version_number),
        cipher_suite: connection.tls.as_ref().map_or(0, |tls| tls.cipher_number),
        deadline_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
        content_length: body.len,
        method: match interface {
            // What HTTP/2 has in its place is a CONNECT.
            Interface::WsgiSocket(_) => b"GET",
            _ => head.method.as_bytes(),
        },
        path,
        mount: told_mount.as_bytes(),
        query: &request.query,
        target: &target,
        client: client.as_bytes(),
        client_port: request.client_port,
        server,
        server_port,
        request_id: request.request_id.as_bytes(),
        headers: wire::request::Headers::default(),
    }
    .encode(&mut out);
    let mut headers = HeadersWriter::begin(&mut out);
    // HTTP/2 has its host elsewhere, an absolute target overrides the field: there is one host, and it comes first.
    if !head.host.is_empty() {
        headers.put(&mut out, b"host", &head.host);
    }
    // Who speaks the protocol itself, or looks for it, knows what HTTP/1.1 says.
    let websocket = interface.is_websocket();
    if websocket && head.version == Version::Http2 {
        headers.put(&mut out, b"upgrade", b"websocket");
        headers.put(&mut out, b"connection", b"Upgrade");
        if let Interface::WsgiSocket(key) = interface {
            headers.put(&mut out, b"sec-websocket-key", key.as_bytes());
        }
    }
    let mut digits = itoa::Buffer::new();
    let mut length = told_length(head, body, interface).map(|length| digits.format(length).as_bytes());
    let connection_options = head.fields.all("connection").collect::<Vec<_>>().join(&b","[..]);
    let mut lower = [0; NAME_BYTES];
    for (name, value) in head.fields.iter() {
        let long;
        let name = match lower.get_mut(..name.len()) {
            Some(lower) => {
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                &*lower
            }
            None => {
                long = name.to_ascii_lowercase();
                &long
            }
        };
        match name {
            b"host" => {}
            // Once, where the client said first how long its body is, and whichever way it said so.
            b"content-length" | b"transfer-encoding" => match length.take() {
                Some(length) => headers.put(&mut out, b"content-length", length),
                None if body.unbuffered && name == b"transfer-encoding" => {
                    headers.put(&mut out, name, value);
                }
                None => {}
            },
            b"upgrade" if websocket => headers.put(&mut out, name, value),
            b"connection" if websocket => {
                let value = if names_fields(value) { b"Upgrade" } else { value };
                headers.put(&mut out, name, value);
            }
            // An extended CONNECT has none (RFC 8441 §5); the application would prove what we do not check.
            b"sec-websocket-key" if websocket && head.version == Version::Http2 => {}
            _ if request.passing.lets(name, &connection_options) => {
                headers.put(&mut out, name, value);
            }
            _ => {}
        }
    }
    // HTTP/2 does not have to say it.
    if let Some(length) = length {
        headers.put(&mut out, b"content-length", length);
    }
    for (name, value) in forwarding_fields::request_fields(request).iter() {
        headers.put(&mut out, name, value);
    }
    headers.finish(&mut out);
    out.extend_from_slice(&body.inline);
    if let Some(Stored::Lent(loan)) = &body.stored {
        out.extend_from_slice(&loan.ticket.to_le_bytes());
    }
    frame::finish(&mut out, open);
    out
}

/// Does a Connection field name fields? They are not passed on, and an application that is told of them would
/// drop ours of the same name (RFC 9110 §7.6.1).
fn names_fields(connection: &[u8]) -> bool {
    const OPTIONS: [&[u8]; 3] = [b"upgrade", b"keep-alive", b"close"];
    connection
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|named| !OPTIONS.iter().any(|option| named.eq_ignore_ascii_case(option)))
}

/// The Content-Length that the application is told: `None` where there is no body, or where only its end will
/// tell.
fn told_length(head: &Head, body: &RequestBody, interface: Interface<'_>) -> Option<u64> {
    match head.body {
        // What follows an extended CONNECT is no body.
        BodyLength::Unknown if interface.is_websocket() => None,
        BodyLength::Unknown => (!body.unbuffered).then_some(body.len),
        BodyLength::Known(0) => head.fields.get("content-length").map(|_| 0),
        BodyLength::Known(length) => Some(length),
    }
}

/// The path below the mount; all of it when it does not lie there.
fn below<'a>(path: &'a [u8], mount: &str) -> &'a [u8] {
    path.strip_prefix(mount.as_bytes())
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::{downstream::recorder::Recorder, path};

    /// What the application is told of a request with these fields and a body of so many bytes.
    fn told(
        version: Version,
        lines: &[(&str, &str)],
        body: BodyLength,
        kept: &RequestBody,
        interface: Interface<'_>,
    ) -> Vec<(String, String)> {
        let mut down = Recorder::new("POST", "/", lines);
        (down.head.version, down.head.body) = (version, body);
        let request = Request::default();
        let placed = Placed {
            head: &down.head,
            connection: &down.connection,
            listener: &Address::Unix("/run/x.sock".into()),
            request: &request,
            mount: Mount::default(),
        };
        let frame = write(&placed, kept, Duration::ZERO, interface);
        let (request, _) = wire::request::Request::decode(&frame[frame::HEADER_LEN..]).expect("a request");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = request
            .headers
            .iter()
            .map(|(name, value)| (text(name), text(value)));
        // What we say ourselves is not the question here.
        fields
            .filter(|(name, _)| !name.starts_with("x-") && name != "forwarded")
            .collect()
    }

    fn bytes(len: u64) -> RequestBody {
        RequestBody {
            len,
            ..RequestBody::default()
        }
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        [("host".to_owned(), "example.org".to_owned())]
            .into_iter()
            .chain(fields)
            .collect()
    }

    #[test]
    fn the_length_of_a_body_that_is_whole_is_told_once_whichever_way_the_client_framed_it() {
        use BodyLength::{Known, Unknown};
        use Version::{Http2, Http10, Http11};
        for (version, sent, body, len, expected) in [
            (
                Http11,
                &[("Content-Length", "5"), ("A", "b")][..],
                Known(5),
                5,
                &[("content-length", "5"), ("a", "b")][..],
            ),
            (
                Http10,
                &[("A", "b"), ("content-length", "5")],
                Known(5),
                5,
                &[("a", "b"), ("content-length", "5")],
            ),
            (
                Http11,
                &[("Content-Length", "5"), ("Content-Length", "5")],
                Known(5),
                5,
                &[("content-length", "5")],
            ),
            (
                Http11,
                &[("Content-Length", "0")],
                Known(0),
                0,
                &[("content-length", "0")],
            ),
            (Http11, &[("A", "b")], Known(0), 0, &[("a", "b")]),
            (
                Http11,
                &[("Transfer-Encoding", "chunked"), ("A", "b")],
                Unknown,
                7,
                &[("content-length", "7"), ("a", "b")],
            ),
            (
                Http11,
                &[("Transfer-Encoding", "chunked")],
                Unknown,
                0,
                &[("content-length", "0")],
            ),
            (
                Http2,
                &[("content-length", "5"), ("a", "b")],
                Known(5),
                5,
                &[("content-length", "5"), ("a", "b")],
            ),
            (
                Http2,
                &[("a", "b")],
                Unknown,
                7,
                &[("a", "b"), ("content-length", "7")],
            ),
            (Http2, &[("a", "b")], Known(0), 0, &[("a", "b")]),
        ] {
            for interface in [Interface::Wsgi, Interface::Asgi] {
                assert_eq!(
                    told(version, sent, body, &bytes(len), interface),
                    pairs(expected),
                    "{version:?} {sent:?} {interface:?}"
                );
            }
        }
    }

    #[test]
    fn of_a_body_that_is_not_waited_for_the_client_is_believed() {
        use BodyLength::{Known, Unknown};
        let (chunked, unknown) = ([("Transfer-Encoding", "chunked")], wire::request::LENGTH_UNKNOWN);
        for (version, sent, body, len, expected) in [
            (
                Version::Http11,
                &[("Content-Length", "5")][..],
                Known(5),
                5,
                &[("content-length", "5")][..],
            ),
            (
                Version::Http11,
                &chunked,
                Unknown,
                unknown,
                &[("transfer-encoding", "chunked")],
            ),
            // It came with its head, and nothing depends on that.
            (
                Version::Http11,
                &chunked,
                Unknown,
                3,
                &[("transfer-encoding", "chunked")],
            ),
            (Version::Http2, &[], Unknown, unknown, &[]),
            (
                Version::Http2,
                &[("content-length", "5")],
                Known(5),
                5,
                &[("content-length", "5")],
            ),
        ] {
            let kept = RequestBody {
                unbuffered: true,
                ..bytes(len)
            };
            let found = told(version, sent, body, &kept, Interface::Asgi);
            assert_eq!(found, pairs(expected), "{version:?} {sent:?}");
        }
    }

    #[test]
    fn a_websocket_is_told_of_no_field_that_went_no_further() {
        for (connection, expected) in [
            ("Upgrade, X-Real-IP", "Upgrade"),
            ("private,upgrade", "Upgrade"),
            ("Upgrade, Keep-Alive", "Upgrade, Keep-Alive"),
        ] {
            let sent = [
                ("Upgrade", "websocket"),
                ("Connection", connection),
                ("Keep-Alive", "5"),
                ("Private", "1"),
            ];
            let told = told(
                Version::Http11,
                &sent,
                BodyLength::Known(0),
                &bytes(0),
                Interface::WebSocket,
            );
            let mut expected = pairs(&[("upgrade", "websocket"), ("connection", expected)]);
            if !connection.contains("private") {
                expected.push(("private".to_owned(), "1".to_owned()));
            }
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn the_application_sees_that_a_websocket_is_asked_for_and_no_other_upgrade() {
        let sent = [
            ("Upgrade", "WebSocket"),
            ("Connection", "keep-alive, Upgrade"),
            ("Keep-Alive", "5"),
        ];
        let ask = |version, sent, interface| {
            let body = match version {
                Version::Http2 => BodyLength::Unknown,
                _ => BodyLength::Known(0),
            };
            told(version, sent, body, &bytes(0), interface)
        };
        assert_eq!(
            ask(Version::Http11, &sent, Interface::WebSocket),
            pairs(&[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")])
        );
        assert_eq!(
            ask(Version::Http2, &[("a", "b")], Interface::WebSocket),
            pairs(&[("upgrade", "websocket"), ("connection", "Upgrade"), ("a", "b")])
        );
        assert_eq!(ask(Version::Http11, &sent, Interface::Asgi), pairs(&[]));
        // Who speaks the protocol itself needs a key as well.
        assert_eq!(
            ask(Version::Http11, &sent, Interface::WsgiSocket("")),
            pairs(&[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")])
        );
        let made_up = [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-key", "made up"),
            ("a", "b"),
        ];
        assert_eq!(
            ask(
                Version::Http2,
                &[("sec-websocket-key", "the client's"), ("a", "b")],
                Interface::WsgiSocket("made up"),
            ),
            pairs(&made_up)
        );
    }

    /// Path, mount, target, server and its port.
    fn place(target: &str, mount: Mount<'_>, interface: Interface) -> [String; 5] {
        let mut down = Recorder::new("GET", target, &[]);
        (down.connection.local, down.connection.peer) = (None, None);
        let (encoded, query) = path::split(target.as_bytes()).expect("a path");
        let (path, written) = path::normalise(encoded).expect("a path");
        let request = Request {
            path,
            written,
            query: query.to_vec(),
            port: 80,
            ..Request::default()
        };
        let placed = Placed {
            head: &down.head,
            connection: &down.connection,
            listener: &Address::Unix("/run/x.sock".into()),
            request: &request,
            mount,
        };
        let frame = write(&placed, &bytes(0), Duration::ZERO, interface);
        let (request, _) = wire::request::Request::decode(&frame[frame::HEADER_LEN..]).expect("a request");
        let port = request.server_port.to_string();
        [
            request.path,
            request.mount,
            request.target,
            request.server,
            port.as_bytes(),
        ]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    #[test]
    fn path_and_target_are_as_sent_below_the_mount_or_without_it() {
        let told = |target, prefix, strip| {
            let mount = Mount {
                prefix,
                strip,
                route: prefix,
            };
            let [path, mount, target, ..] = place(target, mount, Interface::Asgi);
            [path, mount, target]
        };
        for (target, prefix, strip, expected) in [
            ("/a//b?q", "", false, ["/a//b", "", "/a//b?q"]),
            (
                "/shop//b%2F?q",
                "/shop",
                false,
                ["//b/", "/shop", "/shop//b%2F?q"],
            ),
            ("//shop/b", "/shop", false, ["/b", "/shop", "//shop/b"]),
            ("/shop", "/shop", false, ["", "/shop", "/shop"]),
            ("/shop//b%2F?q", "/shop", true, ["//b/", "", "//b%2F?q"]),
            ("/shop?q", "/shop", true, ["/", "", "/?q"]),
            ("/shop/./b%2Fc", "/shop", true, ["/b/c", "", "/b/c"]),
            ("/a//b", "", true, ["/a//b", "", "/a//b"]),
        ] {
            assert_eq!(
                told(target, prefix, strip),
                expected.map(str::to_owned),
                "{target} {prefix} {strip}"
            );
        }
    }

    #[test]
    fn the_server_of_a_unix_socket_is_its_path_for_asgi_and_a_name_for_wsgi() {
        let [.., server, port] = place("/", Mount::default(), Interface::Asgi);
        assert_eq!((server.as_str(), port.as_str()), ("/run/x.sock", "0"));
        let [.., server, port] = place("/", Mount::default(), Interface::WebSocket);
        assert_eq!((server.as_str(), port.as_str()), ("/run/x.sock", "0"));
        let [.., server, port] = place("/", Mount::default(), Interface::Wsgi);
        assert_eq!((server.as_str(), port.as_str()), ("localhost", "80"));
    }
}
