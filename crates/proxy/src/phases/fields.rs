//! Header fields on the way to an upstream and back. pingora has taken off what concerns one hop only.

use config::Route;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora_core::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::{SERVER, exchange::Exchange};
use crate::{
    forwarded,
    upstream::{
        answer_head::{is_end_to_end, options, passes_to_client},
        request_head::stripped,
    },
};

/// Sets what the upstream is told of the client, and the target. The Host stays the client's, as its application
/// expects to build links from it.
pub(super) fn of_request(request: &mut RequestHeader, exchange: &Exchange) -> Result<()> {
    let refused: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| !passes(name))
        .cloned()
        .collect();
    for name in &refused {
        request.remove_header(name);
    }
    for (name, value) in forwarded::request_fields(exchange.request()).iter() {
        let name =
            HeaderName::from_bytes(name).or_err(ErrorType::InternalError, "name of a field of ours")?;
        request.insert_header(name, value)?;
    }
    join_cookies(request)?;
    let strip = exchange.strip();
    if !strip.is_empty() {
        request.set_raw_path(&stripped(
            &exchange.request().path,
            strip,
            &exchange.request().query,
        ))?;
    }
    Ok(())
}

/// HTTP/2 may split Cookie into crumbs; elsewhere it is one field (RFC 9113 §8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let crumbs = request.headers.get_all(header::COOKIE).iter();
    let crumbs: Vec<_> = crumbs.map(|value| value.as_bytes()).collect();
    if crumbs.len() > 1 {
        let joined = crumbs.join(&b"; "[..]);
        request.insert_header(header::COOKIE, joined)?;
    }
    Ok(())
}

/// Fields of the client that go on. What only a proxy may say does not, nor what looks like it to a server that takes
/// an underscore for a hyphen.
fn passes(name: &HeaderName) -> bool {
    // The interim answer was ours to give.
    *name != header::EXPECT
        && (is_framing(name) || forwarded::passes_to_servers(name.as_str().as_bytes(), b""))
}

/// What pingora has set itself for the next hop.
fn is_framing(name: &HeaderName) -> bool {
    *name == header::CONNECTION || *name == header::UPGRADE || *name == header::TRANSFER_ENCODING
}

/// Takes off what was meant for us and sets the route's own fields. Framing, Connection and Date are pingora's.
pub(super) fn of_response(response: &mut ResponseHeader, route: &Route) -> Result<()> {
    let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let named: Vec<HeaderName> = response
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| options(value.as_bytes()))
        .filter(|name| !is_end_to_end(name))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !(switches && *name == header::UPGRADE))
        .collect();
    let ours: Vec<HeaderName> = response
        .headers
        .keys()
        .filter(|name| !is_framing(name) && !passes_to_client(name.as_str().as_bytes()))
        .cloned()
        .collect();
    for name in named.iter().chain(&ours) {
        response.remove_header(name);
    }
    response.insert_header(header::SERVER, HeaderValue::from_static(SERVER))?;
    if response.status.is_informational() {
        return Ok(());
    }
    for (name, value) in &route.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| {
            Error::because(ErrorType::InternalError, "name of a field of the route", error)
        })?;
        if value.is_empty() {
            response.remove_header(&name);
        } else {
            response.insert_header(name, value.as_str())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(headers: &[(&str, &str)]) -> Route {
        Route {
            name: "/".into(),
            path: config::PathMatch::Prefix("/".into()),
            methods: Vec::new(),
            headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            body_bytes_max: 1,
            action: config::Action::Respond(config::Respond {
                status: 200,
                content_type: String::new(),
                body: String::new(),
            }),
        }
    }

    #[test]
    fn cookie_crumbs_become_one_field() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for crumb in ["a=1", "b=2"] {
            request.append_header("cookie", crumb).unwrap();
        }
        join_cookies(&mut request).unwrap();
        let cookies: Vec<_> = request.headers.get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }

    #[test]
    fn fields_for_one_hop_do_not_reach_the_client() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("server", "theirs"),
            ("x-powered-by", "theirs"),
        ] {
            response.append_header(name, value).unwrap();
        }
        of_response(
            &mut response,
            &route(&[("X-Powered-By", ""), ("X-Frame-Options", "DENY")]),
        )
        .unwrap();
        for gone in ["x-private", "keep-alive", "x-powered-by"] {
            assert!(!response.headers.contains_key(gone), "{gone}");
        }
        assert_eq!(response.headers["server"], SERVER);
        assert_eq!(response.headers["x-frame-options"], "DENY");
    }

    #[test]
    fn a_switch_of_protocols_keeps_its_fields() {
        let mut response = ResponseHeader::build(101, None).unwrap();
        response.append_header("connection", "upgrade").unwrap();
        response.append_header("upgrade", "websocket").unwrap();
        of_response(&mut response, &route(&[])).unwrap();
        assert_eq!(response.headers["upgrade"], "websocket");
    }
}
