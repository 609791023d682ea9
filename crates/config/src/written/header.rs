//! `headers` of a site or route.

use std::collections::HashMap;

use super::{Section, Value, media_type::media_type, token::is_token};

/// The fields of `defaults` and, over them, those written here.
pub(crate) fn headers(section: &Section<'_>, defaults: &[(String, String)]) -> Vec<(String, String)> {
    let written = section
        .section("headers", "[site.headers]", "headers = { NAME = \"value\" }")
        .entries();
    let mut seen = HashMap::new();
    for value in &written {
        let first = *seen.entry(value.key().to_ascii_lowercase()).or_insert(value);
        if first.key() != value.key() {
            value.key_problem(
                format!(
                    "`{}` and `{}` are one header field, whatever the case",
                    value.key(),
                    first.key()
                ),
                value.reading.first(&first.span()),
            );
        }
    }
    let written: Vec<_> = written.iter().filter_map(header).collect();
    let is_written = |name: &str| written.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let kept = defaults.iter().filter(|(name, _)| !is_written(name)).cloned();
    kept.chain(written.iter().cloned()).collect()
}

fn header(value: &Value<'_>) -> Option<(String, String)> {
    if !is_token(value.key()) {
        value.key_problem(
            format!("`{}` is not the name of a header field", value.key()),
            "names have letters, digits and `-`",
        );
        return None;
    }
    if FRAMING.iter().any(|name| value.key().eq_ignore_ascii_case(name)) {
        value.key_problem(
            format!("`{}` is set by the server itself", value.key()),
            "leave it out",
        );
        return None;
    }
    let text = value.text()?.trim();
    let is = |name: &str| value.key().eq_ignore_ascii_case(name) && !text.is_empty();
    if is("content-type") {
        media_type(value)?;
    }
    if is("etag") && !is_entity_tag(text) {
        let tag = text.replace('"', "");
        value.problem_with_help(
            format!("`{text}` is not an entity tag: clients and caches do not understand it"),
            format!("write it in quotes: '\"{tag}\"'"),
        );
        return None;
    }
    if is("last-modified") && !is_date(text) {
        value.problem_with_help(
            format!("`{text}` is not a date of HTTP: clients and caches do not understand it"),
            "write for example \"Fri, 02 Jan 2026 03:04:05 GMT\"",
        );
        return None;
    }
    Some((value.key().to_owned(), text.to_owned()))
}

/// `"..."` or `W/"..."` (RFC 9110 §8.8.3).
fn is_entity_tag(text: &str) -> bool {
    text.strip_prefix("W/")
        .unwrap_or(text)
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .is_some_and(|tag| {
            tag.chars()
                .all(|char| char > ' ' && char != '"' && char != '\x7f')
        })
}

/// In the form that senders use (RFC 9110 §5.6.7). The weekday may be any, as in what clients send.
fn is_date(text: &str) -> bool {
    let is_number = |part: &str, len: usize, most: u32| {
        part.len() == len
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse().is_ok_and(|number: u32| number <= most)
    };
    let parts: Vec<&str> = text.split(' ').collect();
    let [weekday, day, month, year, time, "GMT"] = parts[..] else {
        return false;
    };
    let time: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = time[..] else {
        return false;
    };
    WEEKDAYS.contains(&weekday)
        && MONTHS.contains(&month)
        && (is_number(day, 2, 31) && day != "00")
        && is_number(year, 4, 9999)
        && is_number(hour, 2, 23)
        && is_number(minute, 2, 59)
        && is_number(second, 2, 60)
}

const WEEKDAYS: [&str; 7] = ["Mon,", "Tue,", "Wed,", "Thu,", "Fri,", "Sat,", "Sun,"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A wrong one of these breaks the message itself.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    // A clock must not stand still, and caches count from it (RFC 9110 §6.6.1).
    "date",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
