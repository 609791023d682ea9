//! `[[listener]]`

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::Path,
    time::Duration,
};

use super::{Other, Section, Value};
use crate::{Address, Limits, Listener, listener::CONNECTIONS_USUAL};

/// The listeners written, or those that follow from there being certificates.
pub(crate) fn listeners(top: &Section<'_>, certificates: bool) -> Vec<Listener> {
    let written = top.sections("listener", "[[listener]]", "[[listener]] above its keys");
    if written.is_empty() {
        let usual = |port, tls| Listener {
            address: Address::Tcp(SocketAddr::from(([0, 0, 0, 0], port))),
            tls,
            http2: tls,
            backlog: BACKLOG_DEFAULT as u32,
            mode: MODE_DEFAULT,
            limits: limits(Section::new(
                top.reading,
                "[listener.limits]",
                0..0,
                top.reading.nothing,
            )),
        };
        return if certificates {
            vec![usual(80, false), usual(443, true)]
        } else {
            vec![usual(8000, false)]
        };
    }
    let mut seen = Vec::new();
    let listeners: Vec<_> = written
        .into_iter()
        .filter_map(|section| listener(section, certificates, &mut seen))
        .collect();
    if certificates
        && !listeners.is_empty()
        && !listeners.iter().any(|listener| listener.tls)
        && let Some(tls) = top.value("tls")
    {
        let help = "add `tls = true` to the [[listener]] they are for";
        top.reading.warning(
            tls.span(),
            "certificates are given, but no listener speaks TLS",
            help,
        );
    }
    listeners
}

fn listener(
    section: Section<'_>,
    certificates: bool,
    seen: &mut Vec<(Address, Range<usize>)>,
) -> Option<Listener> {
    let written = section.value("address");
    if written.is_none() {
        section.problem(
            "this listener has no `address`",
            "write for example address = \"0.0.0.0:8000\"",
        );
    }
    let address = written.and_then(|value| address(&value));
    if let (Some(value), Some(address)) = (written, &address) {
        if let Some((first, span)) = seen.iter().find(|(first, _)| collide(first, address)) {
            if first == address {
                let message = format!("two listeners have the address {address}");
                value.problem_with_help(message, value.reading.first(span));
            } else {
                let line = value.reading.line(span);
                value.problem_with_help(
                    format!("{address} cannot be listened on beside {first}, which stands in line {line}"),
                    "one of the two is every address already: leave the other out",
                );
            }
        } else {
            seen.push((address.clone(), value.span()));
        }
    }
    let tls = section.value("tls").and_then(|value| {
        let tls = value.boolean()?;
        if tls && !certificates {
            let help = "name them: [tls] certificates = [{ certificate = \"...\", key = \"...\" }]";
            value.problem_with_help("a TLS listener needs certificates, and there are none", help);
        }
        Some(tls)
    });
    let tls = tls.unwrap_or(false);
    let http2 = section.value("http2").and_then(|value| {
        let http2 = value.boolean()?;
        if http2 && !tls {
            value.problem_with_help(
                "HTTP/2 is offered on TLS listeners only",
                "browsers speak it nowhere else",
            );
        }
        Some(http2)
    });
    let backlog = section.number("backlog", 1..=65535).unwrap_or(BACKLOG_DEFAULT) as u32;
    let written = section.value("mode");
    if let (Some(value), Some(Address::Tcp(_))) = (written, &address) {
        value.problem_with_help("`mode` is for Unix sockets", "leave it out");
    }
    let mode = written
        .filter(|_| !matches!(address, Some(Address::Tcp(_))))
        .and_then(|value| mode(&value));
    let limits = limits(section.section(
        "limits",
        "[listener.limits]",
        "limits = { idle_timeout = \"75s\" }",
    ));
    section.finish(OTHERS);
    Some(Listener {
        address: address?,
        tls,
        http2: http2.unwrap_or(tls),
        backlog,
        mode: mode.unwrap_or(MODE_DEFAULT),
        limits,
    })
}

/// Would the kernel refuse the second? All addresses of a family are each of them, at the same port.
fn collide(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) if one != other => {
            one.port() == other.port()
                && one.port() != 0
                && one.is_ipv4() == other.is_ipv4()
                && (one.ip().is_unspecified() || other.ip().is_unspecified())
        }
        _ => one == other,
    }
}

