//! PEP 3333, over the frames.

use std::os::fd::OwnedFd;

use wire::frame::{AbortReason, Kind, Return};

use crate::{
    APP,
    link::Ask,
    rig::{self, Worker, on_every_host, until},
};

#[test]
fn a_list_of_one_is_one_frame() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let answer = link.get(1, "/hello");
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.frames),
            (200, "hello", 1)
        );
        assert_eq!(answer.reason, "OK");
        assert_eq!(answer.header("Content-Type"), Some(&b"text/plain"[..]));
        assert!(link.claimed(1));
        let several = link.get(2, "/list");
        assert_eq!(several.body.len(), 101_002);
        assert!(several.frames <= 3, "{}", several.frames);
    });
}

#[test]
fn the_environ_says_what_the_client_asked() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        for stream in 1..3 {
            let answer = link.fetch(
                stream,
                Ask {
                    method: "POST",
                    query: "a=b",
                    headers: &[
                        ("host", "example.org"),
                        ("x-two", "1"),
                        ("x-two", "2"),
                        ("cookie", "a=1"),
                        ("cookie", "b=2"),
                        ("x_one", "1"),
                        ("x-one", "2"),
                        ("proxy", "http://spoofed"),
                        ("content-type", "text/x"),
                        ("content-length", "4"),
                        ("x-latin", "caf\u{e9}"),
                    ],
                    body: b"body",
                    ..Ask::get("/environ")
                },
            );
            let text = answer.text();
            for line in [
                "REQUEST_METHOD='POST'",
                "PATH_INFO='/environ'",
                "SCRIPT_NAME=''",
                "QUERY_STRING='a=b'",
                "REQUEST_URI='/environ'",
                "REMOTE_ADDR='192.0.2.7'",
                "REMOTE_PORT='4711'",
                "SERVER_NAME='example.org'",
                "SERVER_PORT='443'",
                "SERVER_PROTOCOL='HTTP/1.1'",
                "wsgi.url_scheme='https'",
                "wsgi.version=(1, 0)",
                if plan.green.is_empty() {
                    "wsgi.multithread=False"
                } else {
                    "wsgi.multithread=True"
                },
                "wsgi.run_once=False",
                "CONTENT_TYPE='text/x'",
                "CONTENT_LENGTH='4'",
                "HTTP_HOST='example.org'",
                "HTTP_X_TWO='1,2'",
                "HTTP_X_ONE='1,2'",
                "HTTP_COOKIE='a=1; b=2'",
                "HTTP_X_LATIN='caf\u{c3}\u{a9}'",
            ] {
                assert!(
                    text.lines().any(|other| other == line),
                    "{line} is not in\n{text}"
                );
            }
            for name in ["HTTP_PROXY", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"] {
                assert!(!text.contains(name), "{name} is in\n{text}");
            }
        }
    });
}

#[test]
fn a_lent_file_goes_back_when_nothing_can_read_it_any_more() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let lent = |ticket, body: &[u8], path| Ask {
            file: Some((file(body), body.len() as u64)),
            lent: Some(ticket),
            ..Ask::get(path)
        };
        let back = |text: &str, ticket, shared| (text.to_owned(), Return { ticket, shared });
        let counted = link.fetch_and_return(1, lent(7, b"a body", "/length"));
        assert_eq!(counted, back("6", 7, false));

        // The application keeps the file for longer than its request.
        assert_eq!(link.fetch(2, lent(8, b"another", "/keep")).text(), "kept");
        let counted = link.fetch_and_return(3, lent(9, b"third", "/length"));
        assert_eq!(counted, back("5", 9, false));
        let read = link.fetch_and_return(4, Ask::get("/read_kept"));
        assert_eq!(read, back("another", 8, false));

        // A process that was forked meanwhile may have it as well.
        let forked = link.fetch_and_return(5, lent(10, b"forked", "/fork"));
        assert_eq!(forked, back("forked", 10, true));
    });
}

#[test]
fn the_input_reads_like_a_file_from_memory_and_from_a_descriptor() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let body = b"abcdef\nghijk\nl\nm\n\nlast";
        let expected =
            "[b'abc', b'def\\n', b'gh', [b'ijk\\n'], [b'l\\n', b'm\\n', b'\\n', b'last'], b'', b'']";
        let from_memory = link.fetch(
            1,
            Ask {
                body,
                ..Ask::get("/input")
            },
        );
        assert_eq!(from_memory.text(), expected);
        let from_file = link.fetch(
            2,
            Ask {
                file: Some((file(body), body.len() as u64)),
                ..Ask::get("/input")
            },
        );
        assert_eq!(from_file.text(), expected);
        let large = vec![b'x'; 3_000_000];
        let answer = link.fetch(
            3,
            Ask {
                file: Some((file(&large), 3_000_000)),
                ..Ask::get("/length")
            },
        );
        assert_eq!(answer.text(), "3000000");
    });
}

