//! By what a client can tell that its copy of a file is still good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// ETag and Last-Modified of one representation of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    /// With its quotes; always strong.
    pub(super) etag: String,
    /// `None` for a time that HTTP can not write (before 1970 or after 9999).
    pub(super) modified: Option<SystemTime>,
    /// The same as a field has it.
    pub(super) last_modified: Option<String>,
}

impl Validators {
    /// Of a file; `encoding` is the coding of a compressed sibling, "" for the plain file. The ETag has nginx's form, so
    /// that caches stay warm over a change of servers; codings that nginx does not know have a mark of their own.
    pub(super) fn new(modified_s: i64, len: u64, encoding: &str) -> Self {
        let mark = match encoding {
            "br" => "-br",
            "zstd" => "-zstd",
            _ => "",
        };
        let modified = u64::try_from(modified_s)
            .ok()
            .filter(|&seconds| seconds < YEAR_10000_S)
            .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        Self {
            etag: format!("\"{modified_s:x}-{len:x}{mark}\""),
            modified,
            last_modified: modified.map(httpdate::fmt_http_date),
        }
    }
}

/// The first second that a date of HTTP can not tell.
const YEAR_10000_S: u64 = 253_402_300_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_have_nginx_s_form() {
        let validators = Validators::new(0x6957_35a5, 500, "");
        assert_eq!(validators.etag, "\"695735a5-1f4\"");
        assert_eq!(
            validators.last_modified.as_deref(),
            Some("Fri, 02 Jan 2026 03:04:05 GMT")
        );
        assert_eq!(Validators::new(1, 2, "gzip").etag, "\"1-2\"");
        assert_eq!(Validators::new(1, 2, "br").etag, "\"1-2-br\"");
    }

    #[test]
    fn odd_times_have_no_date() {
        for odd in [-1, i64::MIN, YEAR_10000_S as i64, i64::MAX] {
            assert_eq!(Validators::new(odd, 0, "").last_modified, None);
        }
        assert!(
            Validators::new(YEAR_10000_S as i64 - 1, 0, "")
                .last_modified
                .is_some()
        );
    }
}
