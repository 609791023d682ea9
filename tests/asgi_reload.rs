//! A reload under open WebSockets and streams.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::harness::{Connection, Message, Site, WebSocket, app::of_app, client::request_bytes, wait_for};

const CODE: &str = r#"
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "WORD"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                break
            await send({"type": "websocket.send", "text": message["text"]})
        with open(os.environ["GATE"] + "/left", "a") as left:
            left.write("WORD %s\n" % message["code"])
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            while True:
                await send({"type": "http.response.body", "body": b"WORD\n", "more_body": True})
                await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": b"WORD"})
    else:
        raise RuntimeError("no lifespan")
"#;

fn saying(test: &str, more: &str) -> Site {
    let mut site = Site::new(test);
    let keys = "asgi = \"main:app\"\nworkers = 2";
    site.config(&of_app("", keys, more).replace("{apps}/", "app"));
    say(&site, "one");
    site.start();
    site.wait_for_log_times("worker ready", 2);
    site
}

/// New code. Words must differ in length: Python tells its cached files by second and size.
fn say(site: &Site, word: &str) {
    site.write("app/main.py", CODE.replace("WORD", word));
}

#[test]
fn sockets_of_the_old_generation_are_told_1012_and_no_request_fails() {
    let mut site = saying("reload-sockets", "");
    let mut sockets: Vec<WebSocket> = (0..50).map(|_| site.websocket("/")).collect();
    for socket in &mut sockets {
        assert_eq!(socket.read_text(), "one");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (port, stop, answers) = (site.port, Arc::clone(&stop), Arc::clone(&answers));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = Connection::open(port).get("/", &[]);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    say(&site, "three");
    site.signal("HUP");
    for (number, mut socket) in sockets.into_iter().enumerate() {
        // What was said before the reload is answered before the close.
        let message = socket.read();
        assert!(
            matches!(message, Message::Close(1012, _)),
            "socket {number}: {message:?}"
        );
        // Some clients answer the close, some are slow to.
        if number % 2 == 0 {
            socket.close(1012);
        }
        // Each comes again, and is with the new code.
        let mut again = site.websocket("/");
        assert_eq!(again.read_text(), "three");
        again.text("hello");
        assert_eq!(again.read_text(), "hello");
    }
    let left = site.lines_of("left", 50);
    let of_the_old: Vec<_> = left.iter().filter(|line| line.starts_with("one ")).collect();
    assert!(of_the_old.iter().all(|line| *line == "one 1012"), "{left:?}");
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    assert!(answers.load(Ordering::Relaxed) > 4);
    wait_for("the old workers are gone", || {
        (site.processes_named("worker web").len() == 2).then_some(())
    });
    assert!(site.stop().success());
}

#[test]
fn a_stream_of_the_old_generation_goes_on_until_its_deadline_and_is_cut_then() {
    let mut site = saying("reload-stream", "[app.web.timeout]\ndrain = \"1s\"");
    let mut client = site.connect();
    client.send(request_bytes("GET", "/stream", &[], b"")).unwrap();
    client.read_head().unwrap();
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"one\n"[..]));
    say(&site, "three");
    let asked = Instant::now();
    site.signal("HUP");
    wait_for("the new code", || (site.get("/").text() == "three").then_some(()));
    let end = loop {
        match client.read_chunk() {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    // It does not look as if the application had ended it.
    assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof));
    assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(site.stop().success());
}

#[test]
fn a_stop_tells_sockets_1012_too_and_does_not_wait_for_them() {
    let mut site = saying("stop-sockets", "");
    let mut socket = site.websocket("/");
    assert_eq!(socket.read_text(), "one");
    site.signal("TERM");
    let message = socket.read();
    assert!(matches!(message, Message::Close(1001 | 1012, _)), "{message:?}");
    let asked = Instant::now();
    assert!(site.wait().success());
    assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    assert_eq!(site.lines_of("left", 1).len(), 1);
}
