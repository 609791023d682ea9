//! The lines applications print.
//!
//! They keep their own shape in the error log, made for reading tracebacks:
//! `2026-11-23T09:01:58.123Z INFO web/1[4242] stderr request_id=…: ValueError: no such thing`.

use std::fmt::{self, Write};

use tracing::{
    Event, error,
    field::{Field, Visit},
    info,
};

use crate::escape::push_plain;

/// The target of these events; always let through.
pub(crate) const TARGET: &str = "app_output";

/// Bytes of one line; the rest makes further events. Whoever reads what applications print cuts lines before
/// that, and marks the cut.
const LINE_BYTES: usize = 128 * 1024;

/// A line an application printed, or that its worker printed for it.
#[derive(Debug, Clone, Copy)]
pub struct AppLine<'a> {
    /// The request that it belongs to.
    pub request_id: Option<&'a str>,
    /// It tells that the application failed.
    pub error: bool,
    /// Line ends inside it make several events.
    pub text: &'a [u8],
}

/// Writes what an application printed, whatever the log's level: an application's output has no level of
/// ours, only that it failed is an error. `worker` is its slot, `None` for the zygote; `stream` is `stdout`
/// or `stderr`.
pub fn app_output(app: &str, worker: Option<u32>, pid: u32, stream: &str, line: AppLine<'_>) {
    let AppLine {
        request_id,
        error,
        text,
    } = line;
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // At least one event: an empty line is a line.
        for piece in line.chunks(LINE_BYTES).chain(line.is_empty().then_some(line)) {
            let line = &*String::from_utf8_lossy(piece);
            if error {
                error!(target: TARGET, app, worker, pid, request_id, stream, line);
            } else {
                info!(target: TARGET, app, worker, pid, request_id, stream, line);
            }
        }
    }
}

/// Appends such an event in its own shape.
pub(crate) fn push_event(out: &mut String, event: &Event<'_>) {
    let mut said = Said::default();
    event.record(&mut said);
    push_plain(out, &said.app);
    match said.worker {
        Some(slot) => {
            let _ = write!(out, "/{slot}");
        }
        None => out.push_str("/zygote"),
    }
    let _ = write!(out, "[{}] ", said.pid);
    push_plain(out, &said.stream);
    if let Some(id) = &said.request_id {
        out.push_str(" request_id=");
        push_plain(out, id);
    }
    out.push_str(": ");
    push_plain(out, &said.line);
}

/// The fields of such an event.
#[derive(Default)]
struct Said {
    app: String,
    worker: Option<u64>,
    pid: u64,
    request_id: Option<String>,
    stream: String,
    line: String,
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "worker" => self.worker = Some(value),
            "pid" => self.pid = value,
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "app" => self.app = value.to_owned(),
            "request_id" => self.request_id = Some(value.to_owned()),
            "stream" => self.stream = value.to_owned(),
            "line" => self.line = value.to_owned(),
            _ => {}
        }
    }

    // Every field has a type of its own.
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
