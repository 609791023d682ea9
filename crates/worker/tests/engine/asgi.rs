//! ASGI over HTTP, over the frames.

use wire::{
    control::ToWorker,
    frame::{self, AbortReason, Kind},
};

use crate::{
    ASGI_APP,
    link::{Answer, Ask, Link},
    rig::{self, Plan, Worker, Zygote, on_every_python, until},
};

/// With each interpreter: a worker of the application, and a link to it.
pub(crate) fn with_app(test: impl Fn(&Worker, &mut Link)) {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::asgi(python, ASGI_APP));
        let mut link = worker.link();
        test(&worker, &mut link);
    });
}

pub(crate) fn printed(worker: &Worker, line: &str) {
    until(&format!("{line:?} is printed"), || {
        let printed = worker.stdout.lock().expect("no panic");
        printed.lines().any(|other| other == line)
    });
}

pub(crate) fn told(worker: &Worker, text: &str) {
    until(&format!("{text:?} is told"), || {
        worker.stderr.lock().expect("no panic").contains(text)
    });
}

#[test]
fn an_answer_that_waits_for_nothing_is_one_frame() {
    with_app(|_, link| {
        let answer = link.get(1, "/hello");
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.frames),
            (200, "hello", 1)
        );
        assert_eq!(answer.header("content-type"), Some(&b"text/plain"[..]));
        assert!(link.claimed(1));
    });
}

#[test]
fn the_scope_says_what_the_client_asked() {
    with_app(|_, link| {
        for stream in 1..3 {
            let answer = link.fetch(
                stream,
                Ask {
                    method: "POST",
                    query: "a=b",
                    mount: "/shop",
                    headers: &[("host", "example.org"), ("x-two", "1"), ("x-two", "2")],
                    ..Ask::get("/caf\u{e9}/scope")
                },
            );
            let text = answer.text();
            for part in [
                r#""type": "http""#,
                r#""asgi": {"version": "3.0", "spec_version": "2.3"}"#,
                r#""http_version": "1.1""#,
                r#""method": "POST""#,
                r#""scheme": "https""#,
                r#""path": "/shop/caf\u00e9/scope""#,
                r#""root_path": "/shop""#,
                r#""raw_path": "/caf\u00c3\u00a9/scope""#,
                r#""query_string": "a=b""#,
                r#""client": ["192.0.2.7", 4711]"#,
                r#""server": ["example.org", 443]"#,
                r#""headers": [["host", "example.org"], ["x-two", "1"], ["x-two", "2"]]"#,
                r#""tls_version": 772"#,
                r#""cipher_suite": 4865"#,
                r#""server_cert": null"#,
                r#""http.response.trailers": {}"#,
                r#""http.response.early_hint": {}"#,
            ] {
                assert!(text.contains(part), "{part} is not in\n{text}");
            }
            assert!(!text.contains("\"state\""), "{text}");
        }
    });
}

#[test]
fn a_file_in_the_place_of_a_body_is_offered_to_applications_that_ask_for_it() {
    on_every_python(|python| {
        let plan = Plan::asgi(python, ASGI_APP);
        for (plan, offered) in [(plan, false), (plan.pathsend(), true)] {
            let (_zygote, worker) = Worker::ready(&plan);
            let text = worker.link().get(1, "/scope").text();
            for extension in ["http.response.pathsend", "http.response.zerocopysend"] {
                assert_eq!(text.contains(extension), offered, "{extension} in\n{text}");
            }
        }
    });
}

#[test]
fn a_body_comes_inline_from_a_file_or_as_it_arrives() {
    with_app(|_, link| {
        let answer = link.fetch(
            1,
            Ask {
                method: "POST",
                body: b"inline",
                ..Ask::get("/echo")
            },
        );
        assert_eq!(answer.text(), "inline");

        let file = tempfile::tempfile().expect("a file");
        let body = vec![b'f'; 150_000];
        rustix::io::pwrite(&file, &body, 0).expect("written");
        let answer = link.fetch(
            2,
            Ask {
                method: "POST",
                file: Some((file.into(), 150_000)),
                ..Ask::get("/echo")
            },
        );
        assert_eq!(answer.body, body);
        assert_eq!(answer.header("x-pieces"), Some(&b"3"[..]));

        link.ask(
            3,
            Ask {
                method: "POST",
                body: b"first ",
                streamed: true,
                ..Ask::get("/echo")
            },
        );
        for part in ["second ", "third "] {
            link.tell(3, Kind::Body, part.as_bytes());
        }
        let (mut granted, mut answer) = (0, Answer::default());
        while granted < 13 {
            let (header, payload, _) = link.frame().expect("credit");
            assert_eq!(header.kind, Kind::Credit);
            granted += u32::from_le_bytes(payload.try_into().expect("4 bytes"));
        }
        link.tell_flags(3, Kind::Body, frame::END, b"last");
        while !answer.over {
            let (header, payload, descriptor) = link.frame().expect("an answer");
            answer.take(header, &payload, descriptor);
        }
        assert_eq!(answer.text(), "first second third last");
    });
}

