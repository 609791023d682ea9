//! Content types (RFC 9110 §8.3.1).

use super::{Value, token::is_token};

/// `application/wasm`, with or without parameters.
pub(crate) fn media_type(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.trim();
    let (plain, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_type = plain
        .trim_end()
        .split_once('/')
        .is_some_and(|(kind, name)| is_token(kind) && is_token(name));
    if !is_type || !are_parameters(parameters) {
        value.problem_with_help(
            format!("`{text}` is not a content type"),
            "write for example \"application/wasm\" or \"text/html; charset=koi8-r\"",
        );
        return None;
    }
    Some(text.to_owned())
}

/// `charset=koi8-r; x="y"`, what stands behind the first `;`. Nothing may stand between two of them.
fn are_parameters(mut text: &str) -> bool {
    loop {
        text = text.trim_start_matches([' ', '\t', ';']);
        if text.is_empty() {
            return true;
        }
        let Some((name, value)) = text.split_once('=') else {
            return false;
        };
        let Some(len) = value_len(value) else {
            return false;
        };
        text = value[len..].trim_start_matches([' ', '\t']);
        if !is_token(name) || !(text.is_empty() || text.starts_with(';')) {
            return false;
        }
    }
}

/// How long is the token, or the text in quotes, that this begins with?
fn value_len(text: &str) -> Option<usize> {
    let Some(quoted) = text.strip_prefix('"') else {
        let len = text.find([' ', '\t', ';']).unwrap_or(text.len());
        return is_token(&text[..len]).then_some(len);
    };
    let mut escaped = false;
    let end = quoted.find(|char| {
        let ends = char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        ends
    })?;
    Some(end + 2)
}
