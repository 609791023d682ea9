//! Paths of routes.

use super::Value;
use crate::PathMatch;

/// The path that is the text of a value, as in `path = "/shop/"`.
pub(crate) fn path_value(value: &Value<'_>) -> Option<PathMatch> {
    let text = value
        .as_text()
        .or_else(|| value.wants("a path such as \"/shop/\""))?;
    let told = |help: String| value.problem_with_help(format!("`{text}` can match no request"), help);
    path_match(text).map_err(told).ok()
}

/// The path that is a key, as in `files = { "/static/" = "static/" }`.
pub(crate) fn path_key(value: &Value<'_>) -> Option<PathMatch> {
    let told = |help: String| value.key_problem(format!("`{}` can match no request", value.key()), help);
    path_match(value.key()).map_err(told).ok()
}

/// `"/shop"` and `"/shop/"` are the same prefix, `"= /shop"` is that path only.
fn path_match(text: &str) -> Result<PathMatch, String> {
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
        return Err(help);
    }
    Ok(match (exact, path.trim_end_matches('/')) {
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