#[test]
fn the_proxy_hears_when_an_application_asks_for_a_body_that_has_not_come() {
    with_app(|_, link| {
        let streamed = |path| Ask {
            method: "POST",
            streamed: true,
            ..Ask::get(path)
        };
        link.ask(1, streamed("/gated_echo"));
        // What it says first is the answer to another one.
        assert_eq!(link.get(2, "/open_gate").text(), "opened");
        let (header, payload, _) = link.frame().expect("a frame");
        assert_eq!(
            (header.stream, header.kind, &payload[..]),
            (1, Kind::Credit, &[0; 4][..])
        );
        link.tell_flags(1, Kind::Body, frame::END, b"body");
        let (header, payload, _) = link.frame().expect("a frame");
        assert_eq!((header.stream, header.kind), (1, Kind::Response));
        assert!(payload.ends_with(b"body"));
        link.ask(3, streamed("/hello"));
        let (header, ..) = link.frame().expect("a frame");
        assert_eq!(
            (header.stream, header.kind),
            (3, Kind::Response),
            "it did not ask"
        );
    });
}

#[test]
fn requests_that_wait_share_the_thread_and_run_in_tasks() {
    with_app(|_, link| {
        link.ask(1, Ask::get("/gate"));
        assert_eq!(link.get(2, "/slow").text(), "Task");
        assert_eq!(link.get(3, "/open_gate").text(), "opened");
        assert_eq!(link.answers(&[1])[&1].text(), "through");
        link.ask(
            4,
            Ask {
                query: "four",
                ..Ask::get("/contexts")
            },
        );
        link.ask(
            5,
            Ask {
                query: "five",
                ..Ask::get("/contexts")
            },
        );
        let answers = link.answers(&[4, 5]);
        assert_eq!(answers[&4].text(), "nobody four");
        assert_eq!(answers[&5].text(), "nobody five");
    });
}

#[test]
fn many_answers_of_one_batch_leave_together() {
    with_app(|_, link| {
        let mut out = Vec::new();
        let streams: Vec<u32> = (1..33).collect();
        for &stream in &streams {
            link.put(&mut out, stream, &Ask::get("/hello"));
        }
        crate::rig::send(&link.socket, &out, &[]);
        let answers = link.answers(&streams);
        assert!(answers.values().all(|answer| answer.text() == "hello"));
    });
}

#[test]
fn send_waits_for_credit_and_nothing_else_does() {
    with_app(|_, link| {
        link.ask(1, Ask::get("/big"));
        let mut big = Answer::default();
        while big.body.len() < 256 << 10 {
            let (header, payload, descriptor) = link.frame().expect("an answer");
            big.take(header, &payload, descriptor);
        }
        assert_eq!(big.body.len(), 256 << 10);
        assert_eq!(link.get(2, "/state_of_big").text(), "waits");
        link.credit(1, 2_000_000);
        while !big.over {
            let (header, payload, descriptor) = link.frame().expect("an answer");
            big.take(header, &payload, descriptor);
        }
        assert_eq!(big.body.len(), 1_000_001);
        assert_eq!(link.get(3, "/state_of_big").text(), "sent");
        assert_eq!(link.get(4, "/parts").text(), "onetwothree");
    });
}

#[test]
fn a_full_socket_never_holds_the_loop_up() {
    with_app(|worker, link| {
        // More than any socket buffer holds, and nobody reads.
        let streams: Vec<u32> = (1..33).collect();
        for &stream in &streams {
            link.ask(stream, Ask::get("/big"));
        }
        let mut other = worker.link();
        assert_eq!(other.get(1, "/hello").text(), "hello");
        for answer in link.answers(&streams).values() {
            assert_eq!(answer.body.len(), 1_000_001);
        }
    });
}

