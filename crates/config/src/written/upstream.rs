//! `[upstream.NAME]`

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use super::{Other, Section, Value, listener::socket_too_long};
use crate::{Balance, Peer, PeerAddress, Upstream};

pub(crate) fn upstream(name: &str, section: Section<'_>) -> Upstream {
    let servers = section.list("servers");
    if section.value("servers").is_none_or(|value| value.is_empty_list()) {
        section.problem(
            format!("upstream `{name}` has no `servers`"),
            "write for example servers = [\"http://127.0.0.1:8001\"]",
        );
    }
    let mut peers: Vec<Peer> = Vec::new();
    let mut seen = HashMap::new();
    for value in &servers {
        let Some(peer) = peer(value) else { continue };
        if let Some(first) = seen.get(&peer.address) {
            value.problem_with_help(
                format!("the server `{}` stands here twice", peer.url),
                section.reading.first(first),
            );
        }
        seen.entry(peer.address.clone()).or_insert(value.span());
        peers.push(peer);
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
        peers,
    };
    section.finish(OTHERS);
    upstream
}

/// `http://host`, `http://host:port` or `unix:/path`.
fn peer(value: &Value<'_>) -> Option<Peer> {
    let text = value.text()?;
    let refuse = |help: &str| {
        value.problem_with_help(format!("`{text}` is not a server to connect to"), help);
        None
    };
    let peer = |address| {
        Some(Peer {
            url: text.to_owned(),
            address,
        })
    };
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() || path.ends_with('/') {
            return refuse("write the path of the socket: \"unix:/run/app.sock\"");
        }
        let path = value.reading.absolute(path.as_ref());
        return match socket_too_long(&path) {
            Some(help) => refuse(&help),
            None => peer(PeerAddress::Unix(path)),
        };
    }
    for scheme in ["https", "uwsgi", "fastcgi"] {
        if text.starts_with(&format!("{scheme}:")) {
            value.problem_with_help(
                format!("servers over {scheme} are not supported yet: `{text}`"),
                "let it listen for http, such as \"http://127.0.0.1:8001\"",
            );
            return None;
        }
    }
    let Some(authority) = text.strip_prefix("http://") else {
        return if text.starts_with('/') {
            refuse(&format!("write \"unix:{text}\""))
        } else if text.is_empty() || text.contains("://") {
            refuse("write \"http://host:port\" or \"unix:/path\"")
        } else {
            refuse(&format!("write \"http://{text}\""))
        };
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
        None => (authority, "80"),
    };
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let Some(port) = port.parse().ok().filter(|port| *port != 0) else {
        return refuse("the port must be from 1 to 65535");
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return refuse("write \"http://host:port\" or \"unix:/path\"");
    }
    peer(match host.parse() {
        Ok(ip) => PeerAddress::Tcp(SocketAddr::new(ip, port)),
        // Not looked up here: a name server that is slow or away must hold up neither a start nor a reload.
        Err(_) => PeerAddress::Name {
            host: host.to_owned(),
            port,
        },
    })
}

const BALANCES: &[(&str, Balance)] = &[
    ("round-robin", Balance::RoundRobin),
    ("least-connections", Balance::LeastConnections),
];

const LATER: &[(&str, &str)] = &[
    ("random", CHOOSE),
    ("ip-hash", CHOOSE),
    ("hash", CHOOSE),
    ("ketama", CHOOSE),
];

const CHOOSE: &str = "use \"round-robin\" or \"least-connections\"";

const OTHERS: &[Other] = &[
    Other::Later(
        "health",
        "leave it out, a server that refuses connections is passed over",
    ),
    Other::Later("weight", "leave it out, use balance = \"least-connections\""),
    Other::Meant("server", "`servers`"),
    Other::Meant("peers", "`servers`"),
    Other::Meant("timeout", "`connect_timeout`, `read_timeout` or `tunnel_timeout`"),
    Other::Meant("websocket_timeout", "`tunnel_timeout`"),
    Other::Meant("proxy_pass", "`servers`"),
    Other::Meant("url", "`servers`"),
    Other::Meant(
        "max_fails",
        "nothing, a server that refuses connections is passed over",
    ),
    Other::Meant(
        "fail_timeout",
        "nothing, a server that refuses connections is passed over",
    ),
    Other::Meant("proxy_read_timeout", "`read_timeout`"),
    Other::Meant("proxy_connect_timeout", "`connect_timeout`"),
];
