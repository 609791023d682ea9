//! Starlette: streaming, background work, uploads, WebSockets.

use crate::harness::{Connection, Message, Site, WebSocket, client::request_bytes, wait_for};

fn starlette(test: &str, more: &str) -> Site {
    let mut site = Site::of_asgi(test, "starlette_site", "main:app", "workers = 1", more);
    site.start();
    site
}

#[test]
fn pages_files_and_the_client_are_as_they_should_be() {
    let mut site = starlette("starlette-pages", "");
    let mut client = site.connect();
    assert_eq!(client.get("/", &[]).text(), "home\n");
    assert_eq!(client.get("/missing", &[]).status, 404);
    assert_eq!(client.request("POST", "/", &[], b"").status, 405);
    let who = client.get("/who?x=%20", &[("Host", "example.org")]).text();
    assert!(
        who.contains("\"127.0.0.1\"") && who.contains("http://example.org/who?x=%20"),
        "{who}"
    );
    let source = include_bytes!("apps/starlette_site/main.py");
    for target in ["/file", "/static/main.py"] {
        let answer = client.get(target, &[]);
        assert_eq!((answer.status, answer.body == source), (200, true), "{target}");
    }
    let part = client.get("/file", &[("Range", "bytes=3-8")]);
    assert_eq!((part.status, part.body.as_slice()), (206, &source[3..9]));
    assert!(site.stop().success());
}

#[test]
fn parts_of_a_stream_arrive_as_they_are_made() {
    let mut site = starlette("starlette-stream", "");
    let mut client = site.connect();
    client.send(request_bytes("GET", "/stream", &[], b"")).unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"first\n"[..]));
    site.write("seen", "");
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"second\n"[..]));
    assert_eq!(client.read_chunk().unwrap(), None);
    assert!(site.stop().success());
}

#[test]
fn a_stream_that_never_waits_ends_with_its_client_and_keeps_nobody_from_the_worker() {
    let mut site = starlette("starlette-endless", "");
    let mut other = site.connect();
    let before = other.get("/tasks", &[]).text();
    for method in ["GET", "HEAD"] {
        let mut client = site.connect();
        client.send(request_bytes(method, "/endless", &[], b"")).unwrap();
        assert_eq!(client.read_head().unwrap().status, 200);
        if method == "GET" {
            assert_eq!(
                client.read_chunk().unwrap().map(|chunk| chunk.is_empty()),
                Some(false)
            );
        }
        drop(client);
        assert_eq!(other.get("/", &[]).text(), "home\n");
        wait_for("its task has ended", || {
            (other.get("/tasks", &[]).text() == before).then_some(())
        });
    }
    assert!(!site.error_log().contains("Traceback"), "{}", site.error_log());
    assert!(site.stop().success());
}

#[test]
fn a_client_is_told_to_go_on_when_the_endpoint_asks_for_its_body() {
    let mut site = Site::of_asgi(
        "starlette-continue",
        "starlette_site",
        "main:app",
        "workers = 1\nrequest_buffering = false",
        "",
    );
    site.start();
    let ask = |target: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = site.connect();
    client.send(ask("/count")).unwrap();
    assert_eq!(client.read_head().unwrap().status, 100);
    client.send("helloworld").unwrap();
    assert_eq!(client.read_response("POST").unwrap().text(), "{\"size\":10}");
    let mut refused = site.connect();
    refused.send(ask("/early")).unwrap();
    // Not a word of going on before it.
    assert_eq!(refused.read_head().unwrap().status, 409);
    assert!(site.stop().success());
}

#[test]
fn background_work_keeps_no_client_waiting_and_is_finished_before_a_stop() {
    let mut site = starlette("starlette-background", "");
    let mut client = site.connect();
    assert_eq!(client.get("/background", &[]).status, 202);
    assert_eq!(
        client.get("/", &[]).text(),
        "home\n",
        "the connection is free again"
    );
    site.signal("TERM");
    site.write("answered", "");
    assert_eq!(site.lines_of("worked", 1), ["done"]);
    assert!(site.wait().success());
}

