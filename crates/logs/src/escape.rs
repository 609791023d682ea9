//! Text in the lines of the error log.
//!
//! Control characters never get through, whether they come from a client, an application or a library: no
//! text can end its line.

use std::fmt::Write;

/// Appends a field; a value that could be mistaken for something else is quoted.
pub(crate) fn push_field(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, " {name}=");
    let bare = |char: char| char.is_alphanumeric() || "-_./:@+,%*()[]{}<>~#&;!?|^$".contains(char);
    if !value.is_empty() && value.chars().all(bare) {
        out.push_str(value);
        return;
    }
    out.push('"');
    for char in value.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            char => push_char(out, char),
        }
    }
    out.push('"');
}

/// Appends text as it is, but for what would not be seen.
pub(crate) fn push_plain(out: &mut String, text: &str) {
    text.chars().for_each(|char| push_char(out, char));
}

fn push_char(out: &mut String, char: char) {
    match char {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        char if config::is_invisible(char) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
        }
        char => out.push(char),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(value: &str) -> String {
        let mut out = String::new();
        push_field(&mut out, "k", value);
        out
    }

    #[test]
    fn values_are_quoted_where_they_could_be_mistaken() {
        assert_eq!(field("web/1"), " k=web/1");
        assert_eq!(field("127.0.0.1:8000"), " k=127.0.0.1:8000");
        assert_eq!(field(""), " k=\"\"");
        assert_eq!(field("a b"), " k=\"a b\"");
        assert_eq!(field("a=b"), " k=\"a=b\"");
        assert_eq!(
            field("say \"hi\"\\\n\u{1b}[0m"),
            " k=\"say \\\"hi\\\"\\\\\\n\\u{1b}[0m\""
        );
    }

    proptest! {
        #[test]
        fn no_value_can_end_the_line_or_its_quotes(value: String) {
            let field = field(&value);
            let ended = field.contains(config::is_invisible);
            prop_assert!(!ended);
            let value = field.strip_prefix(" k=").unwrap_or_default();
            if let Some(quoted) = value.strip_prefix('"') {
                let inside = quoted.strip_suffix('"').unwrap_or_default();
                let bare = inside.replace("\\\\", "").replace("\\\"", "");
                prop_assert!(!bare.contains('"'));
            } else {
                prop_assert!(!value.contains([' ', '"', '=']));
            }
        }
    }
}
