//! Names of header fields as HTTP/1 shows them.
//!
//! Names have no case, but people read them and old programs compare them. Applications of ASGI and HTTP/2
//! servers have them in lower case, WSGI and we do not: one answer would have both.

/// Begins each word with a capital. Capitals that are there stay: an `ETag` is one.
pub fn capitalise(name: &mut [u8]) {
    if name.first().is_some_and(u8::is_ascii_lowercase)
        && let Some(usual) = unusual(name)
    {
        name[..usual.len()].copy_from_slice(usual);
    }
    let mut begins = true;
    for byte in name {
        if begins {
            byte.make_ascii_uppercase();
        }
        begins = *byte == b'-';
    }
}

/// The whole name, or its beginning, where it is usually written in another way; told apart by length first.
fn unusual(name: &[u8]) -> Option<&'static [u8]> {
    let usual: &[&[u8]] = match name.len() {
        3 => &[b"NEL"],
        4 => &[b"ETag"],
        11 => &[b"Content-MD5"],
        15 => &[b"X-UA-Compatible"],
        16 => &[b"WWW-Authenticate", b"X-XSS-Protection"],
        17.. => &[b"Sec-WebSocket-"],
        _ => &[],
    };
    usual
        .iter()
        .find(|usual| {
            name.get(..usual.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(usual))
        })
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_their_words_with_capitals() {
        for (given, shown) in [
            ("content-type", "Content-Type"),
            ("x", "X"),
            ("", ""),
            ("etag", "ETag"),
            ("ETag", "ETag"),
            ("www-authenticate", "WWW-Authenticate"),
            ("sec-websocket-accept", "Sec-WebSocket-Accept"),
            ("sec-websocket-protocol", "Sec-WebSocket-Protocol"),
            ("X-API-Key", "X-API-Key"),
            ("x-frame-Options", "X-Frame-Options"),
            ("--a-", "--A-"),
            ("x_y-1z", "X_y-1z"),
        ] {
            let mut name = given.as_bytes().to_vec();
            capitalise(&mut name);
            assert_eq!(String::from_utf8(name).unwrap(), shown);
        }
    }
}
