//! The lists in which proxies say for whom they ask.

use std::net::{IpAddr, SocketAddr};

use message::fields::Fields;

/// One element of such a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// Who asked; port 0 when unsaid. `None` when it is no address (`unknown`, an obfuscated name, garbage).
    pub(super) address: Option<SocketAddr>,
    /// By HTTPS?
    pub(super) https: Option<bool>,
    /// For which host?
    pub(super) host: Option<String>,
}

/// X-Forwarded-For, the nearest hop last; `None` when there is no such field.
pub(super) fn x_forwarded_for(fields: &Fields) -> Option<Vec<Hop>> {
    fields.get("x-forwarded-for")?;
    let hops = fields
        .all("x-forwarded-for")
        .flat_map(elements)
        .map(|element| Hop {
            address: std::str::from_utf8(element).ok().and_then(address),
            ..Hop::default()
        })
        .collect();
    Some(hops)
}

/// Forwarded (RFC 7239), the nearest hop last.
pub(super) fn forwarded(fields: &Fields) -> Vec<Hop> {
    fields
        .all("forwarded")
        .flat_map(|value| {
            let text = String::from_utf8_lossy(value);
            split_unquoted(&text, ',')
                .into_iter()
                .filter(|text| !text.trim().is_empty())
                .map(element)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn element(text: &str) -> Hop {
    let mut hop = Hop::default();
    for pair in split_unquoted(text, ';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let value = unquote(value.trim());
        match name.trim() {
            name if name.eq_ignore_ascii_case("for") => hop.address = address(&value),
            name if name.eq_ignore_ascii_case("proto") => hop.https = scheme(&value),
            name if name.eq_ignore_ascii_case("host") => hop.host = Some(value),
            _ => {}
        }
    }
    hop
}

/// Splits at a separator outside of quotes. An unclosed quote swallows the rest, which then means nothing.
fn split_unquoted(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(|character| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return character == separator && !quoted,
        }
        false
    })
    .collect()
}

fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut escaped = false;
    inner
        .chars()
        .filter(|&character| {
            escaped = character == '\\' && !escaped;
            !escaped
        })
        .collect()
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<SocketAddr> {
    let plain = |text: &str| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
    let found = plain(text)
        .or_else(|| text.parse().ok())
        .or_else(|| plain(text.strip_prefix('[')?.strip_suffix(']')?))?;
    Some(SocketAddr::new(found.ip().to_canonical(), found.port()))
}

/// The elements of a list; empty ones do not count (RFC 9110 §5.6.1.2).
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Is this scheme HTTPS? Anything that is not a web scheme says nothing.
pub(super) fn scheme(text: &str) -> Option<bool> {
    let is = |name: &str| text.eq_ignore_ascii_case(name);
    match () {
        () if is("https") || is("wss") => Some(true),
        () if is("http") || is("ws") => Some(false),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_many_forms() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:0"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("[2001:db8::1]", "[2001:db8::1]:0"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("::ffff:192.0.2.1", "192.0.2.1:0"),
        ] {
            assert_eq!(
                address(text).map(|a| a.to_string()).as_deref(),
                Some(expected),
                "{text}"
            );
        }
        for bad in [
            "",
            "unknown",
            "_hidden",
            "1.2.3",
            "1.2.3.4:x",
            "[1.2.3.4",
            "1.2.3.4 5",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }

    #[test]
    fn forwarded_is_read_with_quotes_and_escapes() {
        let mut fields = Fields::default();
        fields.push(
            "Forwarded",
            r#"For="[2001:db8::1]:4711";Proto=https;host="a\"b,c;d", for=unknown"#,
        );
        fields.push("forwarded", "by=x; for = 192.0.2.1 ;proto=ftp");
        let hops = forwarded(&fields);
        assert_eq!(hops.len(), 3);
        assert_eq!(hops[0].address, "[2001:db8::1]:4711".parse().ok());
        assert_eq!(hops[0].https, Some(true));
        assert_eq!(hops[0].host.as_deref(), Some("a\"b,c;d"));
        assert_eq!(hops[1], Hop::default());
        assert_eq!(hops[2].address, "192.0.2.1:0".parse().ok());
        assert_eq!(hops[2].https, None);
    }

    #[test]
    fn an_unclosed_quote_swallows_the_rest() {
        let mut fields = Fields::default();
        fields.push("forwarded", "for=\"192.0.2.1, for=192.0.2.2");
        assert_eq!(forwarded(&fields), [Hop::default()]);
    }
}