#[test]
fn an_upload_arrives_whole() {
    let mut site = starlette("starlette-upload", "");
    let content: Vec<u8> = (0..5u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    let mut body =
        b"--frontier\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nsmall\r\n--frontier\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"big.bin\"\r\n\r\n"
            .to_vec();
    body.extend_from_slice(&content);
    body.extend_from_slice(b"\r\n--frontier--\r\n");
    let fields = [("Content-Type", "multipart/form-data; boundary=frontier")];
    let answer = site.connect().request("POST", "/upload", &fields, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["size"], content.len());
    assert_eq!(
        (told["name"].as_str(), told["note"].as_str()),
        (Some("big.bin"), Some("small"))
    );
    site.write("content", &content);
    let sum = std::process::Command::new("sha256sum")
        .arg(site.directory.join("content"))
        .output()
        .unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert_eq!(told["sha256"].as_str(), sum.split(' ').next());
    assert!(site.stop().success());
}

#[test]
fn an_endpoint_sees_a_body_on_its_way_where_the_route_says_so() {
    let mut site = starlette(
        "starlette-unbuffered",
        "[[site.route]]\npath = \"/count\"\napp = \"web\"\nrequest_buffering = false\n",
    );
    let mut client = site.connect();
    client
        .send("POST /count HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello")
        .unwrap();
    assert_eq!(site.lines_of("first-part", 1), ["5"]);
    client.send("world").unwrap();
    assert_eq!(client.read_response("POST").unwrap().text(), "{\"size\":10}");
    assert!(site.stop().success());
}

#[test]
fn a_broken_endpoint_is_a_500_and_the_worker_lives_on() {
    let mut site = Site::of_asgi(
        "starlette-broken",
        "starlette_site",
        "main:app",
        "workers = 1",
        "",
    );
    let raised = "GET /broken: the application raised RuntimeError: the endpoint is broken";
    site.expect_error(raised);
    site.start();
    let mut client = site.connect();
    let broken = client.get("/broken", &[]);
    assert!(broken.status == 500 && !broken.text().contains("RuntimeError"));
    assert_eq!(site.get("/").text(), "home\n");
    site.wait_for_log(&format!(": {raised}\n"));
    site.wait_for_log(": RuntimeError: the endpoint is broken\n");
    assert_eq!(site.error_log().matches(" ERROR web/0[").count(), 1);
    assert!(site.stop().success());
}

#[test]
fn people_in_a_room_hear_each_other_and_nobody_else() {
    let mut site = starlette("starlette-chat", "");
    let mut ada = site.websocket("/chat/blue");
    assert_eq!(ada.read_text(), "1 here");
    let mut bob = site.websocket("/chat/blue");
    assert_eq!(bob.read_text(), "2 here");
    let mut eve = site.websocket("/chat/red");
    assert_eq!(eve.read_text(), "1 here");
    ada.text("hello 🎈");
    assert_eq!(
        (ada.read_text(), bob.read_text()),
        ("hello 🎈".into(), "hello 🎈".into())
    );
    bob.close(1000);
    assert_eq!(bob.read(), Message::Close(1000, String::new()));
    eve.text("alone");
    assert_eq!(eve.read_text(), "alone");
    // Each socket is one line of the access log, written at its end.
    let record = &site.records(1)[0];
    assert_eq!(
        (record["status"].as_u64(), record["target"].as_str()),
        (Some(101), Some("/chat/blue")),
        "{record}"
    );
    for socket in [&mut ada, &mut eve] {
        socket.close(1001);
        assert_eq!(socket.read(), Message::Close(1001, String::new()));
    }
    assert!(site.stop().success());
}

#[test]
fn a_subprotocol_is_agreed_on_and_an_unknown_path_is_refused() {
    let mut site = starlette("starlette-echo", "");
    let fields = [("Sec-WebSocket-Protocol", "other, echo")];
    let mut socket = WebSocket::ask(Connection::open(site.port), "/echo", &fields).unwrap();
    assert_eq!(socket.answer.header("sec-websocket-protocol"), Some("echo"));
    socket.text("hi");
    assert_eq!(socket.read_text(), "you said hi");
    let refused = WebSocket::ask(Connection::open(site.port), "/nowhere", &[]);
    let status = refused.err().map(|answer| answer.status);
    assert!(matches!(status, Some(403 | 404)), "{status:?}");
    assert!(site.stop().success());
}
