//! Who really asks: what trusted proxies say of a request, and what we tell the servers behind us.
//!
//! A forwarding field is a list that every proxy appends to, so its right end is what our peer saw and its left end is
//! whatever the client liked to claim. It is walked from the right, as long as the hop that wrote an element is trusted;
//! the first untrusted address is the client, and everything left of it is forgotten. What goes on to apps and upstreams
//! is written anew from what the walk found, so nothing spoofed reaches them.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
};

use config::{IpNet, Server};

use crate::{connection::Connection, fields::Fields, head::Head, request::Request};

mod authority;
mod chain;
mod request_id;

use chain::Hop;

/// The Host is not a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid host")]
pub(crate) struct HostError;

/// Understands all of a request but its path.
pub(crate) fn understand(
    head: &Head,
    connection: &Connection,
    server: &Server,
) -> Result<Request, HostError> {
    let trusted = &server.trusted_proxies;
    let peer = connection.peer.map(|peer| peer.ip().to_canonical());
    let mut request = Request {
        client: peer,
        client_port: connection.peer.map_or(0, |peer| peer.port()),
        https: connection.tls.is_some(),
        ..Request::default()
    };
    let mut said = Said::default();
    let peer_trusted = is_trusted(peer, trusted);
    if peer_trusted {
        said = walk(&mut request, &head.fields, trusted);
    }
    request.passing = Passing {
        trusted: peer_trusted,
        underscores: server.underscores_in_headers,
    };
    let asked = said
        .host
        .or_else(|| String::from_utf8(head.host.clone()).ok())
        .ok_or(HostError)?;
    let (host, port) = if asked.is_empty() {
        (String::new(), None)
    } else {
        authority::split(&asked).ok_or(HostError)?
    };
    if let Some(https) = said.https {
        request.https = https;
    }
    let usual = if request.https { 443 } else { 80 };
    request.port = match (said.port.or(port), connection.local) {
        (Some(port), _) => port,
        (None, Some(local)) if host.is_empty() => local.port(),
        (None, _) => usual,
    };
    request.host = host;
    request.authority = asked;
    request.request_id = head
        .fields
        .get("x-request-id")
        .filter(|_| peer_trusted)
        .and_then(request_id::accept)
        .unwrap_or_else(request_id::make);
    Ok(request)
}

/// What trusted proxies say besides addresses.
#[derive(Debug, Default)]
struct Said {
    https: Option<bool>,
    host: Option<String>,
    port: Option<u16>,
}

/// Walks the chain of proxies back to the client.
fn walk(request: &mut Request, fields: &Fields, trusted: &[IpNet]) -> Said {
    let listed = chain::x_forwarded_for(fields);
    let (hops, standard) = match listed {
        Some(hops) => (hops, false),
        None => (chain::forwarded(fields), true),
    };
    let mut teller = request.client;
    let mut origin: Option<&Hop> = None;
    let mut depth = 0;
    for hop in hops.iter().rev().take(HOPS_MAX) {
        let Some(address) = hop.address else { break };
        if !is_trusted(teller, trusted) {
            break;
        }
        request.hops.extend(teller);
        teller = Some(address.ip());
        request.client = teller;
        request.client_port = address.port();
        origin = Some(hop);
        depth += 1;
    }
    request.hops.reverse();
    let mut said = Said::default();
    if standard && let Some(hop) = origin {
        said.https = hop.https;
        said.host = hop.host.clone().filter(|host| authority::split(host).is_some());
    }
    // A proxy may append to these lists as well: the element that belongs to the client is as far from the right as the
    // client is in the chain.
    let told = |name| nth_from_right(fields, name, depth.max(1));
    said.https = told("x-forwarded-proto")
        .and_then(|proto| scheme(&proto))
        .or(said.https);
    said.host = told("x-forwarded-host")
        .filter(|host| authority::split(host).is_some())
        .or(said.host);
    said.port = told("x-forwarded-port")
        .and_then(|port| port.parse().ok())
        .filter(|&port| port != 0);
    said
}

/// A Unix socket is reached only by those whom its permissions let in: they are trusted.
fn is_trusted(address: Option<IpAddr>, trusted: &[IpNet]) -> bool {
    address.is_none_or(|address| trusted.iter().any(|net| net.contains(&address)))
}

/// The `n`-th element from the right of a list field, or its first when it has fewer.
fn nth_from_right(fields: &Fields, name: &str, n: usize) -> Option<String> {
    let elements: Vec<&[u8]> = fields.all(name).flat_map(elements).collect();
    let element = elements.get(elements.len().saturating_sub(n))?;
    String::from_utf8(element.to_vec()).ok()
}

/// The elements of a list; empty ones do not count (RFC 9110 §5.6.1.2).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Is this scheme HTTPS? Anything that is not a web scheme says nothing.
fn scheme(text: &str) -> Option<bool> {
    let is = |name: &str| text.eq_ignore_ascii_case(name);
    match () {
        () if is("https") || is("wss") => Some(true),
        () if is("http") || is("ws") => Some(false),
        () => None,
    }
}

