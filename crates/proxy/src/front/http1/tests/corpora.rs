//! The raw requests of `tests/corpora/http1`.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::{
    super::{RequestLine, Scan, parse},
    Stage, limits,
};

/// A file of the corpora: expectation lines, raw bytes.
struct Case {
    name: String,
    expect: Vec<(String, Vec<u8>)>,
    raw: Vec<u8>,
}

fn cases(kind: &str) -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/corpora/http1")
        .join(kind);
    let mut cases: Vec<Case> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let (expect, raw) = text.split_once("\n\n").unwrap();
            Case {
                name: path.display().to_string(),
                expect: expect
                    .lines()
                    .map(|line| {
                        let (key, value) = line.split_once(':').unwrap();
                        (key.to_owned(), unescape(value.strip_prefix(' ').unwrap_or(value)))
                    })
                    .collect(),
                raw: unescape(raw),
            }
        })
        .collect();
    assert!(!cases.is_empty(), "{}", directory.display());
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes().filter(|byte| *byte != b'\n');
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next().unwrap() {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("no such escape: \\{}", other as char),
        });
    }
    out
}

#[tokio::test]
async fn what_breaks_the_rules_is_refused_with_the_right_status() {
    for case in cases("invalid") {
        let answers = Stage::new().exchange(&case.raw).await;
        let last = answers.rfind("HTTP/1.1 ").map_or("", |at| &answers[at..]);
        let status = String::from_utf8_lossy(&case.expect[0].1).into_owned();
        assert!(
            last.starts_with(&format!("HTTP/1.1 {status} ")) && last.contains("Connection: close\r\n"),
            "{}: {answers:?}",
            case.name
        );
    }
}

#[tokio::test]
async fn what_keeps_the_rules_is_understood() {
    for case in cases("valid") {
        let stage = Stage::new();
        let answers = stage.exchange(&case.raw).await;
        let seen = stage.seen.lock().unwrap().clone();
        let mut next = seen.iter();
        let mut current = None;
        for (key, value) in &case.expect {
            let context = || format!("{}: {key}: {}\n{answers}", case.name, value.escape_ascii());
            if key == "request" {
                current = next.next();
                let head = &current.unwrap_or_else(|| panic!("{}", context())).head;
                let line = [
                    head.method.as_bytes(),
                    b" ",
                    &head.target,
                    b" ",
                    head.version.as_str().as_bytes(),
                ]
                .concat();
                assert_eq!(line.escape_ascii().to_string(), value.escape_ascii().to_string());
                continue;
            }
            let seen = current.unwrap();
            match key.as_str() {
                "host" => assert_eq!(&seen.head.host, value, "{}", context()),
                "body" => assert_eq!(&seen.body, value, "{}", context()),
                "keep-alive" => assert_eq!(seen.keep_alive, value == b"yes", "{}", context()),
                "field" => {
                    let at = value.iter().position(|byte| *byte == b'=').unwrap();
                    let (name, value) = (&value[..at], &value[at + 1..]);
                    assert!(
                        seen.head.fields.iter().any(|field| field == (name, value)),
                        "{}",
                        context()
                    );
                }
                _ => panic!("{}", context()),
            }
        }
        assert!(
            next.next().is_none(),
            "{}: one more request than expected",
            case.name
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = RequestLine::parse(&bytes);
        let _ = parse(&bytes, 100);
        let _ = Scan::default().find_end(&bytes, &limits());
    }

    #[test]
    fn a_mangled_head_makes_nothing_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut head = b"POST http://a:1/b?c HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nConnection: x, close\r\n\r\n".to_vec();
        let at = at.index(head.len());
        head[at] = byte;
        let _ = parse(&head, 4);
        head.truncate(cut.index(head.len()));
        let mut scan = Scan::default();
        let _ = scan.find_end(&head, &limits());
        let _ = parse(&head, 4);
    }

    #[test]
    fn the_end_of_a_head_is_found_in_any_split(cuts in prop::collection::vec(0usize..80, 0..8)) {
        let raw = b"GET / HTTP/1.1\r\nHost: example.org\r\nX-A: b\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
        let head = 45;
        let mut cuts = cuts;
        cuts.sort_unstable();
        cuts.push(raw.len());
        let mut scan = Scan::default();
        for cut in cuts {
            let found = scan.find_end(&raw[..cut.min(raw.len())], &limits()).unwrap();
            prop_assert_eq!(found, (cut >= head).then_some(head));
            if found.is_some() {
                prop_assert_eq!(scan.fields(), 2);
                break;
            }
        }
    }
}
