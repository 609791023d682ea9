//! How an event looks in the error log:
//! `2026-11-23T09:01:58.123Z INFO proxy[4242] worker ready app=web slot=1 boot_ms=120`.
//!
//! One event is one line.

use std::{
    error::Error,
    fmt::{self, Write},
    time::SystemTime,
};

use tracing::{
    Event,
    field::{Field, Visit},
};

use crate::{
    app_output,
    escape::{push_field, push_plain},
    stamp,
};

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