fn file(bytes: &[u8]) -> OwnedFd {
    use std::io::Write;
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    file.into()
}

#[test]
fn a_chunk_goes_out_without_waiting_for_the_next() {
    on_every_host(APP, |plan| {
        let (zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let marker = zygote.directory.path().join("go");
        link.ask(
            1,
            Ask {
                query: marker.to_str().expect("a text"),
                ..Ask::get("/stream")
            },
        );
        let (header, payload, _) = link.frame().expect("the first chunk");
        assert_eq!(header.kind, Kind::Response);
        assert!(payload.ends_with(b"one"));
        std::fs::write(&marker, "").expect("a marker");
        assert_eq!(link.answers(&[1])[&1].text(), "two");
    });
}

#[test]
fn credit_bounds_what_is_sent_and_a_large_answer_arrives_whole() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let answer = link.get(1, "/big");
        assert_eq!(answer.body.len(), 5_000_000);
        assert!(answer.frames > 5_000_000 / wire::frame::ANSWER_WINDOW as usize);
    });
}

#[test]
fn the_iterable_is_closed_when_the_client_leaves() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        link.ask(1, Ask::get("/endless"));
        let (header, _, _) = link.frame().expect("the first chunk");
        assert_eq!(header.kind, Kind::Response);
        link.tell(1, Kind::Cancel, &[]);
        assert_eq!(link.answers(&[1])[&1].aborted, Some(AbortReason::Cancelled));
        assert_eq!(link.get(2, "/closed").text(), "endless");
    });
}

#[test]
fn a_finished_answer_does_not_wait_for_what_runs_next() {
    on_every_host(APP, |plan| {
        let (zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let go = zygote.directory.path().join("go");
        let query = go.to_str().expect("a text");
        // All in one batch: the worker has read the last one before it runs the first.
        let mut out = Vec::new();
        link.put(&mut out, 1, &Ask::get("/hello"));
        link.put(
            &mut out,
            2,
            &Ask {
                query,
                ..Ask::get("/slow_close")
            },
        );
        rig::send(&link.socket, &out, &[]);
        let answers = link.answers(&[1, 2]);
        assert_eq!(
            (answers[&1].text().as_str(), answers[&2].text().as_str()),
            ("hello", "answer")
        );
        std::fs::write(&go, "").expect("a marker");
        assert_eq!(link.get(3, "/hello").text(), "hello");
    });
}

#[test]
fn a_raising_application_is_aborted_and_its_traceback_is_logged() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let answer = link.get(1, "/raises");
        assert_eq!((answer.status, answer.aborted), (0, Some(AbortReason::Exception)));
        let late = link.get(2, "/raises_late");
        assert_eq!(
            (late.text().as_str(), late.aborted),
            ("some", Some(AbortReason::Exception))
        );
        assert_eq!(link.get(3, "/exits").aborted, Some(AbortReason::Exception));
        assert_eq!(link.get(4, "/hello").text(), "hello");
        until("the tracebacks are logged", || {
            let text = worker.stderr.lock().expect("no panic").clone();
            text.contains("\u{1e}id1\u{1f}ValueError: on purpose\n")
                && text.contains("\u{1e}id2\u{1f}ValueError: on purpose, late\n")
                && text.contains("\u{1e}id3\u{1f}SystemExit: 3\n")
                && text.contains(
                    "\u{1e}\u{1c}id1\u{1f}GET /raises: the application raised ValueError: on purpose\n",
                )
                && text.matches('\u{1c}').count() == 3
        });
    });
}

#[test]
fn start_response_keeps_its_rules() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let replaced = link.get(1, "/exc_info");
        assert_eq!((replaced.status, replaced.reason.as_str()), (500, "Oops"));
        assert_eq!(replaced.header("X-First"), None);
        assert_eq!(link.get(2, "/write").text(), "written returned");
        assert_eq!(link.get(3, "/twice").aborted, Some(AbortReason::Exception));
        assert_eq!(link.get(4, "/no_head").aborted, Some(AbortReason::Protocol));
        assert_eq!(link.get(5, "/text").aborted, Some(AbortReason::Protocol));
        assert_eq!(link.get(6, "/split").aborted, Some(AbortReason::Exception));
        let hop = link.get(7, "/hop");
        assert_eq!(hop.header("Connection"), None);
        assert_eq!(hop.header("X-Good"), Some(&b"caf\xe9"[..]));
        assert_eq!(hop.text(), "x");
        // A frame that the proxy refuses would cost every request of this worker.
        assert_eq!(link.get(8, "/huge").aborted, Some(AbortReason::Exception));
        assert_eq!(link.get(9, "/hello").text(), "hello");
    });
}

