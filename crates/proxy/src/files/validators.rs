//! By what a client can tell that its copy of a file is still good.
//!
//! Size and time tell one content from another, as far as the time does: where it was set to the same value
//! for all files (reproducible builds write 0 or 1) the content itself is asked, and within one tick of the
//! clock a file can be written twice. No inode: two servers with the same files must agree.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest;

use super::condition;

/// ETag and Last-Modified of one representation of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Validators {
    /// With its quotes, and its `W/` when it is weak.
    pub(super) etag: Option<String>,
    /// As far as a date tells it.
    pub(super) modified: Option<SystemTime>,
    /// The same as a field has it.
    pub(super) last_modified: Option<String>,
    /// The date may be that of another content too.
    pub(super) is_fresh: bool,
}

/// When a file was written, as its file system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u64,
}

impl Written {
    pub(super) fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            seconds: stat.st_mtime,
            nanoseconds: stat.st_mtime_nsec,
        }
    }

    /// A time that tools set when they want all files to be alike.
    pub(super) fn says_nothing(self) -> bool {
        self.seconds <= 1
    }
}

impl Validators {
    /// Of a file by size and time; `encoding` is the coding of a compressed sibling, "" for the plain file.
    /// Where the time is one of whole seconds the ETag has nginx's form; codings that nginx does not know
    /// have a mark of their own.
    pub(super) fn new(written: Written, len: u64, encoding: &str, now: SystemTime) -> Self {
        let Written { seconds, nanoseconds } = written;
        if written.says_nothing() {
            return Self::default();
        }
        let modified = u64::try_from(seconds)
            .ok()
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
            // A date that is still to come says nothing to a cache (RFC 9110 §8.8.2.1).
            .map_or(now, |modified| modified.min(now));
        let is_fresh = now.duration_since(modified).is_ok_and(|age| age < FRESH);
        let weak = if is_fresh { "W/" } else { "" };
        let fraction = match nanoseconds {
            0 => String::new(),
            nanoseconds => format!(".{nanoseconds:x}"),
        };
        let mark = mark(encoding);
        Self {
            etag: Some(format!("{weak}\"{seconds:x}{fraction}-{len:x}{mark}\"")),
            modified: Some(modified),
            last_modified: Some(httpdate::fmt_http_date(modified)),
            is_fresh,
        }
    }

    /// Of a file whose time says nothing, by what is in it.
    pub(super) fn of_bytes(bytes: &[u8], encoding: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, bytes);
        let mut etag = String::from("\"");
        for byte in hash.as_ref().iter().take(HASH_BYTES) {
            etag.push_str(&format!("{byte:02x}"));
        }
        etag.push_str(mark(encoding));
        etag.push('"');
        Self {
            etag: Some(etag),
            ..Self::default()
        }
    }

    /// With what the `headers` of the route say instead: a client compares with what it was sent.
    pub(super) fn as_sent(&self, route: &[(String, String)]) -> Option<Self> {
        let mut sent = None;
        for (name, value) in route {
            let value = (!value.is_empty()).then(|| value.clone());
            if name.eq_ignore_ascii_case("etag") {
                sent.get_or_insert_with(|| self.clone()).etag = value;
            } else if name.eq_ignore_ascii_case("last-modified") {
                let sent = sent.get_or_insert_with(|| self.clone());
                sent.modified = value.as_deref().and_then(condition::parse_date);
                sent.last_modified = value;
                sent.is_fresh = false;
            }
        }
        sent
    }

    /// The tag when it is a strong one.
    pub(super) fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }
}

fn mark(encoding: &str) -> &'static str {
    match encoding {
        "br" => "-br",
        "zstd" => "-zstd",
        _ => "",
    }
}

/// A file that is younger may be written once more without a change of its time: some file systems count in
/// seconds, and all of them in ticks.
const FRESH: Duration = Duration::from_secs(2);

/// Enough that no two contents share a tag.
const HASH_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 0x7000_0000;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW_S)
    }

    fn of(seconds: i64, nanoseconds: u64, len: u64, encoding: &str) -> Validators {
        Validators::new(Written { seconds, nanoseconds }, len, encoding, now())
    }

    fn etag(seconds: i64, nanoseconds: u64, len: u64) -> String {
        of(seconds, nanoseconds, len, "").etag.expect("a tag")
    }

    #[test]
    fn validators_have_nginx_s_form_where_times_are_whole_seconds() {
        let validators = of(0x6957_35a5, 0, 500, "");
        assert_eq!(validators.etag.as_deref(), Some("\"695735a5-1f4\""));
        assert_eq!(
            validators.last_modified.as_deref(),
            Some("Fri, 02 Jan 2026 03:04:05 GMT")
        );
        assert_eq!(of(2, 0, 2, "gzip").etag.as_deref(), Some("\"2-2\""));
        assert_eq!(of(2, 0, 2, "br").etag.as_deref(), Some("\"2-2-br\""));
    }

    #[test]
    fn two_writes_in_one_second_differ() {
        assert_ne!(etag(100, 1, 5), etag(100, 2, 5));
        assert_ne!(etag(100, 0, 5), etag(100, 1, 5));
        assert_ne!(etag(100, 1, 5), etag(100, 1, 6));
        assert_eq!(etag(100, 1, 5), etag(100, 1, 5));
    }

    #[test]
    fn a_young_file_has_a_weak_tag_only() {
        let now_s = NOW_S as i64;
        for (seconds, weak) in [
            (now_s, true),
            (now_s - 1, true),
            (now_s - 2, false),
            (now_s + 5, true),
        ] {
            assert_eq!(etag(seconds, 0, 5).starts_with("W/"), weak, "{seconds}");
            assert_eq!(of(seconds, 0, 5, "").strong_etag().is_none(), weak);
        }
    }

    #[test]
    fn times_to_come_are_now_and_times_that_are_all_alike_say_nothing() {
        for late in [NOW_S as i64 + 1, NOW_S as i64 * 1000, i64::MAX] {
            let validators = of(late, 0, 0, "");
            assert_eq!(validators.modified, Some(now()), "{late}");
            assert_eq!(validators.last_modified, Some(httpdate::fmt_http_date(now())));
        }
        for nothing in [1, 0, -1, i64::MIN] {
            assert_eq!(of(nothing, 5, 5, ""), Validators::default(), "{nothing}");
        }
    }

    #[test]
    fn the_content_tells_where_the_time_does_not() {
        let tag = |bytes: &[u8], encoding: &str| Validators::of_bytes(bytes, encoding).etag;
        assert_ne!(tag(b"one", ""), tag(b"two", ""));
        assert_eq!(tag(b"one", ""), tag(b"one", ""));
        assert_ne!(tag(b"one", ""), tag(b"one", "br"));
        assert_eq!(Validators::of_bytes(b"one", "").last_modified, None);
    }

    #[test]
    fn what_the_route_sets_is_what_counts() {
        let own = of(100, 0, 5, "");
        let route = |lines: &[(&str, &str)]| {
            let lines: Vec<_> = lines
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect();
            own.as_sent(&lines)
        };
        assert_eq!(route(&[("X-Frame-Options", "DENY")]), None);
        let dated = route(&[("last-modified", "Fri, 02 Jan 2026 03:04:05 GMT")]).expect("another date");
        assert_eq!(
            dated.modified,
            Some(UNIX_EPOCH + Duration::from_secs(0x6957_35a5))
        );
        assert_eq!(dated.etag, own.etag);
        let bare = route(&[("ETag", ""), ("Last-Modified", "")]).expect("none");
        assert_eq!((bare.etag, bare.modified, bare.last_modified), (None, None, None));
    }
}
