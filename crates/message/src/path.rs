//! The path of a request target: decoded once, resolved, and never above the root.
//!
//! The rules are nginx's (`merge_slashes on`): percent-encoding is undone once, `/%2e%2e/` is a dot segment
//! and `%2f` a slash like any other, doubled slashes count as one, and whoever climbs above the root is
//! refused.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Why a target names no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// `%` without two hexadecimal digits.
    #[error("invalid percent-encoding in the target")]
    Encoding,
    /// `%00`, or the byte itself.
    #[error("NUL in the target")]
    Nul,
    /// More `..` than segments before them.
    #[error("target climbs above the root")]
    AboveRoot,
    /// Neither `/path` nor `http://host/path`.
    #[error("target is not a path")]
    Form,
}

/// Path, still encoded, and query of a target in origin or absolute form. A fragment, which has no place in a
/// request, is cut off.
pub fn split(target: &[u8]) -> Result<(&[u8], &[u8]), TargetError> {
    let target = match memchr::memchr(b'#', target) {
        Some(end) => &target[..end],
        None => target,
    };
    let rest = match target.first() {
        Some(b'/') => target,
        _ => below_authority(target).ok_or(TargetError::Form)?,
    };
    Ok(match memchr::memchr(b'?', rest) {
        Some(mark) => (&rest[..mark], &rest[mark + 1..]),
        None => (rest, b""),
    })
}

/// What follows scheme and authority in an absolute target.
fn below_authority(target: &[u8]) -> Option<&[u8]> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    Some(&rest[end..])
}

/// How a client wrote a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Written {
    /// Decoded it is the normalised path.
    #[default]
    Normal,
    /// Decoded it is this: it has doubled slashes, and no dot segment.
    Doubled(Vec<u8>),
    /// With dot segments, encoded or not.
    Dotted,
}

/// The path that an encoded one means, and how it was written. It starts with `/`; it ends with one when the
/// encoded path ends with a slash or a dot segment.
pub fn normalise(encoded: &[u8]) -> Result<(Vec<u8>, Written), TargetError> {
    let decoded = decode(encoded)?;
    let mut path = Vec::with_capacity(decoded.len() + 1);
    let mut directory = true;
    let mut dotted = false;
    for segment in decoded.split(|&byte| byte == b'/') {
        directory = matches!(segment, b"" | b"." | b"..");
        dotted |= directory && !segment.is_empty();
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = memchr::memrchr(b'/', &path).ok_or(TargetError::AboveRoot)?;
                path.truncate(parent);
            }
            name => {
                path.push(b'/');
                path.extend_from_slice(name);
            }
        }
    }
    if directory {
        path.push(b'/');
    }
    let written = if dotted {
        Written::Dotted
    } else if decoded.is_empty() || *decoded == *path {
        Written::Normal
    } else {
        Written::Doubled(decoded.into_owned())
    };
    Ok((path, written))
}

/// What is left of an encoded path behind a prefix; `None` where it does not begin with the prefix. A slash
/// of the prefix is one in the path, anything else may be encoded.
pub fn behind<'a>(encoded: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let mut rest = encoded;
    for &expected in prefix.as_bytes() {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let mut byte = byte;
        if byte == b'%' && expected != b'/' {
            let (digits, after) = rest.split_at_checked(2)?;
            byte = hex(digits[0])? << 4 | hex(digits[1])?;
            rest = after;
        }
        if byte != expected {
            return None;
        }
    }
    matches!(rest.first(), None | Some(b'/')).then_some(rest)
}

