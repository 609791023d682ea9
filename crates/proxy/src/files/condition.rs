//! Conditional requests (RFC 9110 §13).

use std::time::SystemTime;

use super::validators::Validators;
use crate::fields::Fields;

/// What the conditions of a GET or HEAD amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as if there were none.
    Go,
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// Evaluates them in the order of RFC 9110 §13.2.2; If-Range comes last, in [`range_applies`].
pub(super) fn evaluate(fields: &Fields, current: &Validators) -> Verdict {
    if fields.get("if-match").is_some() {
        if !names(fields, "if-match", &current.etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let (Some(limit), Some(modified)) = (date(fields, "if-unmodified-since"), current.modified)
        && modified > limit
    {
        return Verdict::Failed;
    }
    if fields.get("if-none-match").is_some() {
        if names(fields, "if-none-match", &current.etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(fields, "if-modified-since"), current.modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Go
}

/// Does the Range field count? Without If-Range always; with it only if the file is exactly the one the client has part
/// of.
pub(super) fn range_applies(fields: &Fields, current: &Validators) -> bool {
    match fields.get("if-range").map(<[u8]>::trim_ascii) {
        None => true,
        Some(tag) if tag.ends_with(b"\"") => tag == current.etag.as_bytes(),
        Some(_) => current.modified.is_some() && date(fields, "if-range") == current.modified,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Does the list of entity tags name ours, or anything at all (`*`)?
fn names(fields: &Fields, name: &str, etag: &str, comparison: Comparison) -> bool {
    fields.all(name).any(|value| {
        let mut rest = value.trim_ascii();
        if rest == b"*" {
            return true;
        }
        // Commas may stand inside the quotes, so the list is read tag by tag.
        while let Some(open) = memchr::memchr(b'"', rest) {
            let weak = rest[..open].ends_with(b"W/");
            let Some(len) = memchr::memchr(b'"', &rest[open + 1..]) else {
                return false;
            };
            let end = open + len + 2;
            if &rest[open..end] == etag.as_bytes() && (comparison == Comparison::Weak || !weak) {
                return true;
            }
            rest = &rest[end..];
        }
        false
    })
}

/// A field that is no date, or that comes twice, counts as absent.
fn date(fields: &Fields, name: &str) -> Option<SystemTime> {
    let mut values = fields.all(name);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    httpdate::parse_http_date(std::str::from_utf8(value.trim_ascii()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
    const BEFORE: &str = "Fri, 02 Jan 2026 03:04:04 GMT";
    const AFTER: &str = "Fri, 02 Jan 2026 03:04:06 GMT";
    const ETAG: &str = "\"695735a5-1f4\"";

    fn current() -> Validators {
        Validators::new(0x6957_35a5, 500, "")
    }

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name, value);
        }
        fields
    }

    #[test]
    fn each_condition_means_what_it_says() {
        let weak = format!("W/{ETAG}");
        let list = format!("\"x,y\", {ETAG}");
        for (name, value, verdict) in [
            ("If-Match", ETAG, Verdict::Go),
            ("If-Match", list.as_str(), Verdict::Go),
            ("If-Match", "*", Verdict::Go),
            ("If-Match", "\"x\"", Verdict::Failed),
            ("If-Match", weak.as_str(), Verdict::Failed),
            ("If-Match", "", Verdict::Failed),
            ("If-Unmodified-Since", MODIFIED, Verdict::Go),
            ("If-Unmodified-Since", AFTER, Verdict::Go),
            ("If-Unmodified-Since", BEFORE, Verdict::Failed),
            ("If-Unmodified-Since", "yesterday", Verdict::Go),
            ("If-None-Match", ETAG, Verdict::NotModified),
            ("If-None-Match", weak.as_str(), Verdict::NotModified),
            ("If-None-Match", list.as_str(), Verdict::NotModified),
            ("If-None-Match", "*", Verdict::NotModified),
            ("If-None-Match", "\"x\"", Verdict::Go),
            ("If-None-Match", "\"unclosed", Verdict::Go),
            ("If-Modified-Since", MODIFIED, Verdict::NotModified),
            ("If-Modified-Since", AFTER, Verdict::NotModified),
            ("If-Modified-Since", BEFORE, Verdict::Go),
            ("If-Modified-Since", "0", Verdict::Go),
        ] {
            assert_eq!(
                evaluate(&fields(&[(name, value)]), &current()),
                verdict,
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn entity_tags_go_before_dates() {
        let both = |lines: &[(&str, &str)]| evaluate(&fields(lines), &current());
        assert_eq!(
            both(&[("If-Match", ETAG), ("If-Unmodified-Since", BEFORE)]),
            Verdict::Go
        );
        assert_eq!(
            both(&[("If-None-Match", "\"x\""), ("If-Modified-Since", MODIFIED)]),
            Verdict::Go
        );
        assert_eq!(
            both(&[("If-None-Match", ETAG), ("If-Modified-Since", BEFORE)]),
            Verdict::NotModified
        );
        assert_eq!(
            both(&[("If-Match", "\"x\""), ("If-None-Match", ETAG)]),
            Verdict::Failed
        );
        assert_eq!(
            both(&[("If-None-Match", "\"x\""), ("If-None-Match", ETAG)]),
            Verdict::NotModified
        );
    }

    #[test]
    fn a_range_counts_only_for_the_very_same_file() {
        let applies = |value: &str| range_applies(&fields(&[("If-Range", value)]), &current());
        assert!(range_applies(&Fields::default(), &current()));
        assert!(applies(ETAG));
        assert!(applies(MODIFIED));
        for other in [
            "\"x\"",
            BEFORE,
            AFTER,
            "",
            "W/\"695735a5-1f4\"",
            "\"a\", \"695735a5-1f4\"",
        ] {
            assert!(!applies(other), "{other}");
        }
        let undated = Validators::new(-1, 500, "");
        assert!(!range_applies(&fields(&[("If-Range", "garbage")]), &undated));
    }
}