#[test]
fn an_answer_is_as_long_as_its_content_length() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let short = link.get(1, "/short");
        assert_eq!(
            (short.text().as_str(), short.aborted),
            ("abc", Some(AbortReason::Protocol))
        );
        let long = link.get(2, "/long");
        assert_eq!((long.text().as_str(), long.aborted), ("abc", None));
        let head = link.fetch(
            3,
            Ask {
                method: "HEAD",
                ..Ask::get("/long")
            },
        );
        assert_eq!((head.status, head.text().as_str()), (200, ""));
        assert_eq!(head.header("Content-Length"), Some(&b"3"[..]));
        let nothing = link.get(4, "/nothing");
        assert_eq!(
            (nothing.status, nothing.text().as_str(), nothing.aborted),
            (204, "", None)
        );
    });
}

#[test]
fn an_answer_that_announces_a_body_and_has_none_is_a_failure_before_anything_is_sent() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        for (stream, query) in (1..).zip(["list", "empty", "several", "generator", "file"]) {
            let ask = Ask {
                query,
                ..Ask::get("/announced")
            };
            let answer = link.fetch(stream, ask);
            assert_eq!(
                (answer.status, answer.aborted),
                (0, Some(AbortReason::Protocol)),
                "{query}"
            );
            until("it is told", || {
                let text = worker.stderr.lock().expect("no panic").clone();
                text.contains(&format!(
                    "\u{1e}\u{1c}id{stream}\u{1f}GET /announced: the application's answer ended 5 bytes short"
                ))
            });
        }
        let head = Ask {
            method: "HEAD",
            query: "list",
            ..Ask::get("/announced")
        };
        assert_eq!(link.fetch(9, head).status, 200);
    });
}

#[test]
fn the_last_piece_of_an_answer_does_not_wait_for_an_iterable_that_goes_on() {
    on_every_host(APP, |plan| {
        let (zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let go = zygote.directory.path().join("go");
        let query = go.to_str().expect("a text");
        let goes_on = Ask {
            query,
            ..Ask::get("/goes_on")
        };
        let mut out = Vec::new();
        link.put(&mut out, 1, &Ask::get("/hello"));
        link.put(&mut out, 2, &goes_on);
        rig::send(&link.socket, &out, &[]);
        let answers = link.answers(&[1, 2]);
        assert_eq!(
            (answers[&1].text().as_str(), answers[&2].text().as_str()),
            ("hello", "abcdef")
        );
        std::fs::write(&go, "").expect("a marker");
        // What goes on for ever is not asked for more than it has announced.
        assert_eq!(link.get(3, "/goes_beyond").text(), "abc");
        assert_eq!(link.get(4, "/closed").text(), "endless");
        until("it is told", || {
            let text = worker.stderr.lock().expect("no panic").clone();
            text.contains("\u{1e}id3\u{1f}the application sent more than its Content-Length")
        });
    });
}

#[test]
fn fields_and_reasons_are_taken_in_every_form_that_other_servers_take() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        for (stream, query) in (1..).zip(["list", "tuple", "iterator", "items"]) {
            let answer = link.fetch(
                stream,
                Ask {
                    query,
                    ..Ask::get("/fields")
                },
            );
            assert_eq!((answer.status, answer.text().as_str()), (200, "12345"), "{query}");
            for (name, value) in [("X-Blank", "a b"), ("Content-Length", "5"), ("X-Empty", "")] {
                assert_eq!(answer.header(name), Some(value.as_bytes()), "{query}: {name}");
            }
        }
        for (stream, query) in (10..).zip(["255", "256", "5000"]) {
            let answer = link.fetch(
                stream,
                Ask {
                    query,
                    ..Ask::get("/reason")
                },
            );
            assert_eq!(answer.reason.len().to_string(), query);
            assert_eq!(answer.text(), "reason");
        }
    });
}

#[test]
fn a_field_of_the_connection_is_dropped_with_one_line_for_all_answers() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        for stream in 1..4 {
            assert_eq!(link.get(stream, "/hop").header("Connection"), None);
        }
        // Standard error is one pipe, so what was told before is there when this is.
        link.get(4, "/raises");
        until("the failure is told", || {
            let text = worker.stderr.lock().expect("no panic").clone();
            text.contains("ValueError")
        });
        let text = worker.stderr.lock().expect("no panic").clone();
        assert_eq!(text.matches("header field connection").count(), 1, "{text}");
    });
}

