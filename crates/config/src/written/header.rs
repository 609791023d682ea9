//! `headers` of a site or route.

use std::collections::HashMap;

use super::{Section, Value};

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
    let text = value.text()?;
    Some((value.key().to_owned(), text.trim().to_owned()))
}

/// RFC 9110, section 5.6.2.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

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
