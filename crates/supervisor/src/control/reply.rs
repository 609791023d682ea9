//! What a client is answered: a head, and JSON until the connection ends.

use serde::Serialize;

/// The head of an answer. Its body ends with the connection, because the end of a reload is not known before.
/// `allow`: the methods that its target has.
pub(super) fn head(status: u16, allow: Option<&str>) -> String {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    };
    let allow = allow.map_or_else(String::new, |methods| format!("Allow: {methods}\r\n"));
    format!(
        "HTTP/1.1 {status} {reason}\r\n{allow}Content-Type: application/json\r\nConnection: close\r\n\r\n"
    )
}

/// Appends one object and a line end.
pub(super) fn push_line(out: &mut Vec<u8>, object: &impl Serialize) {
    // Only a map with keys that are no texts cannot be written, and none of ours has any.
    if serde_json::to_writer(&mut *out, object).is_ok() {
        out.push(b'\n');
    }
}

/// The body of an answer that says no.
#[derive(Debug, Serialize)]
pub(super) struct Refused<'a> {
    pub(super) error: &'a str,
}