#[test]
fn early_hints_leave_before_the_answer_and_only_for_their_own_request() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let hinted = link.get(1, "/hints");
        assert_eq!(hinted.text(), "hinted twice");
        let hints: Vec<_> = hinted
            .hints
            .iter()
            .map(|hint| String::from_utf8_lossy(hint))
            .collect();
        assert_eq!(
            hints,
            [
                "</a.css>; rel=preload",
                "</b.js>; rel=preload",
                "before the first byte"
            ]
        );
        let other = link.get(2, "/hint_of_another");
        assert_eq!((other.text().as_str(), other.hints.len()), ("unhinted", 0));
        let bad = link.get(3, "/bad_hint");
        assert_eq!(
            (bad.status, bad.hints.len(), bad.aborted),
            (0, 0, Some(AbortReason::Exception))
        );
        let many = link.get(4, "/many_hints");
        assert_eq!(many.text(), "enough");
        assert!((1..100).contains(&many.hints.len()), "{} hints", many.hints.len());
    });
}

#[test]
fn a_file_of_unknown_length_is_read_and_sent() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        for (stream, query) in (1..).zip(["/proc/version", "/sys/devices/system/cpu/online"]) {
            let Ok(content) = std::fs::read(query) else {
                continue;
            };
            let answer = link.fetch(
                stream,
                Ask {
                    query,
                    ..Ask::get("/made_up")
                },
            );
            assert_eq!((answer.body, answer.files.len()), (content, 0), "{query}");
        }
        let empty = Ask {
            query: "/dev/null",
            ..Ask::get("/made_up")
        };
        assert_eq!(link.fetch(9, empty).text(), "");
    });
}

#[test]
fn a_wrapped_file_goes_as_a_descriptor() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let mut answer = link.get(1, "/file");
        let (file, range) = answer.files.pop().expect("a file");
        assert_eq!((range.offset, range.len), (4, 6));
        let mut bytes = [0; 6];
        rustix::io::pread(&file, &mut bytes, range.offset).expect("the file");
        assert_eq!(&bytes, b"456789");
        assert_eq!(answer.header("Content-Length"), Some(&b"6"[..]));
        let read = link.get(2, "/filelike");
        assert_eq!((read.text().as_str(), read.files.len()), ("abcdefg", 0));
    });
}

#[test]
fn what_is_printed_carries_the_request_id_in_whole_lines() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        assert_eq!(link.get(7, "/print").text(), "ok");
        until("the lines arrive", || {
            let out = joined(&worker.stdout.lock().expect("no panic"));
            let err = joined(&worker.stderr.lock().expect("no panic"));
            let z = "z".repeat(5000);
            out == format!("\u{1e}id7\u{1f}printed\n\u{1e}id7\u{1f}part and bytes\n\u{1e}id7\u{1f}{z}\n")
                && err == "\u{1e}id7\u{1f}error line\nraw\n\u{1e}id7\u{1f}open end\n"
        });
    });
}

/// Lines whose parts, each with the name of its thread, are put together as the supervisor does it. Such is a
/// line that was flushed before its end, or is longer than what one write keeps whole.
fn joined(output: &str) -> String {
    let mut whole = String::new();
    let mut begun = String::new();
    for line in output.split_inclusive('\n') {
        let Some((mark, text)) = line.split_once('\u{1f}') else {
            whole += line;
            continue;
        };
        let mut words = mark.split('\u{1d}');
        let (id, is_part, is_last) = (words.next(), words.next().is_some(), words.next().is_some());
        if begun.is_empty() {
            begun = format!("{}\u{1f}", id.unwrap_or_default());
        }
        if is_part && !is_last {
            begun += text.trim_end_matches('\n');
        } else {
            whole += &(std::mem::take(&mut begun) + text);
        }
    }
    whole
}

#[test]
fn the_reference_validator_is_satisfied() {
    let app = "
from wsgiref.validate import validator
def plain(environ, start_response):
    body = environ['wsgi.input'].read(5) + environ['wsgi.input'].readline() + b''.join(environ['wsgi.input'])
    environ['wsgi.errors'].write('told')
    environ['wsgi.errors'].flush()
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'valid ' + body]
application = validator(plain)
";
    on_every_host(app, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        for (stream, body) in [(1, &b""[..]), (2, &b"hello\nworld"[..])] {
            let answer = link.fetch(
                stream,
                Ask {
                    method: "POST",
                    body,
                    ..Ask::get("/")
                },
            );
            let told = worker.stderr.lock().expect("no panic").clone();
            assert_eq!(
                answer.text(),
                format!("valid {}", String::from_utf8_lossy(body)),
                "{told}"
            );
        }
    });
}