/// `"0660"`
fn mode(value: &Value<'_>) -> Option<u32> {
    let quoted = value
        .as_number()
        .map(|mode| format!("write \"{mode:04}\", in quotes"));
    let text = value
        .as_text()
        .or_else(|| value.wants_with_help("a text such as \"0660\"", quoted))?;
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    let problem = match mode {
        None => format!("`{text}` is not the mode of a file"),
        // To connect is to write.
        Some(mode) if mode & 0o222 == 0 => format!("nobody may connect to a socket with the mode `{text}`"),
        Some(mode) => return Some(mode),
    };
    value.problem_with_help(
        problem,
        "write \"0660\" for the user and the group, \"0666\" for everybody",
    );
    None
}

fn limits(section: Section<'_>) -> Limits {
    let wait = Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);
    let count = |key, most: u64, usual| section.number(key, 1..=most).unwrap_or(usual);
    let bytes = |key, usual| section.size(key, 256..=1 << 20).unwrap_or(usual) as usize;
    let time = |key, usual| {
        section
            .duration(key, wait.clone())
            .unwrap_or(Duration::from_secs(usual))
    };
    let limits = Limits {
        connections_max: count("connections_max", 1_000_000, CONNECTIONS_USUAL as u64) as usize,
        // One buffer of nginx's `large_client_header_buffers 4 8k` for the line, all four for the head.
        target_bytes_max: bytes("target_max", 8 << 10),
        head_bytes_max: bytes("head_max", 32 << 10),
        // gunicorn's `limit_request_fields`.
        headers_max: count("headers_max", 1000, 100) as usize,
        // The lower bound of Apache's `RequestReadTimeout header=20-40`: a head is one packet, or a few.
        head_timeout: time("head_timeout", 20),
        // nginx's `keepalive_timeout`.
        idle_timeout: time("idle_timeout", 75),
        // nginx's `client_body_timeout` and `send_timeout`.
        body_timeout: time("body_timeout", 60),
        // Apache's `RequestReadTimeout body=20,MinRate=500`: slower than any modem, and no slow attack can hold a body for days.
        body_rate_min: section.size("body_rate_min", 0..=1 << 30).unwrap_or(500),
        // nginx's `keepalive_requests`.
        requests_max: count("requests_max", 1_000_000_000, 1000) as u32,
    };
    section.finish(&[]);
    limits
}

fn address(value: &Value<'_>) -> Option<Address> {
    let Some(text) = value.as_text() else {
        let help = match value.as_number() {
            Some(port) => {
                format!("write \":{port}\" for all addresses, \"127.0.0.1:{port}\" for this machine")
            }
            None => "write a [[listener]] for each address".to_owned(),
        };
        return value.wants_with_help("a text", Some(help));
    };
    value.text()?;
    let refuse = |help: String| {
        value.problem_with_help(format!("`{text}` is not an address to listen on"), help);
        None
    };
    if let Some(path) = text.strip_prefix("unix:") {
        if text.ends_with(['/', ':']) {
            return refuse("write the path of the socket, such as \"unix:/run/site.sock\"".into());
        }
        let path = value.reading.absolute(Path::new(path));
        return match socket_too_long(&path) {
            Some(help) => refuse(help),
            None => Some(Address::Unix(path)),
        };
    }
    let everywhere = text.strip_prefix(':').and_then(|port| port.parse().ok());
    let everywhere = everywhere.map(|port: u16| SocketAddr::from(([0, 0, 0, 0], port)));
    match everywhere.or_else(|| text.parse().ok()) {
        Some(address) => match mapped_ipv4(address) {
            Some(plain) => refuse(format!(
                "it is an IPv4 address written as IPv6: write \"{plain}\""
            )),
            None => Some(Address::Tcp(address)),
        },
        None => refuse(meant(text)),
    }
}

/// The address itself, of one such as `[::ffff:127.0.0.1]:80`: sockets for IPv6 are for IPv6 alone here.
fn mapped_ipv4(address: SocketAddr) -> Option<SocketAddr> {
    match address.ip() {
        IpAddr::V6(ip) => Some(SocketAddr::new(ip.to_ipv4_mapped()?.into(), address.port())),
        IpAddr::V4(_) => None,
    }
}

