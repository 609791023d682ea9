//! The frame that carries a request to a worker.

use std::time::Duration;

use wire::{
    frame::{self, BODY_FD, END, Kind, LENT},
    request::HeadersWriter,
};

use crate::{
    connection::Connection,
    forwarded,
    head::{Head, Version},
    request::Request,
};

use super::request_body::{RequestBody, Stored};

/// Names up to this length are made lower case without an allocation.
const NAME_BYTES: usize = 64;

/// What the application is asked by. PEP 3333 wants the server that the client named; ASGI the one that it reached, which the
/// client can not choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    /// WSGI
    Wsgi,
    /// ASGI, `http`
    Asgi,
    /// ASGI, `websocket`
    WebSocket,
}

/// Writes the frame of a request. Stream and entry are 0 until it is sent.
pub(super) fn write(
    head: &Head,
    connection: &Connection,
    request: &Request,
    mount: &str,
    body: &RequestBody,
    deadline: Duration,
    interface: Interface,
) -> Vec<u8> {
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
        forwarded::push_address(&mut client, ip);
    }
    let local;
    let (server, server_port) = match connection.local {
        Some(address) if interface != Interface::Wsgi || request.host.is_empty() => {
            local = address.ip().to_canonical().to_string();
            let port = match interface {
                Interface::Wsgi => request.port,
                Interface::Asgi | Interface::WebSocket => address.port(),
            };
            (local.as_str(), port)
        }
        _ => (request.host.as_str(), request.port),
    };
    wire::request::Request {
        entry: 0,
        version: match head.version {
            Version::Http10 => 10,
            Version::Http11 => 11,
            Version::Http2 => 20,
        },
        https: request.https,
        websocket: interface == Interface::WebSocket,
        tls_version: connection.tls.as_ref().map_or(0, |tls| tls.version_number),
        cipher_suite: connection.tls.as_ref().map_or(0, |tls| tls.cipher_number),
        deadline_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
        content_length: body.len,
        method: head.method.as_bytes(),
        path: below(&request.path, mount),
        mount: mount.as_bytes(),
        query: &request.query,
        target: &head.target,
        client: client.as_bytes(),
        client_port: request.client_port,
        server: server.as_bytes(),
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
        if !matches!(name, b"host" | b"content-length")
            && forwarded::passes_to_servers(name, &connection_options)
        {
            headers.put(&mut out, name, value);
        }
    }
    for (name, value) in forwarded::request_fields(request).iter() {
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

/// The path below the mount; all of it when it does not lie there.
fn below<'a>(path: &'a [u8], mount: &str) -> &'a [u8] {
    path.strip_prefix(mount.as_bytes())
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
        .unwrap_or(path)
}
