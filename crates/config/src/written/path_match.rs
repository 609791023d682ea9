//! Paths of routes.

use super::Value;
use crate::PathMatch;

/// `"/shop"` and `"/shop/"` are the same prefix, `"= /shop"` is that path only. Works on the value of `path` and on a
/// key of `files`; `text` is one of them.
pub(crate) fn path_match(value: &Value<'_>, text: &str) -> Option<PathMatch> {
    let (exact, path) = text
        .strip_prefix('=')
        .map_or((false, text), |path| (true, path.trim_start()));
    let help = if matches!(text.chars().next(), Some('~' | '^' | '@')) || path.contains(['*', '{', '<']) {
        Some("there are no patterns: a prefix such as \"/shop/\" matches all below it".to_owned())
    } else if !path.starts_with('/') {
        Some(format!("begin it with a slash: \"/{path}\""))
    } else if path.contains(['?', '#']) {
        Some("write the path only, queries are not looked at".to_owned())
    } else if path.contains('%') {
        Some("paths are compared decoded: write \"/a b\", not \"/a%20b\"".to_owned())
    } else if path.contains("//") || path.split('/').any(|segment| segment == "." || segment == "..") {
        Some("paths are compared without `//`, `.` and `..`".to_owned())
    } else if path.chars().any(char::is_control) {
        Some("leave control characters out".to_owned())
    } else {
        None
    };
    if let Some(help) = help {
        value.problem_with_help(format!("`{text}` can match no request"), help);
        return None;
    }
    Some(match (exact, path.trim_end_matches('/')) {
        (true, _) => PathMatch::Exact(path.to_owned()),
        (false, "") => PathMatch::Prefix("/".to_owned()),
        (false, bare) => PathMatch::Prefix(bare.to_owned()),
    })
}

/// The prefix without its slash, which is what is cut from a path: "" at the root.
pub(crate) fn bare_prefix(path: &PathMatch) -> &str {
    match path {
        PathMatch::Prefix(prefix) => prefix.trim_end_matches('/'),
        PathMatch::Exact(_) => "",
    }
}

/// True when every path below `prefix` (without its slash) includes `path`.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