#[test]
fn failures_end_the_stream_and_are_told_with_the_request() {
    with_app(|worker, link| {
        for (stream, path, reason, text) in [
            (
                1,
                "/raises",
                AbortReason::Exception,
                "ValueError: before the head",
            ),
            (
                2,
                "/raises_later",
                AbortReason::Exception,
                "ValueError: behind the head",
            ),
            (3, "/exits", AbortReason::Exception, "SystemExit: 3"),
            (
                4,
                "/silent",
                AbortReason::Protocol,
                "GET /silent: the application returned without an answer",
            ),
            (
                5,
                "/unfinished",
                AbortReason::Protocol,
                "returned before its answer was complete",
            ),
            (
                6,
                "/short",
                AbortReason::Protocol,
                "3 bytes short of its Content-Length",
            ),
            (
                10,
                "/short_trailers",
                AbortReason::Protocol,
                "3 bytes short of its Content-Length",
            ),
        ] {
            let answer = link.get(stream, path);
            assert_eq!(answer.aborted, Some(reason), "{path}");
            told(worker, text);
            told(worker, &format!("\u{1e}\u{1c}id{stream}\u{1f}GET {path}: "));
        }
        assert_eq!(link.get(7, "/long").text(), "12345");
        told(worker, "sent more than its Content-Length");
        assert_eq!(link.get(8, "/child_exits").text(), "alive");
        assert_eq!(link.get(9, "/hello").text(), "hello");
    });
}

#[test]
fn events_that_break_the_interface_are_refused() {
    with_app(|worker, link| {
        let text = link.get(1, "/wrong").text();
        let lines: Vec<&str> = text.lines().collect();
        for (line, part) in lines.iter().zip([
            "before http.response.start",
            "status of an answer is 42",
            "not a pair of bytes",
            "\"a\\r\\nb: c\", with a control character",
            "\"a\\0b\", with a control character",
            "\"a\\u{1}b\", with a control character",
            "\"a\\u{7f}\", with a control character",
            "\"a b\" is not a name",
            "not one number",
            "\"websocket.accept\" is no event",
            "no str",
            "bytes, and not a dict",
            "second time",
            "is str, and not bytes",
        ]) {
            assert!(line.contains(part), "{part} is not in {line}\n{text}");
        }
        assert_eq!(lines.len(), 14, "{text}");
        printed(worker, "\u{1e}id1\u{1f}late and ignored");
    });
}

#[test]
fn what_is_awaited_can_be_a_task() {
    with_app(|_, link| {
        assert_eq!(link.get(1, "/tasks").text(), "http.request 0 1");
    });
}

#[test]
fn what_is_printed_carries_the_id_of_its_request_across_tasks_and_threads() {
    with_app(|worker, link| {
        for stream in 1..4 {
            link.ask(stream, Ask::get("/prints"));
        }
        link.answers(&[1, 2, 3]);
        for stream in 1..4 {
            for line in ["from the view", "after waiting", "from a child", "from a thread"] {
                printed(worker, &format!("\u{1e}id{stream}\u{1f}{line}"));
            }
            told(worker, &format!("\u{1e}id{stream}\u{1f}logged"));
        }
        let all = worker.stdout.lock().expect("no panic").clone();
        assert_eq!(all.lines().count(), 15, "{all}");
    });
}

#[test]
fn an_overdue_request_is_cancelled_with_its_stack_told() {
    with_app(|worker, link| {
        link.ask(1, Ask::get("/sleeps"));
        link.ask(2, Ask::get("/stubborn"));
        assert_eq!(link.get(3, "/hello").text(), "hello");
        for stream in [1, 2] {
            link.tell_flags(stream, Kind::Cancel, frame::OVERDUE, b"");
        }
        let answers = link.answers(&[1, 2]);
        assert_eq!(answers[&1].aborted, Some(AbortReason::Cancelled));
        assert_eq!(answers[&2].aborted, Some(AbortReason::Cancelled));
        told(worker, "\u{1e}id1\u{1f}GET /sleeps: ran past its deadline");
        told(worker, "in deep");
        printed(worker, "\u{1e}id2\u{1f}took its time");
        assert_eq!(link.get(4, "/hello").text(), "hello");
    });
}

