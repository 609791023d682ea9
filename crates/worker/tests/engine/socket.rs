//! WebSockets of WSGI: the socket that an application is given, and how its request ends.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
};

use wire::frame::{AbortReason, Kind};

use crate::{
    APP,
    link::{Answer, Ask, Link},
    rig::{PATIENCE, Worker, on_every_host, until},
};

/// Asks for a WebSocket; what the proxy gets first is a socket.
fn ask(link: &mut Link, stream: u32, path: &str, query: &str) -> UnixStream {
    link.ask(
        stream,
        Ask {
            websocket: true,
            query,
            headers: &[
                ("host", "example.org"),
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
            ..Ask::get(path)
        },
    );
    let (header, payload, socket) = link.frame().expect("the worker is alive");
    assert_eq!((header.kind, header.stream), (Kind::Socket, stream));
    assert_eq!(payload, b"");
    let socket = UnixStream::from(socket.expect("a descriptor"));
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn end(link: &mut Link, stream: u32) -> Answer {
    link.answers(&[stream]).remove(&stream).expect("an answer")
}

/// The head that the application has written.
fn head(mut socket: &UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

#[test]
fn an_application_speaks_on_its_socket_and_ends_as_libraries_do() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        for (stream, way, expected) in [
            (1, "", AbortReason::Switched),
            (2, "reset", AbortReason::Switched),
            (3, "fault", AbortReason::Exception),
        ] {
            let mut socket = ask(&mut link, stream, "/socket", way);
            let head = head(&socket);
            assert!(head.starts_with("HTTP/1.1 101 Fine\r\n"), "{head}");
            assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
            // It waits: with greenlets others run meanwhile.
            if !plan.green.is_empty() {
                assert_eq!(link.get(9, "/hello").text(), "hello");
            }
            socket.write_all(b"0123456789").expect("written");
            let mut heard = vec![0; 1_000_000];
            socket.read_exact(&mut heard).expect("all of it");
            assert!(heard.chunks(10).all(|piece| piece == b"0123456789"));
            socket.shutdown(Shutdown::Write).expect("shut down");
            assert_eq!(end(&mut link, stream).aborted, Some(expected), "{way}");
            if expected == AbortReason::Switched {
                assert_eq!(worker.stderr.lock().expect("no panic").as_str(), "", "{way}");
            }
        }
        until("the fault is told", || {
            worker.stderr.lock().expect("no panic").contains("ValueError")
        });
    });
}

#[test]
fn who_has_answered_on_its_socket_need_not_answer_again_and_who_has_not_must() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let socket = ask(&mut link, 1, "/late", "");
        assert_eq!(end(&mut link, 1).aborted, Some(AbortReason::Switched));
        assert!(head(&socket).starts_with("HTTP/1.1 101 "));
        assert_eq!(worker.stderr.lock().expect("no panic").as_str(), "");

        let mut socket = ask(&mut link, 2, "/hello", "");
        assert_eq!(end(&mut link, 2).text(), "hello");
        assert_eq!(socket.read(&mut [0]).expect("the end"), 0, "nobody keeps it");

        ask(&mut link, 3, "/stop", "");
        assert_eq!(end(&mut link, 3).aborted, Some(AbortReason::Exception));
        until("it is told", || {
            worker.stderr.lock().expect("no panic").contains("StopIteration")
        });
        // Without a handshake there is no socket.
        assert_eq!(link.get(4, "/hello").text(), "hello");
    });
}
