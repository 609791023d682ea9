//! `[upstream.NAME]`

use std::{
    collections::HashMap,
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use super::{
    Other, Section, Value,
    health::health,
    listener::socket_too_long,
    upstream_tls::{self, is_server_name},
};
use crate::{Balance, Peer, PeerAddress, PeerProtocol, Upstream};

pub(crate) fn upstream(name: &str, section: Section<'_>) -> Upstream {
    let servers = section.list("servers");
    if section.value("servers").is_none_or(|value| value.is_empty_list()) {
        section.problem(
            format!("upstream `{name}` has no `servers`"),
            "write for example servers = [\"http://127.0.0.1:8001\"]",
        );
    }
    let (tls, server_name) = upstream_tls::tls(section.section(
        "tls",
        &format!("[upstream.{name}.tls]"),
        "tls = { ca = \"ca.pem\" }",
    ));
    // nginx asks servers in HTTP/1.1, and few applications behind it speak anything else.
    let http2 = section.boolean("http2").unwrap_or(false);
    let mut peers: Vec<Peer> = Vec::new();
    let mut seen = HashMap::new();
    for value in &servers {
        let Some(mut peer) = server(value, server_name.as_deref()) else {
            continue;
        };
        if http2 && peer.tls_name.is_some() {
            peer.protocol = PeerProtocol::Negotiated;
        }
        if let Some(first) = seen.get(&peer.address) {
            value.problem_with_help(
                format!("the server `{}` stands here twice", peer.url),
                section.reading.first(first),
            );
        }
        seen.entry(peer.address.clone()).or_insert(value.span());
        peers.push(peer);
    }
    if let Some(list) = section.value("servers") {
        if peers.len() > SERVERS_MAX {
            list.problem_with_help(
                format!("upstream `{name}` has more than {SERVERS_MAX} servers"),
                "write a name with many addresses, each of which is a server",
            );
        }
        if !peers.is_empty() && peers.iter().all(|peer| peer.backup) {
            list.problem_with_help(
                format!("upstream `{name}` has only backup servers"),
                "leave `backup` out of those that are to be asked first",
            );
        }
    }
    if section.has("tls") && !peers.is_empty() && peers.iter().all(|peer| peer.tls_name.is_none()) {
        section.warning(
            format!("`tls` of upstream `{name}` has no effect: none of its servers is `https://`"),
            "write \"https://host:port\" in `servers`, or leave `tls` out",
        );
    }
    if http2 && !peers.is_empty() && peers.iter().all(|peer| peer.protocol == PeerProtocol::Http1) {
        section.warning(
            format!("`http2` of upstream `{name}` has no effect: none of its servers is `https://`"),
            "write \"https://host:port\" in `servers`, or \"h2c://host:port\" for HTTP/2 without TLS",
        );
    }
    let wait = Duration::from_millis(10)..=Duration::from_secs(24 * 60 * 60);
    let upstream = Upstream {
        name: name.to_owned(),
        balance: section
            .value("balance")
            .and_then(|value| value.choice(BALANCES, LATER))
            .unwrap_or(Balance::RoundRobin),
        // Every other server once, as nginx's `proxy_next_upstream` does.
        retries: section
            .number("retries", 0..=100)
            .map_or(usize::MAX, |retries| retries as usize),
        // Servers behind a proxy are near: one that has not answered in five seconds is gone.
        connect_timeout: section
            .duration("connect_timeout", wait.clone())
            .unwrap_or(Duration::from_secs(5)),
        // nginx's `proxy_read_timeout`.
        read_timeout: section
            .duration("read_timeout", wait.clone())
            .unwrap_or(Duration::from_secs(60)),
        // nginx cuts them after `proxy_read_timeout` too, which every manual tells to raise: many
        // applications send nothing for minutes. Only what a dead peer leaves behind has to end some time.
        tunnel_timeout: section
            .duration("tunnel_timeout", wait)
            .unwrap_or(Duration::from_secs(60 * 60)),
        // Connections are reused only as long as no more requests than this run at once: with nginx's 32 and 64 clients
        // more than a quarter of the requests had to connect anew. An idle one costs both ends little, and no more are
        // kept than were needed within the last minute.
        keepalive: section.number("keepalive", 0..=10_000).unwrap_or(128) as usize,
        tls,
        health: section.value("health").and_then(|value| health(&value)),
        peers,
    };
    section.finish(OTHERS);
    upstream
}

/// `"http://host"` or `{ url = "http://host", weight = 2, backup = true }`.
fn server(value: &Value<'_>, server_name: Option<&str>) -> Option<Peer> {
    if value.as_text().is_some() {
        return peer(value, server_name);
    }
    let Some(section) = value.as_section("servers") else {
        return value.wants("a text, or a table with a `url`");
    };
    let url = section.value("url");
    if url.is_none() {
        section.problem(
            "a server has no `url`",
            "write for example { url = \"http://127.0.0.1:8001\", weight = 2 }",
        );
    }
    // More would only cost memory: it is a share, and one server is hardly a hundred times as fast as
    // another.
    let weight = section.number("weight", 1..=u64::from(WEIGHT_MAX)).unwrap_or(1) as u32;
    let backup = section.boolean("backup").unwrap_or(false);
    section.finish(SERVER_OTHERS);
    Some(Peer {
        weight,
        backup,
        ..peer(&url?, server_name)?
    })
}

/// `http://host`, `http://host:port`, the same with `https` or `h2c`, or `unix:/path`. `server_name`: what
/// all certificates must be for.
fn peer(value: &Value<'_>, server_name: Option<&str>) -> Option<Peer> {
    let text = value.text()?;
    let refuse = |help: &str| {
        value.problem_with_help(format!("`{text}` is not a server to connect to"), help);
        None
    };
    let peer = |address, protocol, tls_name| {
        Some(Peer {
            url: text.to_owned(),
            address,
            weight: 1,
            backup: false,
            protocol,
            tls_name,
        })
    };
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() || path.ends_with('/') {
            return refuse("write the path of the socket: \"unix:/run/app.sock\"");
        }
        let path = value.reading.absolute(path.as_ref());
        return match socket_too_long(&path) {
            Some(help) => refuse(&help),
            None => peer(PeerAddress::Unix(path), PeerProtocol::Http1, None),
        };
    }
    for scheme in ["uwsgi", "fastcgi", "grpc", "grpcs"] {
        if text.starts_with(&format!("{scheme}:")) {
            value.problem_with_help(
                format!("servers over {scheme} are not supported yet: `{text}`"),
                "let it listen for HTTP/1.1, such as \"http://127.0.0.1:8001\"",
            );
            return None;
        }
    }
    let schemes = ["http://", "https://", "h2c://"];
    let bare = schemes
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(text);
    if let Some(bracketed) = in_brackets(bare) {
        let scheme = text.strip_suffix(bare).filter(|scheme| !scheme.is_empty());
        return refuse(&format!(
            "write an IPv6 address in brackets: \"{}{bracketed}\"",
            scheme.unwrap_or("http://")
        ));
    }
    let (protocol, tls, authority) = match text.split_once("://") {
        Some(("http", authority)) => (PeerProtocol::Http1, false, authority),
        Some(("https", authority)) => (PeerProtocol::Http1, true, authority),
        Some(("h2c", authority)) => (PeerProtocol::Http2, false, authority),
        _ if text.starts_with('/') => return refuse(&format!("write \"unix:{text}\"")),
        None if !text.is_empty() => return refuse(&format!("write \"http://{text}\"")),
        Some(_) | None => return refuse(FORMS),
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains(['/', '?', '#', '@']) {
        return refuse("write host and port only, the path of the request is passed on");
    }
    let after_bracket = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority[after_bracket..].rfind(':') {
        Some(colon) => (
            &authority[..after_bracket + colon],
            &authority[after_bracket + colon + 1..],
        ),
        None => (authority, if tls { "443" } else { "80" }),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(ip) if ip.parse::<Ipv6Addr>().is_err() => {
            return refuse("brackets are for an IPv6 address, such as \"http://[::1]:8001\"");
        }
        Some(ip) => ip,
        None if host.contains([':', '[', ']']) => {
            return refuse(FORMS);
        }
        None => host,
    };
    let Some(port) = port.parse().ok().filter(|port| *port != 0) else {
        return refuse("the port must be from 1 to 65535");
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return refuse(FORMS);
    }
    if tls && server_name.is_none() && !is_server_name(host) {
        return refuse(
            "no certificate can be for this host: write the name of one as `server_name` in `tls`",
        );
    }
    let tls_name = tls.then(|| server_name.unwrap_or(host).to_owned());
    let address = match host.parse() {
        Ok(ip) => PeerAddress::Tcp(SocketAddr::new(ip, port)),
        // Not looked up here: a name server that is slow or away must hold up neither a start nor a reload.
        Err(_) => PeerAddress::Name {
            host: host.to_owned(),
            port,
        },
    };
    peer(address, protocol, tls_name)
}

/// The authority that a bare IPv6 address means, whose last number is a port where it may be one.
fn in_brackets(authority: &str) -> Option<String> {
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let is_address = |host: &str| host.parse::<Ipv6Addr>().is_ok();
    match authority.rsplit_once(':') {
        Some((host, port)) if is_address(host) && port.parse::<u16>().is_ok() => {
            Some(format!("[{host}]:{port}"))
        }
        _ => is_address(authority).then(|| format!("[{authority}]")),
    }
}

const FORMS: &str =
    "write \"http://host:port\", \"https://host:port\", \"h2c://host:port\" or \"unix:/path\"";

/// Servers that are written for one upstream.
const SERVERS_MAX: usize = 1000;

/// The weight of one server.
const WEIGHT_MAX: u32 = 256;

const BALANCES: &[(&str, Balance)] = &[
    ("round-robin", Balance::RoundRobin),
    ("least-connections", Balance::LeastConnections),
    ("random", Balance::Random),
    ("ip-hash", Balance::IpHash),
];

const LATER: &[(&str, &str)] = &[
    ("hash", "use \"ip-hash\", which tells clients by their address"),
    (
        "ketama",
        "use \"ip-hash\", which moves few clients when a server is added",
    ),
    ("source", "use \"ip-hash\""),
    ("least_conn", "use \"least-connections\""),
    ("leastconn", "use \"least-connections\""),
    ("least_time", "use \"least-connections\""),
    (
        "first",
        "use `backup = true` for the servers that are asked only when others are down",
    ),
];

const SERVER_OTHERS: &[Other] = &[
    Other::Meant("server", "`url`"),
    Other::Meant("address", "`url`"),
    Other::Meant("to", "`url`"),
    Other::Meant("max_fails", PASSED_OVER),
    Other::Meant("fail_timeout", PASSED_OVER),
    Other::Meant(
        "resolve",
        "nothing, every name is looked up again as its address changes",
    ),
    Other::Later("down", "leave the server out"),
    Other::Later("max_conns", "leave it out, use balance = \"least-connections\""),
    Other::Later("slow_start", "leave it out, use balance = \"least-connections\""),
];

const PASSED_OVER: &str = "nothing, a server that refuses connections is passed over";

const OTHERS: &[Other] = &[
    Other::Meant(
        "weight",
        "it beside the server: servers = [{ url = \"http://127.0.0.1:8001\", weight = 2 }]",
    ),
    Other::Meant(
        "backup",
        "it beside the server: servers = [{ url = \"http://127.0.0.1:8001\", backup = true }]",
    ),
    Other::Meant("health_check", "`health`"),
    Other::Meant("health_uri", "health = { path = \"/healthz\" }"),
    Other::Meant("ip_hash", "balance = \"ip-hash\""),
    Other::Meant("least_conn", "balance = \"least-connections\""),
    Other::Meant("lb_policy", "`balance`"),
    Other::Meant(
        "resolver",
        "nothing, the name servers of /etc/resolv.conf are asked",
    ),
    Other::Meant("server", "`servers`"),
    Other::Meant("peers", "`servers`"),
    Other::Meant("timeout", "`connect_timeout`, `read_timeout` or `tunnel_timeout`"),
    Other::Meant("websocket_timeout", "`tunnel_timeout`"),
    Other::Meant("proxy_pass", "`servers`"),
    Other::Meant("url", "`servers`"),
    Other::Meant("max_fails", PASSED_OVER),
    Other::Meant("fail_timeout", PASSED_OVER),
    Other::Meant("proxy_read_timeout", "`read_timeout`"),
    Other::Meant("proxy_connect_timeout", "`connect_timeout`"),
    Other::Meant("h2c", "\"h2c://host:port\" in `servers`"),
    Other::Meant("proxy_http_version", "`http2`"),
    Other::Meant("versions", "`http2`"),
    Other::Meant("verify", TLS),
    Other::Meant("ca", TLS),
    Other::Meant("server_name", TLS),
    Other::Meant("transport", TLS),
];

const TLS: &str = "it in tls = { ... }, for servers that are `https://`";