#[test]
fn a_request_that_outlives_its_client_is_called_that() {
    with_app(|worker, link| {
        link.ask(1, Ask::get("/sleeps"));
        until("it runs", || link.claimed(1));
        link.tell(1, Kind::Cancel, b"");
        link.tell_flags(1, Kind::Cancel, frame::OVERDUE, b"");
        assert_eq!(link.answers(&[1])[&1].aborted, Some(AbortReason::Cancelled));
        told(
            worker,
            "\u{1e}id1\u{1f}GET /sleeps: still runs though its client has left",
        );
        assert!(!worker.stderr.lock().expect("no panic").contains("deadline"));
    });
}

#[test]
fn a_view_that_blocks_the_loop_can_be_interrupted() {
    with_app(|worker, link| {
        link.ask(1, Ask::get("/blocks"));
        printed(worker, "\u{1e}id1\u{1f}blocking");
        worker.tell(&ToWorker::Interrupt { thread: 0 });
        assert_eq!(link.answers(&[1])[&1].aborted, Some(AbortReason::Exception));
        told(worker, "SystemExit");
        // A loop that turns is left alone.
        worker.tell(&ToWorker::Interrupt { thread: 0 });
        assert_eq!(link.get(2, "/slow").text(), "Task");
    });
}

#[test]
fn what_was_said_before_a_view_blocks_the_loop_is_heard() {
    with_app(|worker, link| {
        // Of the view itself.
        link.ask(1, Ask::get("/speaks_then_blocks"));
        let (header, payload, _) = link.frame().expect("a frame");
        assert_eq!((header.stream, header.kind), (1, Kind::Response));
        assert!(payload.ends_with(b"first"));
        worker.tell(&ToWorker::Interrupt { thread: 0 });
        assert_eq!(link.answers(&[1])[&1].aborted, Some(AbortReason::Exception));
        // Of another one in the same turn of the loop.
        let mut out = Vec::new();
        link.put(&mut out, 2, &Ask::get("/hello"));
        link.put(&mut out, 3, &Ask::get("/blocks"));
        rig::send(&link.socket, &out, &[]);
        assert_eq!(link.answers(&[2])[&2].text(), "hello");
        worker.tell(&ToWorker::Interrupt { thread: 0 });
        assert_eq!(link.answers(&[3])[&3].aborted, Some(AbortReason::Exception));
    });
}

#[test]
fn files_hints_and_trailers_go_as_frames_of_their_own() {
    with_app(|_, link| {
        let sent = link.get(1, "/path");
        assert_eq!(sent.header("content-length"), Some(&b"12"[..]));
        assert_eq!(sent.files[0].1, frame::FileRange { offset: 0, len: 12 });
        let zero = link.get(2, "/zero");
        assert_eq!(zero.files[0].1, frame::FileRange { offset: 2, len: 3 });
        assert_eq!(zero.text(), "!");
        let hinted = link.get(3, "/hints");
        assert_eq!(hinted.hints.len(), 2);
        assert_eq!(hinted.text(), "hinted");
        let trailed = link.get(4, "/trailers");
        assert_eq!(trailed.text(), "body");
        let trailers = [("x-sum", "7"), ("x-more", "8")].map(|(name, value)| (name.to_owned(), value.into()));
        assert_eq!(trailed.trailers, trailers);
    });
}

#[test]
fn an_answer_that_announces_a_body_and_has_none_is_a_failure_before_anything_is_sent() {
    with_app(|worker, link| {
        let answer = link.get(1, "/announced");
        assert_eq!((answer.status, answer.aborted), (0, Some(AbortReason::Protocol)));
        told(
            worker,
            "\u{1e}\u{1c}id1\u{1f}GET /announced: the application's answer ended 5 bytes short",
        );
        let head = Ask {
            method: "HEAD",
            ..Ask::get("/announced")
        };
        assert_eq!(link.fetch(2, head).status, 200);
    });
}

#[test]
fn a_file_of_unknown_length_is_read_and_sent() {
    with_app(|_, link| {
        for (stream, query) in (1..).zip(["/proc/version", "/sys/devices/system/cpu/online"]) {
            let Ok(content) = std::fs::read_to_string(query) else {
                continue;
            };
            let answer = link.fetch(
                stream,
                Ask {
                    query,
                    ..Ask::get("/made_up")
                },
            );
            let expected = content[..content.len().min(3)].to_owned() + &content;
            assert_eq!((answer.text(), answer.files.len()), (expected, 0), "{query}");
        }
    });
}