fn decode(encoded: &[u8]) -> Result<Cow<'_, [u8]>, TargetError> {
    if memchr::memchr2(b'%', 0, encoded).is_none() {
        return Ok(Cow::Borrowed(encoded));
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let byte = if byte == b'%' {
            let (digits, after) = rest.split_at_checked(2).ok_or(TargetError::Encoding)?;
            rest = after;
            hex(digits[0]).ok_or(TargetError::Encoding)? << 4 | hex(digits[1]).ok_or(TargetError::Encoding)?
        } else {
            byte
        };
        if byte == 0 {
            return Err(TargetError::Nul);
        }
        decoded.push(byte);
    }
    Ok(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// A path as it may stand in a Location field: what is not plainly a path character is encoded, the backslash
/// (which browsers take for a slash) included.
pub fn encode(path: &[u8]) -> String {
    percent_encode(path, PATH).to_string()
}

/// A query, or a path that is encoded already, as it may stand in a Location field: only bytes that would
/// break the field are encoded, and the backslash.
pub fn encode_query(query: &[u8]) -> String {
    percent_encode(query, QUERY).to_string()
}

/// All but unreserved characters, sub-delims, `:`, `@` and `/` (RFC 3986 §3.3).
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// As a path, and `?`; `%` and brackets stay as the client sent them.
const QUERY: &AsciiSet = &PATH.remove(b'?').remove(b'%').remove(b'[').remove(b']');

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(encoded: &str) -> Result<String, TargetError> {
        normalise(encoded.as_bytes()).map(|(path, _)| String::from_utf8_lossy(&path).into_owned())
    }

    #[test]
    fn paths_are_decoded_once_and_resolved() {
        for (encoded, path) in [
            ("/", "/"),
            ("", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//a///b//", "/a/b/"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/a/../b", "/b"),
            ("/a//../b", "/b"),
            ("/a/%2e%2e/b", "/b"),
            ("/a%2f..%2fb", "/b"),
            ("/a%2Fb", "/a/b"),
            ("/%252e%252e/x", "/%2e%2e/x"),
            ("/a%3Fb%23c", "/a?b#c"),
            ("/..a/b..", "/..a/b.."),
            ("/...", "/..."),
            ("/a\\..\\b", "/a\\..\\b"),
            ("/caf%C3%A9+1", "/café+1"),
        ] {
            assert_eq!(normal(encoded).as_deref(), Ok(path), "{encoded}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (encoded, error) in [
            ("/..", TargetError::AboveRoot),
            ("/a/../..", TargetError::AboveRoot),
            ("/%2e%2e/etc/passwd", TargetError::AboveRoot),
            ("/..%2fetc", TargetError::AboveRoot),
            ("/a%", TargetError::Encoding),
            ("/a%4", TargetError::Encoding),
            ("/a%zz", TargetError::Encoding),
            ("/a%+1", TargetError::Encoding),
            ("/a%00b", TargetError::Nul),
            ("/a\0b", TargetError::Nul),
        ] {
            assert_eq!(normal(encoded), Err(error), "{encoded}");
        }
    }

    #[test]
    fn what_a_client_wrote_is_kept_where_slashes_alone_were_merged() {
        let doubled = |text: &str| Written::Doubled(text.into());
        for (encoded, written) in [
            ("/a/b/", Written::Normal),
            ("/a%20b", Written::Normal),
            ("/a%2Fb", Written::Normal),
            ("", Written::Normal),
            ("//", doubled("//")),
            ("/http://x.test/y", doubled("/http://x.test/y")),
            ("/a%2F%2Fb", doubled("/a//b")),
            ("/a/%2Fb%20c", doubled("/a//b c")),
            ("/a//./b", Written::Dotted),
            ("/a/b/..", Written::Dotted),
            ("/a//%2e%2E/b", Written::Dotted),
            ("/a%2F..%2Fb", Written::Dotted),
        ] {
            assert_eq!(
                normalise(encoded.as_bytes()).map(|(_, written)| written),
                Ok(written),
                "{encoded}"
            );
        }
    }

    #[test]
    fn a_prefix_is_cut_off_what_the_client_wrote() {
        for (encoded, prefix, rest) in [
            ("/mq/api/queues/%2F/q", "/mq", Some("/api/queues/%2F/q")),
            ("/mq", "/mq", Some("")),
            ("/mq//a", "/mq", Some("//a")),
            ("/%6Dq/a", "/mq", Some("/a")),
            ("/caf%C3%A9/a%20b", "/café", Some("/a%20b")),
            ("/a/b/c", "/a/b", Some("/c")),
            ("/a", "", Some("/a")),
            ("//a", "", Some("//a")),
            ("/mqa", "/mq", None),
            ("/mq%2Fa", "/mq", None),
            ("/a%2Fb/c", "/a/b", None),
            ("//mq/a", "/mq", None),
            ("/m", "/mq", None),
            ("/%6", "/mq", None),
            ("", "/mq", None),
        ] {
            assert_eq!(
                behind(encoded.as_bytes(), prefix),
                rest.map(str::as_bytes),
                "{encoded} {prefix}"
            );
        }
    }

    #[test]
    fn targets_are_split_into_path_and_query() {
        for (target, path, query) in [
            ("/a?b=c?d", "/a", "b=c?d"),
            ("/a#x?y", "/a", ""),
            ("/a?b#x", "/a", "b"),
            ("http://h/a?b", "/a", "b"),
            ("HTTPS://h:1?b", "", "b"),
            ("http://h", "", ""),
        ] {
            assert_eq!(
                split(target.as_bytes()),
                Ok((path.as_bytes(), query.as_bytes())),
                "{target}"
            );
        }
        for bad in ["", "*", "a", "h:80", "ftp://h/a", "?a"] {
            assert_eq!(split(bad.as_bytes()), Err(TargetError::Form), "{bad}");
        }
    }

    #[test]
    fn an_encoded_path_can_not_break_a_field_or_leave_the_host() {
        assert_eq!(
            encode(b"/\\evil\r\nX: y?#%\xff"),
            "/%5Cevil%0D%0AX:%20y%3F%23%25%FF"
        );
        assert_eq!(encode_query(b"a=%20&b[]=1\r\n\"<"), "a=%20&b[]=1%0D%0A%22%3C");
    }

    proptest! {
        #[test]
        fn a_path_never_leaves_the_root(encoded in proptest::collection::vec(
            prop_oneof![Just(b'/'), Just(b'.'), Just(b'%'), Just(b'2'), Just(b'e'), Just(b'f'), any::<u8>()], 0..60))
        {
            if let Ok((path, _)) = normalise(&encoded) {
                prop_assert_eq!(path[0], b'/');
                prop_assert!(!path.contains(&0));
                let mut segments: Vec<_> = path[1..].split(|&byte| byte == b'/').collect();
                let last = segments.pop();
                prop_assert!(segments.iter().all(|segment| !matches!(*segment, b"" | b"." | b"..")));
                prop_assert!(!matches!(last, Some(b"." | b"..")));
            }
        }

        #[test]
        fn a_normal_path_encoded_and_normalised_is_itself(encoded in "(/|\\.|%2[ef]|a|b|\\\\| )*") {
            if let Ok((path, _)) = normalise(encoded.as_bytes()) {
                prop_assert_eq!(normalise(encode(&path).as_bytes()), Ok((path, Written::Normal)));
            }
        }
    }
}
