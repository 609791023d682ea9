//! The combined format, byte for byte as nginx writes it:
//! `$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`.

use std::time::Duration;

use crate::{Record, stamp};

/// Bytes that stand for themselves in a line of either format. All others nginx writes as `\xHH`: what could end the quotes,
/// the line or a terminal's good mood.
pub(crate) fn is_plain(byte: u8) -> bool {
    (byte.wrapping_sub(0x20) < 0x5f) & (byte != b'"') & (byte != b'\\')
}

/// Appends the line of `record`. Its time is the end of the request, as in nginx.
pub(crate) fn push_line(out: &mut Vec<u8>, record: &Record) {
    record.client.push(out);
    out.extend_from_slice(b" - - [");
    let end = record.time.checked_add(Duration::from_micros(record.total_us));
    stamp::push_local(out, end.unwrap_or(record.time));
    out.extend_from_slice(b"] \"");
    push_request(out, record);
    out.extend_from_slice(b"\" ");
    let mut number = itoa::Buffer::new();
    let status = record.status.unwrap_or(0);
    if status < 100 {
        // nginx pads to three digits.
        out.extend_from_slice(if status < 10 { b"00" } else { b"0" });
    }
    out.extend_from_slice(number.format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(number.format(record.bytes_out).as_bytes());
    out.extend_from_slice(b" \"");
    push_text(out, record.referer().unwrap_or(b"-"));
    out.extend_from_slice(b"\" \"");
    push_text(out, record.user_agent().unwrap_or(b"-"));
    out.extend_from_slice(b"\"\n");
}

/// The request line; `-` when none came, what came when it could not be parsed.
fn push_request(out: &mut Vec<u8>, record: &Record) {
    let method = record.method().unwrap_or_default();
    let target = record.target().unwrap_or_default();
    match (method, target) {
        (b"", b"") => out.push(b'-'),
        (b"", line) => push_text(out, line),
        (method, target) => {
            push_text(out, method);
            out.push(b' ');
            push_text(out, target);
            if let Some(protocol) = record.protocol {
                out.push(b' ');
                out.extend_from_slice(protocol.as_str().as_bytes());
            }
        }
    }
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    // Nearly all texts are; looking at every byte without a way out lets the compiler take many at once.
    if !text.iter().fold(false, |odd, &byte| odd | !is_plain(byte)) {
        out.extend_from_slice(text);
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| !is_plain(byte)) {
        let byte = rest[at];
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[
            b'\\',
            b'x',
            HEX[usize::from(byte >> 4)],
            HEX[usize::from(byte & 15)],
        ]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;
    use crate::{Protocol, Remote};

    fn line(record: &Record) -> String {
        let mut out = Vec::new();
        push_line(&mut out, record);
        String::from_utf8(out).expect("a combined line is ascii")
    }

    /// The line with its time replaced, which depends on the machine's zone.
    fn line_without_time(record: &Record) -> String {
        let line = line(record);
        let (before, rest) = line.split_once('[').expect("time opens");
        let (time, after) = rest.split_once(']').expect("time closes");
        assert_eq!(time.len(), 26);
        format!("{before}[]{after}")
    }

    fn record() -> Record {
        let peer: SocketAddr = "192.0.2.7:40000".parse().expect("address");
        let mut record = Record::new(peer.into());
        record.time = UNIX_EPOCH + Duration::from_secs(1_795_424_518);
        record
    }

    #[test]
    fn a_whole_request_has_nginx_shape() {
        let mut record = record();
        record.set_request(b"GET", b"/a?b=\"c\"");
        record.protocol = Some(Protocol::Http11);
        record.status = Some(200);
        record.bytes_out = 1234;
        record.set_referer(b"https://example.org/");
        record.set_user_agent("caf\u{e9}\\\n".as_bytes());
        assert_eq!(
            line_without_time(&record),
            "192.0.2.7 - - [] \"GET /a?b=\\x22c\\x22 HTTP/1.1\" 200 1234 \
             \"https://example.org/\" \"caf\\xC3\\xA9\\x5C\\x0A\"\n"
        );
    }

    #[test]
    fn what_is_not_there_is_a_dash_and_what_is_empty_stays_empty() {
        let mut record = record();
        record.client = Remote::Unix;
        record.status = Some(400);
        record.set_user_agent(b"");
        assert_eq!(
            line_without_time(&record),
            "unix: - - [] \"-\" 400 0 \"-\" \"\"\n"
        );
    }

    #[test]
    fn an_unreadable_head_is_logged_as_received() {
        let mut record = record();
        record.status = Some(400);
        record.set_request(b"", b"\x16\x03\x01");
        assert_eq!(
            line_without_time(&record),
            "192.0.2.7 - - [] \"\\x16\\x03\\x01\" 400 0 \"-\" \"-\"\n"
        );
    }

    #[test]
    fn the_time_is_that_of_the_end() {
        let mut record = record();
        record.total_us = 2_000_000;
        assert!(line(&record).contains(":00 "), "58 s and 2 s more");
    }

    proptest! {
        /// Whatever a client sends, the line is one line and a log reader finds every field where it belongs.
        #[test]
        fn no_text_can_forge_a_line(
            method: Vec<u8>, target: Vec<u8>, referer: Vec<u8>, agent: Vec<u8>,
        ) {
            let mut record = record();
            record.status = Some(200);
            record.set_request(&method, &target);
            record.set_referer(&referer);
            record.set_user_agent(&agent);
            let line = line_without_time(&record);
            prop_assert!(line.is_ascii());
            prop_assert_eq!(line.bytes().position(|b| b.is_ascii_control()), Some(line.len() - 1));
            let parts: Vec<&str> = line.split('"').collect();
            prop_assert_eq!(parts.len(), 7);
            prop_assert_eq!(parts[0], "192.0.2.7 - - [] ");
            prop_assert_eq!(parts[2], " 200 0 ");
            prop_assert_eq!(unescape(parts[3]), referer);
            prop_assert_eq!(unescape(parts[5]), agent);
        }
    }

    fn unescape(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            if byte == b'\\' {
                let hex = std::str::from_utf8(&after[1..3]).expect("hex digits");
                bytes.push(u8::from_str_radix(hex, 16).expect("hex digits"));
                rest = &after[3..];
            } else {
                bytes.push(byte);
                rest = after;
            }
        }
        bytes
    }
}
