//! Conditional requests (RFC 9110 §13).

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use message::fields::Fields;

use super::validators::Validators;

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
        if !names(fields, "if-match", current.strong_etag(), Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let (Some(limit), Some(modified)) = (date(fields, "if-unmodified-since"), current.modified)
        && modified > limit
    {
        return Verdict::Failed;
    }
    if fields.get("if-none-match").is_some() {
        if names(fields, "if-none-match", current.etag.as_deref(), Comparison::Weak) {
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
        Some(tag) if tag.ends_with(b"\"") => current.strong_etag().is_some_and(|etag| tag == etag.as_bytes()),
        Some(_) => {
            current.modified.is_some() && !current.is_fresh && date(fields, "if-range") == current.modified
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Does the list of entity tags name ours, or anything at all (`*`)? The mark of a weak one is `W/`, in this
/// case only. What is no entity tag is passed over up to the next comma.
fn names(fields: &Fields, name: &str, etag: Option<&str>, comparison: Comparison) -> bool {
    let opaque = etag.map(|etag| etag.trim_start_matches("W/").as_bytes());
    fields.all(name).any(|value| {
        let mut rest = value.trim_ascii();
        if rest == b"*" {
            return true;
        }
        loop {
            rest = rest.trim_ascii_start();
            let (tag, is_weak) = match rest.strip_prefix(b"W/") {
                Some(tag) => (tag, true),
                None => (rest, false),
            };
            // Commas may stand inside the quotes.
            if let Some((tag, behind)) = quoted(tag) {
                rest = behind.trim_ascii_start();
                let stands_alone = matches!(rest, [] | [b',', ..]);
                let counts = stands_alone && (!is_weak || comparison == Comparison::Weak);
                if counts && Some(tag) == opaque {
                    return true;
                }
            }
            match memchr::memchr(b',', rest) {
                Some(comma) => rest = &rest[comma + 1..],
                None => return false,
            }
        }
    })
}

/// The quoted text that this begins with, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = memchr::memchr(b'"', text.strip_prefix(b"\"")?)?;
    Some(text.split_at(len + 2))
}

/// A field that is no date, or that comes twice, counts as absent.
fn date(fields: &Fields, name: &str) -> Option<SystemTime> {
    let mut values = fields.all(name);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    parse_date(std::str::from_utf8(value.trim_ascii()).ok()?)
}

/// A date of HTTP in any of its three forms (RFC 9110 §5.6.7), those before 1970 included. Its weekday may be
/// any: the rest says which day it is, and nginx looks at nothing else.
pub(super) fn parse_date(text: &str) -> Option<SystemTime> {
    parse_with_any_weekday(text).or_else(|| {
        [12..16, 20..24]
            .into_iter()
            .find_map(|year| before_1970(text, year))
    })
}

fn parse_with_any_weekday(text: &str) -> Option<SystemTime> {
    if let Ok(time) = httpdate::parse_http_date(text) {
        return Some(time);
    }
    let (written, rest) = text.split_at(text.find([',', ' '])?);
    let is_short = written.len() == SHORT_WEEKDAY_LEN;
    let names = WEEKDAYS.map(|name| {
        if is_short {
            &name[..SHORT_WEEKDAY_LEN]
        } else {
            name
        }
    });
    let is_weekday = names.contains(&written);
    names
        .iter()
        .filter(|_| is_weekday)
        .find_map(|name| httpdate::parse_http_date(&format!("{name}{rest}")).ok())
}

const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const SHORT_WEEKDAY_LEN: usize = 3;

/// The calendar repeats itself every 400 years, and later years are understood. They begin with another
/// weekday than these.
fn before_1970(text: &str, year: Range<usize>) -> Option<SystemTime> {
    let written: u64 = text.get(year.clone())?.parse().ok()?;
    let cycles = 1969_u64.checked_sub(written)? / 400 + 1;
    let mut later = text.to_owned();
    later.replace_range(year, &format!("{:04}", written + 400 * cycles));
    parse_with_any_weekday(&later)?.checked_sub(Duration::from_secs(cycles * CYCLE_S))
}

/// 400 years of the Gregorian calendar.
const CYCLE_S: u64 = 146_097 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::files::validators::Written;

    const MODIFIED: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
    const BEFORE: &str = "Fri, 02 Jan 2026 03:04:04 GMT";
    const AFTER: &str = "Fri, 02 Jan 2026 03:04:06 GMT";
    const ETAG: &str = "\"695735a5-1f4\"";

    fn of(seconds: i64) -> Validators {
        let written = Written {
            seconds,
            nanoseconds: 0,
        };
        Validators::new(written, 500, "", UNIX_EPOCH + Duration::from_secs(0x7000_0000))
    }

    fn current() -> Validators {
        of(0x6957_35a5)
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
            ("If-Match", "w/\"695735a5-1f4\"", Verdict::Failed),
            ("If-Match", "x\"695735a5-1f4\"", Verdict::Failed),
            ("If-Match", "\"x\", w/\"695735a5-1f4\"", Verdict::Failed),
            ("If-Match", "\"695735a5-1f4\" \"x\"", Verdict::Failed),
            ("If-Match", "\"x\" \"695735a5-1f4\"", Verdict::Failed),
            ("If-Match", "\"695735a5-1f4\"x", Verdict::Failed),
            ("If-Match", "W/ \"695735a5-1f4\"", Verdict::Failed),
            ("If-Match", ", ,\"695735a5-1f4\" ,", Verdict::Go),
            ("If-Match", "x, \"695735a5-1f4\"", Verdict::Go),
            ("If-None-Match", "\"695735a5-1f4\" \"695735a5-1f4\"", Verdict::Go),
            ("If-None-Match", "W/\"695735a5-1f4\";x", Verdict::Go),
            ("If-None-Match", "\"x\"y,W/\"695735a5-1f4\"", Verdict::NotModified),
            ("If-None-Match", "w/\"695735a5-1f4\"", Verdict::Go),
            ("If-None-Match", "\"x\",W/\"695735a5-1f4\"", Verdict::NotModified),
            (
                "If-Unmodified-Since",
                "Sun, 06 Nov 1968 08:49:37 GMT",
                Verdict::Failed,
            ),
            (
                "If-Unmodified-Since",
                "Wed, 31 Dec 1969 23:59:59 GMT",
                Verdict::Failed,
            ),
            ("If-Unmodified-Since", "Sat Jan  1 00:00:00 1569", Verdict::Failed),
            ("If-Modified-Since", "Wed, 31 Dec 1969 23:59:59 GMT", Verdict::Go),
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
    fn dates_before_1970_are_dates() {
        let seconds = |text: &str| {
            let time = parse_date(text).expect(text);
            UNIX_EPOCH.duration_since(time).expect("before 1970").as_secs()
        };
        assert_eq!(seconds("Wed, 31 Dec 1969 23:59:59 GMT"), 1);
        assert_eq!(seconds("Fri Dec 31 23:59:59 1969"), 1);
        assert_eq!(
            seconds("Sat, 01 Jan 1569 00:00:00 GMT") / (365 * 24 * 60 * 60),
            401
        );
        for garbage in [
            "",
            "1969",
            "Wed, 99 Dec 1969 23:59:59 GMT",
            "Wed, 31 Dec 19x9 23:59:59 GMT",
        ] {
            assert_eq!(parse_date(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn the_weekday_of_a_date_says_nothing() {
        for text in [
            "Fri, 02 Jan 2026 03:04:05 GMT",
            "Mon, 02 Jan 2026 03:04:05 GMT",
            "Friday, 02-Jan-26 03:04:05 GMT",
            "Sunday, 02-Jan-26 03:04:05 GMT",
            "Fri Jan  2 03:04:05 2026",
            "Wed Jan  2 03:04:05 2026",
        ] {
            let condition = |name: &str| fields(&[(name, text)]);
            let verdict = |name: &str| evaluate(&condition(name), &current());
            assert_eq!(verdict("If-Modified-Since"), Verdict::NotModified, "{text}");
            assert_eq!(verdict("If-Unmodified-Since"), Verdict::Go, "{text}");
            assert!(range_applies(&condition("If-Range"), &current()), "{text}");
        }
        assert!(parse_date("Tue, 31 Dec 1969 23:59:59 GMT").is_some());
        for garbage in ["Xyz, 02 Jan 2026 03:04:05 GMT", "02 Jan 2026 03:04:05 GMT", ","] {
            assert_eq!(parse_date(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_file_without_validators_has_no_copy_that_is_good() {
        let none = Validators::default();
        for name in ["If-None-Match", "If-Modified-Since"] {
            assert_eq!(
                evaluate(&fields(&[(name, MODIFIED)]), &none),
                Verdict::Go,
                "{name}"
            );
        }
        assert_eq!(evaluate(&fields(&[("If-Match", ETAG)]), &none), Verdict::Failed);
        assert_eq!(evaluate(&fields(&[("If-Match", "*")]), &none), Verdict::Go);
        assert!(!range_applies(&fields(&[("If-Range", ETAG)]), &none));
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
        let undated = of(-1);
        assert!(!range_applies(&fields(&[("If-Range", "garbage")]), &undated));
    }
}
