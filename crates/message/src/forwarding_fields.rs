//! What the servers behind us are told of where a request came from.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
};

use crate::{fields::Fields, request::Request};

/// What apps and upstreams are told of the request; names in lower case. The client's own fields of these
/// names do not [pass](crate::passing::Passing::lets).
pub fn request_fields(request: &Request) -> Fields {
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
pub fn push_address(text: &mut String, address: IpAddr) {
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
