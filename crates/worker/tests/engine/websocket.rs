//! WebSockets of ASGI applications, over the frames.

use wire::frame::{self, AbortReason, Kind};

use crate::{
    ASGI_APP,
    link::{Ask, Link},
    rig::{Plan, Worker, on_every_python, until},
};

fn with_app(test: impl Fn(&Worker, &mut Link)) {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::asgi(python, ASGI_APP));
        let mut link = worker.link();
        test(&worker, &mut link);
    });
}

fn printed(worker: &Worker, text: &str) {
    until(&format!("{text:?} is printed"), || {
        worker.stdout.lock().expect("no panic").contains(text)
    });
}

fn told(worker: &Worker, text: &str) {
    until(&format!("{text:?} is told"), || {
        worker.stderr.lock().expect("no panic").contains(text)
    });
}

fn ask(path: &str) -> Ask<'_> {
    Ask {
        websocket: true,
        ..Ask::get(path)
    }
}

#[test]
fn messages_go_both_ways_and_the_client_closes() {
    with_app(|worker, link| {
        let (subprotocol, headers) = link.connect(1, "/ws_echo");
        assert_eq!(subprotocol, "superchat");
        assert_eq!(headers, [("x-a".to_owned(), b"b".to_vec())]);
        link.message(1, "caf\u{e9}");
        assert_eq!(link.hear(1), Ok(("caf\u{e9}".as_bytes().to_vec(), true)));
        link.tell(1, Kind::Message, &[0, 255]);
        assert_eq!(link.hear(1), Ok((vec![0, 255], false)));
        link.close(1, 1001, "bye");
        assert_eq!(link.hear(1), Err((1001, String::new())));
        printed(worker, "\u{1e}id1\u{1f}disconnected 1001 bye");
    });
}

#[test]
fn messages_larger_than_the_window_go_in_parts() {
    with_app(|_, link| {
        link.connect(1, "/ws_echo");
        let mut granted = 0;
        for part in 0..8 {
            let flags = if part < 7 { frame::MORE } else { 0 };
            link.tell_flags(1, Kind::Message, flags, &vec![b'p'; 100_000]);
            // Every part of an incomplete message is granted before it is complete.
            while granted < (100_000 + frame::MESSAGE_COST) * part {
                let (header, payload, _) = link.frame().expect("credit");
                assert_eq!(header.kind, Kind::Credit);
                granted += u32::from_le_bytes(payload.try_into().expect("4 bytes"));
            }
        }
        assert_eq!(link.hear(1), Ok((vec![b'p'; 800_000], false)));
        link.message(1, "big");
        assert_eq!(link.hear(1), Ok((vec![b'b'; 1_000_000], false)));
    });
}

#[test]
fn small_messages_are_granted_together_before_the_window_is_used_up() {
    with_app(|_, link| {
        link.connect(1, "/ws_echo");
        let (mut sent, mut granted, mut grants) = (0, 0, 0);
        let size = 1024 - frame::MESSAGE_COST;
        while sent < 3 * frame::WINDOW {
            link.tell(1, Kind::Message, &vec![7; size as usize]);
            sent += 1024;
            loop {
                let (header, payload, _) = link.frame().expect("a frame");
                match header.kind {
                    Kind::Message => {
                        link.credit(1, 1024);
                        break;
                    }
                    kind => assert_eq!(kind, Kind::Credit),
                }
                granted += u32::from_le_bytes(payload.try_into().expect("4 bytes"));
                grants += 1;
            }
            assert!(
                sent - granted < frame::WINDOW / 2,
                "{sent} sent, {granted} granted"
            );
        }
        assert_eq!(grants, 12);
    });
}

#[test]
fn tiny_messages_take_more_of_the_window_than_their_bytes() {
    with_app(|_, link| {
        link.connect(1, "/ws_echo");
        let cost = 1 + frame::MESSAGE_COST;
        let most = frame::WINDOW / cost;
        for _ in 0..most + 1000 {
            link.tell(1, Kind::Message, b"x");
        }
        let message = |link: &mut Link| loop {
            let (header, _, _) = link.frame().expect("a frame");
            if header.kind != Kind::Credit {
                return (header.stream, header.kind);
            }
        };
        for _ in 0..most {
            assert_eq!(message(link), (1, Kind::Message));
        }
        // The application waits with the next one, and what is granted now is enough for that one alone.
        link.credit(1, cost);
        link.ask(2, Ask::get("/hello"));
        assert_eq!(message(link), (1, Kind::Message));
        assert_eq!(message(link), (2, Kind::Response));
    });
}

