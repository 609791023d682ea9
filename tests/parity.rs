//! What nginx does with files, we do. With `SERVER_UNDER_TEST=nginx` the same tests run against nginx, and where nginx is
//! installed both are also compared side by side.
//!
//! Left out on purpose: the Server and Date fields, the texts of error pages, the charset of HTML (nginx
//! names it for every text or for none, we leave it to the document), and the places where nginx does not
//! follow RFC 9110 (a Range in a HEAD request, `bytes=5-2`, If-Modified-Since beside If-None-Match); `files`
//! tests those.

use cases::{CONDITIONALS, Case, DIRECTORIES, PLAIN, PRECOMPRESSED, RANGES, REFUSALS, TABLES, get};
use server::Server;

use crate::harness::{Connection, Response, nginx};

mod cases;
mod server;

#[test]
fn files_are_sent_with_type_length_and_validators() {
    check(PLAIN);
}

#[test]
fn directories_have_an_index_and_a_slash() {
    check(DIRECTORIES);
}

#[test]
fn all_five_conditionals_decide() {
    check(CONDITIONALS);
}

#[test]
fn parts_of_a_file_are_sent() {
    check(RANGES);
}

#[test]
fn compressed_siblings_are_sent_to_those_who_accept_them() {
    check(PRECOMPRESSED);
}

#[test]
fn nothing_outside_is_reachable_and_files_are_only_read() {
    check(REFUSALS);
}

#[test]
fn several_parts_come_as_multipart() {
    let server = Server::under_test();
    let answer = server.ask(&get("/files/letters.txt", 206).with(&[("Range", "bytes=0-1, 4-5,-2")]));
    assert_eq!(answer.status, 206);
    assert_eq!(
        answer.header("content-length"),
        Some(answer.body.len().to_string().as_str())
    );
    assert_eq!(
        parts(&answer),
        [
            ("bytes 0-1/26", "ab"),
            ("bytes 4-5/26", "ef"),
            ("bytes 24-25/26", "yz")
        ]
        .map(|(range, text)| (
            range.to_owned(),
            "text/plain; charset=utf-8".to_owned(),
            text.to_owned()
        ))
    );
}

#[test]
fn validators_of_a_compressed_sibling_are_its_own() {
    let server = Server::under_test();
    let plain = server.ask(&get("/files/packed.css", 200));
    let packed = server.ask(&get("/files/packed.css", 200).with(&[("Accept-Encoding", "gzip")]));
    let (plain, packed) = (plain.header("etag").unwrap(), packed.header("etag").unwrap());
    assert_ne!(plain, packed);
    let mut client = Connection::open(server.port());
    let again = |client: &mut Connection, tag, encoding| {
        let headers = [("If-None-Match", tag), ("Accept-Encoding", encoding)];
        client.get("/files/packed.css", &headers).status
    };
    assert_eq!(again(&mut client, packed, "gzip"), 304);
    assert_eq!(again(&mut client, plain, "gzip"), 200);
    assert_eq!(again(&mut client, plain, "identity"), 304);
    assert_eq!(again(&mut client, packed, "identity"), 200);
}

#[test]
fn nginx_and_appliance_answer_alike() {
    if nginx::is_under_test() || nginx::find().is_none() {
        println!("not compared: nginx is not installed, or is itself under test");
        return;
    }
    let (ours, theirs) = (Server::appliance(), Server::nginx());
    let mut differences = Vec::new();
    for case in TABLES.into_iter().flatten() {
        let (ours, theirs) = (essence(&ours.ask(case)), essence(&theirs.ask(case)));
        if ours != theirs {
            differences.push(format!(
                "{}\n  appliance {ours:?}\n  nginx     {theirs:?}",
                case.title()
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[track_caller]
fn check(cases: &[Case]) {
    let server = Server::under_test();
    let mut failures = Vec::new();
    for case in cases {
        let answer = server.ask(case);
        let mut wrong = Vec::new();
        if answer.status != case.status {
            wrong.push(format!("status {} instead of {}", answer.status, case.status));
        }
        for &(name, value) in case.fields {
            let found = answer.header(name).map(|found| without_authority(name, found));
            if found.as_deref().unwrap_or_default() != value {
                wrong.push(format!("{name}: {found:?} instead of {value:?}"));
            }
        }
        if case.body.is_some_and(|body| answer.body != body) {
            wrong.push(format!(
                "body {:?}",
                answer.text().chars().take(200).collect::<String>()
            ));
        }
        if !wrong.is_empty() {
            failures.push(format!("{}: {}", case.title(), wrong.join("; ")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A Location may be a path or a whole URL.
fn without_authority(name: &str, value: &str) -> String {
    match value.split_once("://") {
        Some((_, rest)) if name == "location" => rest[rest.find('/').unwrap_or(rest.len())..].to_owned(),
        _ => value.to_owned(),
    }
}

/// What of an answer must be the same.
#[derive(Debug, PartialEq)]
struct Essence {
    status: u16,
    fields: Vec<(&'static str, Option<String>)>,
    body: String,
    parts: Vec<(String, String, String)>,
}

fn essence(answer: &Response) -> Essence {
    let parts = parts(answer);
    // A boundary is a matter of taste, and so are pages that say what went wrong.
    let names: &[&str] = match answer.status {
        200 => &[
            "content-type",
            "content-length",
            "etag",
            "last-modified",
            "accept-ranges",
            "content-encoding",
            "vary",
        ],
        206 if parts.is_empty() => &[
            "content-type",
            "content-length",
            "content-range",
            "etag",
            "last-modified",
        ],
        206 => &["etag", "last-modified"],
        304 => &["etag", "last-modified", "content-length"],
        416 => &["content-range"],
        _ => &["location"],
    };
    let fields = names
        .iter()
        .map(|&name| {
            (
                name,
                answer.header(name).map(|value| match (name, value) {
                    ("content-type", "text/html; charset=utf-8") => "text/html".to_owned(),
                    _ => without_authority(name, value),
                }),
            )
        })
        .collect();
    let told = matches!(answer.status, 200 | 206 | 304) && parts.is_empty();
    Essence {
        status: answer.status,
        fields,
        body: if told { answer.text() } else { String::new() },
        parts,
    }
}

/// Range, type and text of each part of a multipart answer.
fn parts(answer: &Response) -> Vec<(String, String, String)> {
    let boundary = answer
        .header("content-type")
        .and_then(|value| value.strip_prefix("multipart/byteranges; boundary="));
    let Some(boundary) = boundary else {
        return Vec::new();
    };
    let text = answer.text();
    let body = text
        .strip_suffix(&format!("\r\n--{boundary}--\r\n"))
        .unwrap_or_else(|| panic!("no end: {text}"));
    let separator = format!("\r\n--{boundary}\r\n");
    let mut pieces = body.split(separator.as_str());
    // nginx begins with a line end, which is allowed and not needed.
    let first = pieces.next().unwrap_or_default();
    let first = first.strip_prefix(&format!("--{boundary}\r\n"));
    first
        .into_iter()
        .chain(pieces)
        .map(|part| {
            let (head, text) = part.split_once("\r\n\r\n").expect("a part has a head");
            let field = |name: &str| {
                head.lines()
                    .filter_map(|line| line.split_once(": "))
                    .find(|(field, _)| field.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.to_owned())
                    .unwrap_or_default()
            };
            (field("content-range"), field("content-type"), text.to_owned())
        })
        .collect()
}
