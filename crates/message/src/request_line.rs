//! The first line of a request (RFC 9112 §3).

use super::{authority, refusal::Refusal};
use crate::{head::Version, token::is_token_byte};

/// A request line that has passed the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// Method, a token.
    pub method: &'a str,
    /// Target as sent.
    pub target: &'a [u8],
    /// The authority of a target in absolute form.
    pub authority: Option<&'a [u8]>,
    /// Version, 1.0 or 1.1.
    pub version: Version,
}

impl<'a> RequestLine<'a> {
    /// Reads the line, given without its CRLF.
    pub fn parse(line: &'a [u8]) -> Result<Self, Refusal> {
        let (method, rest) = split_at_space(line).ok_or(Refusal::bad("request line without a target"))?;
        let method = std::str::from_utf8(method)
            .ok()
            .filter(|method| !method.is_empty() && method.bytes().all(is_token_byte))
            .ok_or(Refusal::bad("method is not a token"))?;
        if method.len() > METHOD_BYTES_MAX {
            return Err(Refusal::new(501, "method too long"));
        }
        let (target, version) = split_at_space(rest).ok_or(Refusal::bad("request line without a version"))?;
        let version = parse_version(version)?;
        // To the end whatever is found: without a way out in between many bytes are looked at in one step.
        let is_valid = target.iter().fold(true, |all, &byte| all & is_target_byte(byte));
        if target.is_empty() || !is_valid {
            return Err(Refusal::bad("invalid byte in the request target"));
        }
        let authority = parse_target(method, target)?;
        Ok(Self {
            method,
            target,
            authority,
            version,
        })
    }

    /// Path and query of the target, as an origin server is asked for them.
    #[inline]
    pub fn origin_form(target: &[u8]) -> &[u8] {
        match after_scheme(target) {
            Some(rest) => match memchr::memchr2(b'/', b'?', rest) {
                Some(at) => &rest[at..],
                None => b"/",
            },
            None => target,
        }
    }
}

/// Bytes above ASCII are let through as nginx does: old clients send them, and the path rules see them like
/// any other byte. A `#` is refused, because what is behind it has no place in a request and servers disagree
/// about it.
const fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte != b'#'
}

fn split_at_space(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', line)?;
    Some((&line[..at], &line[at + 1..]))
}

fn parse_version(version: &[u8]) -> Result<Version, Refusal> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            // A higher minor version of HTTP/1 is to be read as the highest one known (RFC 9110 §2.5).
            if *major == b'1' {
                Ok(Version::Http11)
            } else {
                Err(Refusal::new(505, "version is not HTTP/1"))
            }
        }
        _ => Err(Refusal::bad("malformed version or a space in the target")),
    }
}

/// The authority, when the target is in absolute form.
fn parse_target<'a>(method: &str, target: &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
    if method == "CONNECT" {
        return Err(Refusal::new(405, "this is not a forward proxy"));
    }
    if target[0] == b'/' {
        return Ok(None);
    }
    if target == b"*" {
        return if method == "OPTIONS" {
            Ok(None)
        } else {
            Err(Refusal::bad("target * is for OPTIONS only"))
        };
    }
    let rest = after_scheme(target).ok_or(Refusal::bad("target is neither a path nor an http URL"))?;
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let authority = &rest[..end];
    if !authority::is_valid(authority) {
        return Err(Refusal::bad("invalid host in the request target"));
    }
    Ok(Some(authority))
}

/// What follows `http://` or `https://`.
fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    let strip = |scheme: &[u8]| {
        target
            .get(..scheme.len())
            .filter(|start| start.eq_ignore_ascii_case(scheme))
            .map(|_| &target[scheme.len()..])
    };
    strip(b"http://").or_else(|| strip(b"https://"))
}

/// No registered method is longer than 17 bytes.
pub const METHOD_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_target_gives_its_authority_and_origin_form() {
        let line = RequestLine::parse(b"GET http://Example.org:81?q HTTP/1.1").unwrap();
        assert_eq!(line.authority, Some(&b"Example.org:81"[..]));
        assert_eq!(RequestLine::origin_form(line.target), b"?q");
        assert_eq!(RequestLine::origin_form(b"http://a"), b"/");
        assert_eq!(RequestLine::origin_form(b"http://a/b?c"), b"/b?c");
        assert_eq!(RequestLine::origin_form(b"/http://a/b"), b"/http://a/b");
    }

    #[test]
    fn a_later_minor_version_is_read_as_the_highest_known() {
        assert_eq!(
            RequestLine::parse(b"GET / HTTP/1.9").unwrap().version,
            Version::Http11
        );
        assert_eq!(RequestLine::parse(b"GET / HTTP/2.0").unwrap_err().status, 505);
        assert_eq!(RequestLine::parse(b"GET / HTTP/11").unwrap_err().status, 400);
    }
}
