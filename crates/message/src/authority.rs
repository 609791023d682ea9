//! Host and port as a client names them (RFC 3986 §3.2, RFC 9110 §7.2).

/// Is this a host with an optional port? Stricter than the grammar where the grammar only invites confusion:
/// percent-encoded bytes and user information are refused, and so is an empty host.
pub fn is_valid(authority: &[u8]) -> bool {
    let (host_ok, rest) = match authority.first() {
        None => return false,
        Some(b'[') => {
            let Some(end) = memchr::memchr(b']', authority) else {
                return false;
            };
            let address = std::str::from_utf8(&authority[1..end]).ok();
            (
                address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()),
                &authority[end + 1..],
            )
        }
        Some(_) => {
            let end = memchr::memchr(b':', authority).unwrap_or(authority.len());
            let host = &authority[..end];
            (
                !host.is_empty() && host.iter().copied().all(is_name_byte),
                &authority[end..],
            )
        }
    };
    host_ok && is_port(rest)
}

/// Nothing, or a colon and a port that may be empty.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).is_ok_and(|port| port.parse::<u16>().is_ok())
        }
        _ => false,
    }
}

/// Unreserved characters and sub-delims (RFC 3986 §3.2.2); percent-encoding has no place in a name of the
/// web.
#[inline]
pub const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_garbage() {
        for good in [
            "example.org",
            "EXAMPLE.org:8000",
            "a_b",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:443",
            "h:",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a/b", "user@h", "a%41", "h:port", "h:65536", "[::1", "[::1]x", "[v1.x]",
            "h:1:2", "a,b c", "h\\i", "[::1]]", "a\u{e9}",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }
}
