//! What is not TOML: the parser's words, and the way out for people who come from other formats.

use std::ops::Range;

use super::value::truth;
use crate::problem::{Problem, line_number};

/// What the parser found, with help where it is clear what was meant.
pub(super) fn problem(text: &str, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or(0..0);
    if error.message().starts_with("duplicate key") {
        let name = text.get(span.clone()).unwrap_or_default().trim();
        return Problem {
            message: format!("`{name}` is written twice"),
            help: first(text, &span)
                .map(|line| format!("it stands first in line {line}: leave one of the two out")),
            span,
        };
    }
    let help = meant(text, span.start);
    Problem {
        span,
        message: error.message().to_owned(),
        help,
    }
}

/// The line in which a key or table that is written twice stands first. The parser knows it, and does not
/// tell.
fn first(text: &str, second: &Range<usize>) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let here = line_number(text, second.start) - 1;
    let (above, line) = (lines.get(..here)?, lines.get(here)?);
    let found = match header(line) {
        Some(table) => above
            .iter()
            .position(|other| header(other) == Some(table) || key(other) == Some(table)),
        None => {
            let name = text.get(second.clone())?;
            // In a table between braces, most of which are one line.
            if key(line) != Some(name) {
                let parts = line.split(['{', ',']);
                let same = parts.filter(|part| key(part) == Some(name)).count();
                return (same > 1).then_some(here + 1);
            }
            // Another table may have a key of this name, too.
            let table = above.iter().rposition(|other| header(other).is_some());
            let table = table.unwrap_or_default();
            let found = above[table..].iter().position(|other| key(other) == Some(name));
            found.map(|below| table + below)
        }
    };
    found.map(|line| line + 1)
}

/// `site` of `[[site]]`
fn header(line: &str) -> Option<&str> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let inside = line.strip_prefix('[')?.strip_suffix(']')?;
    Some(inside.trim_matches(['[', ']', ' ', '\t']))
}

/// `hosts` of `hosts = "example.org"`
fn key(line: &str) -> Option<&str> {
    line.split_once('=').map(|(name, _)| name.trim())
}

/// What to write in place of what stands at `at`.
fn meant(text: &str, at: usize) -> Option<String> {
    let (before, after) = text.split_at_checked(at)?;
    let before = before.rsplit('\n').next().unwrap_or_default();
    let after = after.split('\n').next().unwrap_or_default();
    let line = format!("{before}{after}");
    let line = line.trim();
    // Blocks of nginx and Caddy, comments of programs, and keys without a value.
    if line.ends_with(['{', ';']) || line.starts_with("//") || line == "}" || key(line).is_none() {
        return Some(
            "this file is TOML: a table begins with its name in brackets, as in [server], below it stand lines \
             such as key = \"value\", and comments begin with #"
                .to_owned(),
        );
    }
    // The value, or the element of a list, that the parser could not read.
    let begins = before.rfind(['=', '[', ',', '{'])? + 1;
    let rest = format!("{}{after}", &before[begins..]);
    let word = rest.split([',', ']', '}', '#']).next().unwrap_or_default().trim();
    if word.is_empty() || word.contains(['"', '\'']) {
        return None;
    }
    Some(match truth(word) {
        Some(truth) => format!("write {truth}"),
        None => format!("write \"{word}\", in quotes"),
    })
}