#[test]
fn the_application_closes() {
    with_app(|worker, link| {
        link.connect(1, "/ws_echo");
        link.message(1, "close");
        assert_eq!(link.hear(1), Err((4001, "asked to".to_owned())));
        printed(
            worker,
            "then {'type': 'websocket.disconnect', 'code': 4001, 'reason': 'asked to'}",
        );
        printed(
            worker,
            "websocket.send was sent for a WebSocket that has been closed",
        );
        link.connect(2, "/ws_echo");
        link.message(2, "return");
        assert_eq!(link.hear(2), Err((1000, String::new())));
    });
}

#[test]
fn the_scope_of_a_websocket_names_its_scheme_and_subprotocols() {
    with_app(|_, link| {
        link.connect(1, "/ws_scope");
        let (text, is_text) = link.hear(1).expect("a message");
        let text = String::from_utf8(text).expect("text");
        assert!(is_text);
        for part in [
            r#""type": "websocket""#,
            r#""scheme": "wss""#,
            r#""subprotocols": ["chat", "superchat"]"#,
            r#""spec_version": "2.4""#,
            r#""websocket.http.response": {}"#,
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("\"method\""), "{text}");
        assert_eq!(link.hear(1), Err((1000, String::new())));
    });
}

#[test]
fn a_refusal_is_an_ordinary_answer() {
    with_app(|worker, link| {
        let refused = link.fetch(1, ask("/ws_refuse"));
        assert_eq!((refused.status, refused.body.len()), (403, 0));
        printed(worker, "then websocket.disconnect");
        let denied = link.fetch(2, ask("/ws_deny_whole"));
        assert_eq!((denied.status, denied.text().as_str()), (401, "show a ticket"));
        assert_eq!(denied.header("x-why"), Some(&b"no ticket"[..]));
        // The event that says more than it announced is refused; what came before stands.
        let denied = link.fetch(3, ask("/ws_deny"));
        assert_eq!((denied.status, denied.text().as_str()), (401, "show a "));
        told(worker, "after the end of the answer");
    });
}

#[test]
fn failures_before_and_behind_the_handshake_are_told() {
    with_app(|worker, link| {
        let answer = link.fetch(1, ask("/ws_raise"));
        assert_eq!(answer.aborted, Some(AbortReason::Exception));
        told(
            worker,
            "\u{1e}\u{1c}id1\u{1f}WebSocket GET /ws_raise: the application raised",
        );
        let answer = link.fetch(2, ask("/ws_silent"));
        assert_eq!(answer.aborted, Some(AbortReason::Protocol));
        link.connect(3, "/ws_echo");
        link.message(3, "raise");
        assert_eq!(link.hear(3), Err((1011, String::new())));
        told(worker, "ValueError: in a websocket");
    });
}

#[test]
fn sending_to_a_client_that_has_left_is_an_os_error() {
    with_app(|worker, link| {
        link.connect(1, "/ws_push");
        assert_eq!(link.hear(1), Ok((b"tick".to_vec(), true)));
        link.close(1, 1006, "");
        while link.hear(1).is_ok() {}
        printed(worker, "push ended: BrokenPipeError");
        assert_eq!(worker.stderr.lock().expect("no panic").as_str(), "");
    });
}

#[test]
fn a_drain_waits_for_websockets_until_they_are_told_to_leave() {
    on_every_python(|python| {
        let (_zygote, mut worker) = Worker::ready(&Plan::asgi(python, ASGI_APP));
        let mut link = worker.link();
        link.connect(1, "/ws_echo");
        worker.drain();
        link.message(1, "still here");
        assert_eq!(link.hear(1), Ok((b"still here".to_vec(), true)));
        link.close(1, 1012, "");
        assert_eq!(link.hear(1), Err((1012, String::new())));
        assert_eq!(worker.wait(), Some(0));
    });
}

#[test]
fn a_task_that_still_listens_hears_that_the_application_has_returned() {
    with_app(|worker, link| {
        link.connect(1, "/ws_forgets");
        assert_eq!(link.hear(1), Err((1000, String::new())));
        printed(worker, "listens websocket.disconnect");
    });
}
