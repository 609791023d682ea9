//! Who really asks: what trusted proxies say of a request.
//!
//! A forwarding field is a list that every proxy appends to, so its right end is what our peer saw and its
//! left end is whatever the client liked to claim. It is walked from the right, as long as the hop that wrote
//! an element is trusted; the first untrusted address is the client, and everything left of it is forgotten.
//! What goes on to apps and upstreams is written anew from what the walk found
//! ([`forwarding_fields`](message::forwarding_fields)), so nothing spoofed reaches them.

use std::net::IpAddr;

use config::{IpNet, Server};
use message::{connection::Connection, fields::Fields, head::Head, passing::Passing, request::Request};

mod authority;
mod chain;
mod request_id;

use chain::{Hop, elements, scheme};

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

/// More proxies than this in a row are a loop or an attack.
const HOPS_MAX: usize = 32;

#[cfg(test)]
mod tests;
