//! Host and port of a Host field.

use message::authority::is_name_byte;

/// Host in lower case, IPv6 in brackets, without a trailing dot; and the port, where one is said. `None` when it is not
/// a host: the answer may depend on it, a redirect may repeat it, so nothing odd gets through.
pub(super) fn split(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (&authority[..address.len() + 2], port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(end);
            let host = host.strip_suffix('.').unwrap_or(host);
            if host.is_empty() || !host.bytes().all(is_name_byte) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port {
        "" | ":" => None,
        _ => {
            let digits = port.strip_prefix(':')?;
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            Some(digits.parse().ok()?)
        }
    };
    Some((host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_lower_case_without_port() {
        for (authority, host, port) in [
            ("Example.ORG", "example.org", None),
            ("example.org.", "example.org", None),
            ("example.org.:80", "example.org", Some(80)),
            ("h:", "h", None),
            ("[::1]:8443", "[::1]", Some(8443)),
            ("[2001:DB8::1]", "[2001:db8::1]", None),
            ("127.0.0.1:0", "127.0.0.1", Some(0)),
        ] {
            assert_eq!(split(authority), Some((host.to_owned(), port)), "{authority}");
        }
        for bad in [
            "", ".", ":80", "a b", "a/b", "u@h", "h:x", "h:+1", "h:65536", "[::1", "[x]", "[::1]x", "h\r\n",
            "h\"", "é.fr", "a%41",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
