//! The JSON format: one object per line, every field on every line, `null` where nothing is known.
//!
//! Names and types are stable. Texts are UTF-8 whatever the client sent (bytes that are not are replaced by U+FFFD);
//! whatever some reader could take for a line end is escaped.

use std::io::Write;

use crate::{Record, Remote, combined::is_plain, stamp};

/// The key of a field as it stands in the line, put together by the compiler.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// Appends the line of `record`. Its time is the start of the request.
pub(crate) fn push_line(out: &mut Vec<u8>, record: &Record) {
    out.extend_from_slice(b"{\"time\":\"");
    stamp::push_utc(out, record.time);
    out.push(b'"');
    push_remote(out, [key!("client"), key!("client_port")], record.client);
    push_remote(out, [key!("peer"), key!("peer_port")], record.peer);
    push_text(out, key!("request_id"), record.request_id());
    push_text(out, key!("method"), record.method());
    push_text(out, key!("target"), record.target());
    push_name(
        out,
        key!("protocol"),
        record.protocol.map(|protocol| protocol.as_str()),
    );
    push_name(out, key!("scheme"), Some(record.scheme.as_str()));
    push_text(out, key!("host"), record.host());
    push_number(out, key!("status"), record.status.map(u64::from));
    push_name(
        out,
        key!("outcome"),
        record.outcome.map(|outcome| outcome.as_str()),
    );
    push_number(out, key!("bytes_in"), Some(record.bytes_in));
    push_number(out, key!("bytes_out"), Some(record.bytes_out));
    push_number(out, key!("total_us"), Some(record.total_us));
    push_number(out, key!("queue_us"), record.queue_us);
    push_number(out, key!("app_us"), record.app_us);
    push_name(out, key!("site"), record.site.as_deref());
    push_name(out, key!("route"), record.route.as_deref());
    push_name(out, key!("app"), record.app.as_deref());
    push_number(out, key!("worker"), record.worker.map(u64::from));
    push_number(out, key!("pid"), record.pid.map(u64::from));
    push_name(out, key!("upstream"), record.upstream.as_deref());
    push_text(out, key!("referer"), record.referer());
    push_text(out, key!("user_agent"), record.user_agent());
    push_name(out, key!("tls_version"), record.tls.map(|tls| tls.version));
    push_name(out, key!("tls_cipher"), record.tls.map(|tls| tls.cipher));
    out.extend_from_slice(b"}\n");
}

fn push_null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

fn push_number(out: &mut Vec<u8>, key: &str, number: Option<u64>) {
    out.extend_from_slice(key.as_bytes());
    match number {
        Some(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        None => push_null(out),
    }
}

fn push_remote(out: &mut Vec<u8>, [address, port]: [&str; 2], remote: Remote) {
    out.extend_from_slice(address.as_bytes());
    let _ = write!(out, "\"{remote}\"");
    out.extend_from_slice(port.as_bytes());
    match remote.port() {
        Some(port) => out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes()),
        None => push_null(out),
    }
}

/// A word of our own, or a name from the configuration, where an administrator may have written anything.
fn push_name(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    push_text(out, key, value.map(str::as_bytes));
}

fn push_text(out: &mut Vec<u8>, key: &str, text: Option<&[u8]>) {
    out.extend_from_slice(key.as_bytes());
    match text {
        None => push_null(out),
        Some(text) => {
            out.push(b'"');
            if text.iter().fold(true, |plain, &byte| plain & is_plain(byte)) {
                out.extend_from_slice(text);
            } else {
                push_escaped(out, text);
            }
            out.push(b'"');
        }
    }
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                // Control characters of both kinds, and the two separators that many languages split lines at.
                char if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') => {
                    let _ = write!(out, "\\u{:04x}", u32::from(char));
                }
                char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        time::{Duration, UNIX_EPOCH},
    };

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::{Outcome, Protocol, Scheme, Tls};

    fn line(record: &Record) -> String {
        let mut out = Vec::new();
        push_line(&mut out, record);
        String::from_utf8(out).expect("a JSON line is UTF-8")
    }

    fn record() -> Record {
        let peer: SocketAddr = "[::ffff:192.0.2.7]:40000".parse().expect("address");
        let mut record = Record::new(peer.into());
        record.time = UNIX_EPOCH + Duration::from_millis(1_795_424_518_123);
        record
    }

    #[test]
    fn a_full_record_tells_everything_in_a_stable_shape() {
        let mut record = record();
        record.client = Remote::from_ip("2001:db8::1".parse().expect("address"));
        record.set_request_id(b"0123456789abcdef0123456789abcdef");
        record.set_request(b"POST", b"/a?b");
        record.protocol = Some(Protocol::Http2);
        record.scheme = Scheme::Https;
        record.set_host(b"example.org");
        record.status = Some(201);
        record.outcome = Some(Outcome::Ok);
        (record.bytes_in, record.bytes_out, record.total_us) = (1, 2, 3);
        (record.queue_us, record.app_us) = (Some(4), Some(5));
        record.site = Some("example.org".into());
        record.route = Some("/".into());
        record.app = Some("web".into());
        (record.worker, record.pid) = (Some(1), Some(4242));
        record.upstream = Some("192.0.2.9:80".into());
        record.set_referer(b"https://example.org/");
        record.set_user_agent(b"curl/8");
        record.tls = Some(Tls {
            version: "TLSv1.3",
            cipher: "TLS13_AES_128_GCM_SHA256",
        });
        assert_eq!(
            line(&record),
            concat!(
                r#"{"time":"2026-11-23T09:01:58.123Z","client":"2001:db8::1","client_port":null,"#,
                r#""peer":"192.0.2.7","peer_port":40000,"request_id":"0123456789abcdef0123456789abcdef","#,
                r#""method":"POST","target":"/a?b","protocol":"HTTP/2.0","scheme":"https","host":"example.org","#,
                r#""status":201,"outcome":"ok","bytes_in":1,"bytes_out":2,"total_us":3,"queue_us":4,"app_us":5,"#,
                r#""site":"example.org","route":"/","app":"web","worker":1,"pid":4242,"upstream":"192.0.2.9:80","#,
                r#""referer":"https://example.org/","user_agent":"curl/8","#,
                r#""tls_version":"TLSv1.3","tls_cipher":"TLS13_AES_128_GCM_SHA256"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn an_empty_record_has_the_same_fields() {
        let full = line(&record());
        let value: Value = serde_json::from_str(&full).expect("JSON");
        assert_eq!(value.as_object().map(|fields| fields.len()), Some(28));
        assert_eq!(value["status"], Value::Null);
        assert_eq!(value["user_agent"], Value::Null);
    }

    proptest! {
        /// Whatever a client sends, the line is one JSON object that says just that.
        #[test]
        fn no_text_can_forge_a_line(target: Vec<u8>, host: String, agent: Vec<u8>) {
            let mut record = record();
            record.set_request(b"GET", &target);
            record.set_host(host.as_bytes());
            record.set_user_agent(&agent);
            let line = line(&record);
            prop_assert_eq!(line.chars().position(char::is_control), Some(line.chars().count() - 1));
            let separators = line.contains(['\u{2028}', '\u{2029}']);
            prop_assert!(!separators);
            let value: Value = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(value.as_object().map(|fields| fields.len()), Some(28));
            prop_assert_eq!(value["target"].as_str(), Some(&*String::from_utf8_lossy(&target)));
            prop_assert_eq!(value["host"].as_str(), Some(&*host));
            prop_assert_eq!(value["user_agent"].as_str(), Some(&*String::from_utf8_lossy(&agent)));
        }
    }
}