/// What to write in place of `text`, which is how other servers name a place to listen on.
fn meant(text: &str) -> String {
    if text.starts_with("systemd:") || text.starts_with("fd:") {
        return "sockets from systemd are not supported yet, write host:port or unix:/path".to_owned();
    }
    if text.starts_with('/') {
        return format!("write \"unix:{text}\"");
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    // `443 ssl` of nginx, and the slash at the end of a URL.
    let mut words = rest.split([' ', '/']);
    let place = words.next().unwrap_or_default();
    let tls = scheme == "https" || words.any(|word| word == "ssl");
    let (host, port) = match place.rsplit_once(':') {
        _ if is_port(place) => ("", place),
        Some((host, "")) if is_host(host) => (host, if tls { "443" } else { "8000" }),
        // `/etc/services` is not asked: its names are few, and a number is clear to all.
        Some((host, name)) if is_host(host) && is_service(name) => match name {
            "https" => (host, "443"),
            "http" => (host, "80"),
            _ => return format!("the port is a number: \"{host}:8000\""),
        },
        Some((host, port)) if is_port(port) && is_host(host) => (host, port),
        _ if tls => (place, "443"),
        _ if scheme == "http" => (place, "80"),
        _ => (place, "8000"),
    };
    if port.parse::<u16>().is_err() {
        return format!("port {port} is larger than 65535");
    }
    let tls = if tls { ", and tls = true below it" } else { "" };
    match host {
        "" | "*" => format!("write \":{port}\" for all addresses{tls}"),
        "localhost" => format!("write \"127.0.0.1:{port}\"{tls}"),
        _ if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) => {
            format!("write an IPv6 address in brackets: \"[{host}]:{port}\"{tls}")
        }
        _ if is_address(host) && place == host => {
            format!("write an address and a port, such as \"{host}:{port}\"{tls}")
        }
        _ if is_address(host) => format!("write \"{host}:{port}\"{tls}"),
        _ => format!(
            "write an IP address, or \":{port}\" for all{tls}; host names are not looked up here, those of a site are its \
             `hosts`"
        ),
    }
}

/// `https` of `:https`
fn is_service(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What may stand before the port: the colons of a bare IPv6 address belong to it.
fn is_host(text: &str) -> bool {
    !text.contains(':') || is_address(text) || text.parse::<IpAddr>().is_ok()
}

/// As it stands before a port: IPv6 in brackets.
fn is_address(host: &str) -> bool {
    format!("{host}:0").parse::<SocketAddr>().is_ok()
}

/// The way out for a path that the kernel does not take: `sun_path` holds 108 bytes, one of them the closing
/// NUL.
pub(super) fn socket_too_long(path: &Path) -> Option<String> {
    let bytes = path.as_os_str().len();
    (bytes > SOCKET_PATH_BYTES_MAX).then(|| {
        format!(
            "{} has {bytes} bytes, and the path of a Unix socket at most {SOCKET_PATH_BYTES_MAX}: choose a shorter one, \
             such as \"unix:/run/site.sock\"",
            path.display()
        )
    })
}

/// gunicorn's default is twice this, the kernel caps it at `net.core.somaxconn` (4096) anyway.
const BACKLOG_DEFAULT: u64 = 1024;

/// Who may connect may say who the client is (X-Forwarded-For is believed on a Unix socket), so not every
/// local user.
const MODE_DEFAULT: u32 = 0o660;

pub(super) const SOCKET_PATH_BYTES_MAX: usize = 107;

const OTHERS: &[Other] = &[
    Other::Later(
        "proxy_protocol",
        "let the balancer send X-Forwarded-For and name it in `trusted_proxies` of [server]",
    ),
    Other::Meant("listen", "`address`"),
    Other::Meant("bind", "`address`"),
    Other::Meant("port", "it in `address`, as in \"0.0.0.0:8000\""),
    Other::Meant("ssl", "`tls = true`"),
    Other::Meant("host", "it in `address`, as in \"127.0.0.1:8000\""),
];