/// What apps and upstreams are told of the request; names in lower case. The client's own fields of these names do not
/// [pass](Passing::lets).
pub(crate) fn request_fields(request: &Request) -> Fields {
    let mut fields = Fields::with_capacity(8, 512);
    let scheme = if request.https { "https" } else { "http" };
    let mut text = String::with_capacity(128);
    if let Some(client) = request.client {
        push_address(&mut text, client);
        fields.push("x-real-ip", &text);
        for hop in &request.hops {
            append(&mut text, format_args!(", {hop}"));
        }
        fields.push("x-forwarded-for", &text);
        text.clear();
    }
    fields.push("x-forwarded-proto", scheme);
    fields.push("x-forwarded-port", itoa::Buffer::new().format(request.port));

    // RFC 7239: the first element is the client's and carries what it asked for.
    text.push_str("for=");
    match request.client {
        Some(client @ IpAddr::V4(_)) => push_address(&mut text, client),
        Some(client) => append(&mut text, format_args!("{}", Node(client))),
        None => text.push_str("unknown"),
    }
    text.push_str(";proto=");
    text.push_str(scheme);
    if !request.authority.is_empty() {
        fields.push("x-forwarded-host", &request.authority);
        text.push_str(";host=\"");
        text.push_str(&request.authority);
        text.push('"');
    }
    for hop in &request.hops {
        append(&mut text, format_args!(", for={}", Node(*hop)));
    }
    fields.push("forwarded", &text);
    fields.push("x-request-id", &request.request_id);
    fields
}

/// Which fields of a request go on to an app or an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Passing {
    /// The peer is a trusted proxy.
    pub(crate) trusted: bool,
    /// Names with an underscore are wanted.
    pub(crate) underscores: bool,
}

impl Passing {
    /// Does this field go on? Not what concerns this connection only, not what we tell ourselves
    /// ([`request_fields`]), from a stranger nothing that applications take for the word of a proxy, and
    /// unless it is wanted no name with an underscore, which an app could not tell from the one with a
    /// hyphen. `connection` is the value of the Connection field. Content-Length is the caller's business.
    pub(crate) fn lets(self, name: &[u8], connection: &[u8]) -> bool {
        if memchr::memchr(b'_', name).is_none() {
            return self.lets_hyphened(name, connection);
        }
        // What the app sees in it decides.
        let hyphened = || {
            name.iter()
                .map(|&byte| if byte == b'_' { b'-' } else { byte })
                .collect::<Vec<_>>()
        };
        self.underscores && {
            let hyphened = hyphened();
            // What folds the two names into one would see a second length of the body, or another type.
            !hyphened.eq_ignore_ascii_case(b"content-length")
                && !hyphened.eq_ignore_ascii_case(b"content-type")
                && self.lets_hyphened(&hyphened, connection)
        }
    }

    fn lets_hyphened(self, name: &[u8], connection: &[u8]) -> bool {
        !(is_ours(name)
            || (!self.trusted && is_of_proxies(name))
            || name.eq_ignore_ascii_case(b"expect")
            || is_hop_by_hop(name, connection))
    }
}

/// A field that only [`request_fields`] may set.
fn is_ours(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 7] = [
        b"forwarded",
        b"x-real-ip",
        b"x-request-id",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
    ];
    matches!(name.len(), 9..=17) && NAMES.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// A field by which a proxy tells an application where it is and how it was reached, and that is believed
/// without a question.
fn is_of_proxies(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    const NAMES: [&[u8]; 11] = [
        b"x-scheme",
        b"x-url-scheme",
        b"x-script-name",
        b"x-original-url",
        b"x-rewrite-url",
        b"front-end-https",
        // Older and rarer names of the same: gunicorn's manual had the last one.
        b"x-forwarded",
        b"x-host",
        b"x-original-host",
        b"x-original-uri",
        b"script-name",
    ];
    let is_near = matches!(name.first(), Some(b'x' | b'X' | b'f' | b'F' | b's' | b'S'));
    is_near
        && (name
            .split_at_checked(PREFIX.len())
            .is_some_and(|(start, _)| start.eq_ignore_ascii_case(PREFIX))
            || (matches!(name.len(), 6..=15) && NAMES.iter().any(|other| name.eq_ignore_ascii_case(other))))
}

/// A field that concerns one connection only (RFC 9110 §7.6.1), of a request or an answer. `connection` is the value of
/// the Connection field. `Proxy` itself is among them: CGI-like gateways would make HTTP_PROXY of it.
pub(crate) fn is_hop_by_hop(name: &[u8], connection: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"proxy",
    ];
    NAMES.iter().any(|hop| name.eq_ignore_ascii_case(hop))
        || name
            .split_at_checked(6)
            .is_some_and(|(start, _)| start.eq_ignore_ascii_case(b"proxy-"))
        || (!connection.is_empty() && is_named(name, connection))
}

/// Does the Connection field name this one? Host and Content-Length belong to the message whatever it says.
fn is_named(name: &[u8], connection: &[u8]) -> bool {
    connection
        .split(|&byte| byte == b',')
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(name))
        && !name.eq_ignore_ascii_case(b"host")
        && !name.eq_ignore_ascii_case(b"content-length")
}

/// An address as RFC 7239 writes it.
struct Node(IpAddr);

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "\"[{address}]\""),
        }
    }
}

/// Appends an address. IPv4, once per request and more, does without the machinery of formatting.
pub(crate) fn push_address(text: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (position, octet) in address.octets().into_iter().enumerate() {
                if position > 0 {
                    text.push('.');
                }
                text.push_str(itoa::Buffer::new().format(octet));
            }
        }
        IpAddr::V6(address) => append(text, format_args!("{address}")),
    }
}

fn append(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = text.write_fmt(arguments);
}

/// More proxies than this in a row are a loop or an attack.
const HOPS_MAX: usize = 32;

#[cfg(test)]
mod tests;
