//! Which server a client means: the path of its configuration, in a header. Several servers may have been
//! told the same place, by a configuration that is a copy of another; only one of them is there.

use std::{
    ffi::OsString,
    fmt::Write,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// The header's name.
pub(super) const NAME: &str = "Appliance-Conf";

/// A path has any bytes but NUL; what is no visible ASCII is percent-encoded.
pub(super) fn encoded(path: &Path) -> String {
    let mut value = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            value.push(char::from(byte));
        } else {
            let _ = write!(value, "%{byte:02X}");
        }
    }
    value
}

/// The path that a header's value stands for; `None`: for none.
pub(super) fn decoded(value: &[u8]) -> Option<PathBuf> {
    let mut path = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            path.push(first);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        rest = behind;
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        path.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_goes_through_a_header() {
        let every: Vec<u8> = (1..=u8::MAX).collect();
        for bytes in [&b"/srv/site.toml"[..], b"/srv/100% a\r\nb/site.toml ", &every] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            let value = encoded(&path);
            assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{value}");
            assert_eq!(decoded(value.as_bytes()), Some(path));
        }
        for malformed in ["/a%", "/a%4", "/a%+1", "/a%zz"] {
            assert_eq!(decoded(malformed.as_bytes()), None, "{malformed}");
        }
    }
}
