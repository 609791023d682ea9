//! How an event looks in the error log:
//! `2026-11-23T09:01:58.123Z INFO proxy[4242] worker ready app=web slot=1 boot_ms=120`.
//!
//! One event is one line. Values that could be mistaken for something else are quoted; control characters never get
//! through, whether they come from a client, an application or a library.

use std::{
    error::Error,
    fmt::{self, Write},
    time::SystemTime,
};

use tracing::{
    Event,
    field::{Field, Visit},
};

use crate::{app_output, stamp};

/// Appends the line of `event` to `out`, which becomes invalid UTF-8 by nothing done here.
pub(crate) fn push_line(out: &mut String, origin: &str, event: &Event<'_>) {
    let metadata = event.metadata();
    let mut time = Vec::with_capacity(24);
    stamp::push_utc(&mut time, SystemTime::now());
    out.push_str(std::str::from_utf8(&time).unwrap_or_default());
    let _ = write!(out, " {} ", metadata.level());
    if metadata.target() == app_output::TARGET {
        app_output::push_event(out, event);
    } else {
        out.push_str(origin);
        event.record(&mut Phrase { out });
        let mut fields = Fields {
            out,
            log_target: None,
        };
        event.record(&mut fields);
        let target = fields.log_target.as_deref().unwrap_or(metadata.target());
        if !is_ours(target) {
            push_field(out, "target", target);
        }
    }
    out.push('\n');
}

/// The crates whose events say by themselves where they come from.
pub(crate) const OURS: [&str; 6] = ["appliance", "config", "logs", "proxy", "supervisor", "wire"];

fn is_ours(target: &str) -> bool {
    OURS.contains(&target.split("::").next().unwrap_or_default())
}

/// Writes the fixed phrase.
struct Phrase<'a> {
    out: &'a mut String,
}

impl Visit for Phrase<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.out.push(' ');
            push_plain(self.out, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

/// Writes the fields.
struct Fields<'a> {
    out: &'a mut String,
    /// Where a record of the `log` crate comes from.
    log_target: Option<String>,
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => {}
            "log.target" => self.log_target = Some(value.to_owned()),
            // Module, file and line of a `log` record.
            name if name.starts_with("log.") => {}
            name => push_field(self.out, name, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.record_str(field, &text);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.record_str(field, &String::from_utf8_lossy(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

fn push_field(out: &mut String, name: &str, value: &str) {
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
