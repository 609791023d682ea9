//! What a client says it prefers, with q-values (RFC 9110 §12.4.2).

/// Weights are compared in thousandths.
pub const FULL: u16 = 1000;

/// Elements of Accept or Accept-Encoding fields and their weights, names as sent; several fields are one list
/// (RFC 9110 §5.3). An element whose weight is no weight counts as refused.
pub fn weights<'a>(fields: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = (&'a [u8], u16)> {
    let elements = fields.flat_map(|value| value.split(|&byte| byte == b','));
    elements.filter_map(|element| {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let weight = parts
            .find_map(|part| {
                let (name, value) = part.split_at_checked(2)?;
                name.eq_ignore_ascii_case(b"q=").then(|| weight(value))
            })
            .unwrap_or(FULL);
        Some((name, weight))
    })
}

/// `0`, `0.5`, `1.000`
fn weight(text: &[u8]) -> u16 {
    let text = text.trim_ascii();
    let (whole, decimals) = match text {
        [whole] => (*whole, &[][..]),
        [whole, b'.', decimals @ ..] => (*whole, decimals),
        _ => return 0,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    match whole {
        b'1' => FULL,
        b'0' => (0..3).fold(0, |sum, place| {
            sum * 10 + decimals.get(place).map_or(0, |digit| u16::from(digit - b'0'))
        }),
        _ => 0,
    }
}

/// Would this client rather have JSON than a page? Only who names JSON, and HTML not more, is a program.
pub fn prefers_json<'a>(accept: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut json, mut html) = (0, 0);
    for (name, weight) in weights(accept) {
        if name.eq_ignore_ascii_case(b"text/html") || name.eq_ignore_ascii_case(b"application/xhtml+xml") {
            html = weight.max(html);
        } else if name
            .split_at_checked(12)
            .is_some_and(|(kind, rest)| kind.eq_ignore_ascii_case(b"application/") && rest.ends_with(b"json"))
        {
            json = weight.max(json);
        }
    }
    json > html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read() {
        let fields = [
            &b"gzip, br;q=0.5 , zstd; Q=0.05"[..],
            b"identity;q=0, *;q=1.0,, x;q=2, y;q=0.1234",
        ];
        let read: Vec<_> = weights(fields.into_iter()).collect();
        let expected: [(&[u8], u16); 7] = [
            (b"gzip", 1000),
            (b"br", 500),
            (b"zstd", 50),
            (b"identity", 0),
            (b"*", 1000),
            (b"x", 0),
            (b"y", 0),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn json_is_for_those_who_name_it() {
        for yes in [
            "application/json",
            "application/problem+json, text/html;q=0.9",
            "application/json, */*",
        ] {
            assert!(prefers_json([yes.as_bytes()].into_iter()), "{yes}");
        }
        for no in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9",
            "text/html, application/json",
            "application/json;q=0",
        ] {
            assert!(!prefers_json([no.as_bytes()].into_iter()), "{no}");
        }
    }
}