#[test]
fn answers_without_a_body_send_none() {
    with_app(|_, link| {
        for (stream, method, query) in [(1, "GET", "204"), (2, "GET", "304"), (3, "HEAD", "200")] {
            let answer = link.fetch(
                stream,
                Ask {
                    method,
                    query,
                    ..Ask::get("/nothing")
                },
            );
            assert_eq!(
                (answer.status.to_string().as_str(), answer.body.len()),
                (query, 0)
            );
        }
    });
}

#[test]
fn a_drain_waits_for_what_runs_also_behind_its_answer() {
    on_every_python(|python| {
        let (_zygote, mut worker) = Worker::ready(&Plan::asgi(python, ASGI_APP));
        let mut link = worker.link();
        assert_eq!(link.get(1, "/background").text(), "early");
        link.ask(2, Ask::get("/slow"));
        until("it runs", || link.claimed(2));
        worker.drain();
        link.ask(3, Ask::get("/hello"));
        let answers = link.answers(&[2, 3]);
        assert_eq!(answers[&2].text(), "Task");
        assert_eq!(answers[&3].aborted, Some(AbortReason::NotStarted));
        assert_eq!(worker.wait(), Some(0));
        printed(&worker, "\u{1e}id1\u{1f}background ended");
    });
}

#[test]
fn an_idle_worker_leaves_at_once() {
    on_every_python(|python| {
        let (_zygote, mut worker) = Worker::ready(&Plan::asgi(python, ASGI_APP));
        worker.tell(&ToWorker::Drain { within_ms: 30_000 });
        assert_eq!(worker.wait(), Some(0));
    });
}

#[test]
fn who_gave_up_waiting_is_forgotten() {
    with_app(|_, link| {
        let left: i32 = link.get(1, "/asks_often").text().parse().expect("a number");
        assert!(left < 5, "{left} futures more than before");
    });
}

#[test]
fn a_lost_proxy_ends_its_requests_and_no_others() {
    with_app(|worker, link| {
        let gone = worker.link();
        gone.ask(1, Ask::get("/disconnect"));
        assert_eq!(link.get(1, "/hello").text(), "hello");
        drop(gone);
        printed(worker, "\u{1e}id1\u{1f}received http.disconnect");
        assert_eq!(link.get(2, "/hello").text(), "hello");
    });
}

#[test]
fn double_callables_are_asgi_2() {
    let app = "
class app:
    def __init__(self, scope):
        self.scope = scope
    async def __call__(self, receive, send):
        await send({'type': 'http.response.start', 'status': 200})
        await send({'type': 'http.response.body', 'body': self.scope['path'].encode()})
def function(scope):
    return app(scope)
class Middleware:
    def __call__(self, scope, receive, send):
        return app(scope)(receive, send)
wrapped = Middleware()
";
    on_every_python(|python| {
        for target in ["app:app", "app:function", "app:wrapped"] {
            let (_zygote, worker) = Worker::ready(&Plan::asgi(python, app).target(target));
            assert_eq!(worker.link().get(1, "/double").text(), "/double");
        }
    });
}

#[test]
fn what_is_written_for_the_other_interface_is_refused_with_the_way_out() {
    let app = "
def app(environ, start_response):
    start_response('200 OK', [])
    return []
";
    on_every_python(|python| {
        let zygote = Zygote::start(&Plan::asgi(python, app).preload());
        let heard = format!("{:?}", zygote.hear());
        assert!(
            heard.contains("is a WSGI application") && heard.contains("write wsgi = "),
            "{heard}"
        );
    });
}

#[test]
fn a_loop_that_is_not_installed_is_refused_with_the_way_out() {
    on_every_python(|python| {
        let zygote = Zygote::start(&Plan::asgi(python, ASGI_APP).event_loop("uvloop"));
        zygote.hear();
        let worker = zygote.fork(0);
        let heard = format!("{:?}", worker.hear());
        assert!(
            heard.contains("Ready") || heard.contains("pip install uvloop"),
            "{heard}"
        );
    });
}

#[test]
fn a_process_that_a_view_forks_is_not_the_worker() {
    with_app(|_, link| {
        assert_eq!(link.get(1, "/forks").text(), "0");
        assert_eq!(link.get(2, "/hello").text(), "hello");
    });
}
