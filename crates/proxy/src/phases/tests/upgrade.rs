//! WebSockets passed through to a server behind us.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use h2::{client::SendRequest, ext::Protocol};
use http::{Method, Request, Response};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Client, House, backend::Backend, has, http2};

const ASK: &str = "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn upstream(address: std::net::SocketAddr, keys: &str) -> String {
    format!(
        "[upstream.back]\nservers = [\"http://{address}\"]\n{keys}\n\
         [[site]]\nupstream = \"back\"\nbody_max = \"1KiB\"\n"
    )
}

async fn house(limits: &str, keys: &str) -> (Backend, House) {
    let (backend, address) = Backend::tcp().await;
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.limits]\n";
    let house = House::open(&format!("{listener}{limits}\n{}", upstream(address, keys)));
    (backend, house)
}

/// A client whose request for a WebSocket was answered.
async fn ask(house: &House, path: &str) -> (Client, String) {
    let mut client = house.connect().await;
    client.send(&format!("GET {path} HTTP/1.1\r\n{ASK}")).await;
    let (head, _) = client.answer().await;
    (client, head)
}

#[tokio::test]
async fn a_websocket_is_passed_through_both_ways_and_may_be_silent() {
    let (backend, house) = house("body_timeout = \"100ms\"", "read_timeout = \"100ms\"").await;
    let (mut client, head) = ask(&house, "/upgrade").await;
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n") && has(&head, "Upgrade: websocket"),
        "{head}"
    );
    assert!(
        has(&head, "Connection: upgrade") && has(&head, "Sec-WebSocket-Protocol: chat"),
        "{head}"
    );
    assert!(
        has(&head, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{head}"
    );
    assert_eq!(backend.seen()[0].field("upgrade"), Some("websocket"));
    assert_eq!(backend.seen()[0].field("connection"), Some("Upgrade"));
    assert!(backend.seen()[0].field("sec-websocket-key").is_some());
    client.send("first").await;
    assert_eq!(client.take(5).await, "first");
    // Longer than a body or an answer may pause: the deadlines of HTTP do not hold here.
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.send("second").await;
    assert_eq!(client.take(6).await, "second");
    // More than a body may have: a WebSocket is none.
    for _ in 0..100 {
        client.send(&"x".repeat(1000)).await;
        assert_eq!(client.take(1000).await, "x".repeat(1000));
    }
    drop(client);
    let line = &house.lines(1).await[0];
    assert!(line.contains("\"status\":101"), "{line}");
    let bytes = "\"bytes_in\":100011,\"bytes_out\":100011";
    assert!(line.contains(bytes), "{line}");
}

#[tokio::test]
async fn what_came_with_the_request_goes_to_whoever_has_the_connection() {
    let (backend, house) = house("", "").await;
    // The server says yes: these bytes are the WebSocket's.
    let mut client = house.connect().await;
    client
        .send(&format!("GET /upgrade HTTP/1.1\r\n{ASK}at once"))
        .await;
    client.answer().await;
    assert_eq!(client.take(7).await, "at once");
    // The server says no: they are the next request.
    let mut client = house.connect().await;
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    client
        .send(&format!("GET /forbidden HTTP/1.1\r\n{ASK}{next}"))
        .await;
    let (head, body) = client.answer().await;
    assert!(
        head.starts_with("HTTP/1.1 403 ") && has(&head, "x-why: origin"),
        "{head}"
    );
    assert_eq!(body, "no");
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, "ok");
    assert_eq!(backend.seen().last().unwrap().line(), "GET /next HTTP/1.1");
}

#[tokio::test]
async fn an_answer_that_makes_no_websocket_of_the_connection_is_a_failure() {
    let (_, house) = house("", "").await;
    for path in ["/upgrade-to-nothing", "/upgrade-to-another"] {
        let (_, head) = ask(&house, path).await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{path}: {head}");
        // Nor does one that nobody has asked for.
        let mut client = house.connect().await;
        client
            .send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 502 "), "{path}");
    }
    let mut client = house.connect().await;
    client.send("GET /upgrade HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn an_upgrade_that_is_required_is_named_on_http1() {
    let (_, house) = house("", "").await;
    let (mut client, head) = ask(&house, "/other-version").await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    for line in [
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-version: 8",
    ] {
        assert!(has(&head, line), "{head}");
    }
    // The connection is still one of HTTP.
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_websocket_without_a_word_ends_after_tunnel_timeout() {
    let (_, house) = house("", "tunnel_timeout = \"300ms\"").await;
    let (mut client, _) = ask(&house, "/upgrade").await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send("x").await;
        assert_eq!(client.take(1).await, "x");
    }
    assert_eq!(client.rest().await, "");
    let line = &house.lines(1).await[0];
    assert!(
        line.contains("\"status\":101") && line.contains("\"timeout\""),
        "{line}"
    );
}

#[tokio::test]
async fn after_tunnel_timeout_a_client_is_told_between_two_frames_and_the_end_is_no_reset() {
    let (_, house) = house("", "tunnel_timeout = \"300ms\"").await;
    let (mut client, _) = ask(&house, "/upgrade").await;
    client.send("\x01\x02hi").await;
    assert_eq!(client.take(4).await, "\x01\x02hi");
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"\x88\x02\x03\xe9");
    // Within a frame there is no place for it.
    let (mut client, _) = ask(&house, "/upgrade").await;
    client.send("\x01\x05hel").await;
    assert_eq!(client.take(5).await, "\x01\x05hel");
    rest.clear();
    client.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
    for line in house.lines(2).await {
        assert!(line.contains("\"timeout\""), "{line}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_our_close_holds_up_no_stop() {
    let (_, house) = house("", "").await;
    let (mut client, _) = ask(&house, "/upgrade").await;
    client.send("\x01\x02hi").await;
    assert_eq!(client.take(4).await, "\x01\x02hi");
    house.context.drain.start(super::PATIENCE);
    house.context.drain.stop();
    while client.input.len() < 4 {
        assert!(client.more().await, "closed without a word");
    }
    assert_eq!(*std::mem::take(&mut client.input), *b"\x88\x02\x03\xf4");
    // The client is there all the time.
    tokio::time::timeout(super::PATIENCE, house.context.drain.idle())
        .await
        .unwrap();
    drop(client);
}

#[tokio::test]
async fn a_client_of_a_websocket_that_takes_nothing_is_cut() {
    let (_, house) = house("body_timeout = \"200ms\"", "read_timeout = \"1h\"").await;
    let (client, _) = ask(&house, "/upgrade").await;
    let (_read, mut write) = client.stream.into_split();
    let piece = [b'x'; 64 << 10];
    let flood = async {
        while tokio::io::AsyncWriteExt::write_all(&mut write, &piece)
            .await
            .is_ok()
        {}
    };
    tokio::time::timeout(super::PATIENCE, flood).await.unwrap();
    let line = &house.lines(1).await[0];
    assert!(line.contains("client_timeout"), "{line}");
}

#[tokio::test]
async fn both_ends_of_a_websocket_can_end_it() {
    let (_, house) = house("", "").await;
    let (mut client, _) = ask(&house, "/says-no-more").await;
    assert_eq!(client.rest().await, "bye");
    let (client, _) = ask(&house, "/upgrade").await;
    drop(client);
    for line in house.lines(2).await {
        assert!(
            line.contains("\"status\":101") && line.contains("\"ok\""),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_websocket_outlasts_a_drain_and_a_stop_closes_it_between_frames() {
    let (_, house) = house("", "").await;
    let (mut client, _) = ask(&house, "/upgrade").await;
    house.context.drain.start(super::PATIENCE);
    // The server sends everything back: a frame, and the beginning of another one.
    client.send("\x01\x02hi\x01\x05hel").await;
    assert_eq!(client.take(9).await, "\x01\x02hi\x01\x05hel");
    house.context.drain.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.send("lo\x01\x04late").await;
    assert_eq!(client.take(2).await, "lo");
    while client.input.len() < 4 {
        assert!(client.more().await, "closed without a word");
    }
    assert_eq!(*std::mem::take(&mut client.input), *b"\x88\x02\x03\xf4");
    client.stream.write_all(b"\x88\x02\x03\xf4").await.unwrap();
    assert_eq!(client.rest().await, "");
    let line = &house.lines(1).await[0];
    assert!(line.contains("\"ok\""), "{line}");
    tokio::time::timeout(super::PATIENCE, house.context.drain.idle())
        .await
        .unwrap();
}

async fn connect(house: &House, trust: Arc<ClientConfig>) -> SendRequest<Bytes> {
    let mut send = http2::connect(house, trust).await.ready().await.unwrap();
    // The server's settings come with its first answer.
    let request = Request::get("https://example.org/").body(()).unwrap();
    let (answer, _) = send.send_request(request, true).unwrap();
    answer.await.unwrap();
    assert!(send.is_extended_connect_protocol_enabled());
    send
}

fn websocket(path: &str) -> Request<()> {
    Request::builder()
        .method(Method::CONNECT)
        .uri(format!("https://example.org{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .header("origin", "https://example.org")
        .body(())
        .unwrap()
}

async fn text(answer: Response<h2::RecvStream>) -> String {
    let (mut body, mut text) = (answer.into_body(), Vec::new());
    while let Some(piece) = body.data().await {
        text.extend_from_slice(&piece.unwrap());
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_stream_of_http2_becomes_a_websocket_of_an_upstream() {
    let (backend, address) = Backend::tcp().await;
    let (house, trust) = http2::secure("", &upstream(address, ""));
    let mut send = connect(&house, trust).await;
    let (answer, mut stream) = send.send_request(websocket("/upgrade"), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    for gone in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
    let seen = &backend.seen()[1];
    assert_eq!(seen.line(), "GET /upgrade HTTP/1.1");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("host", "example.org"),
        ("origin", "https://example.org"),
        ("sec-websocket-version", "13"),
        ("x-forwarded-proto", "https"),
    ] {
        assert_eq!(seen.field(name), Some(value), "{name}");
    }
    assert_eq!(seen.field("transfer-encoding"), None);
    let mut body = answer.into_body();
    for word in ["first", "second"] {
        stream.send_data(Bytes::from(word), false).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), word.as_bytes());
    }
    // The end of one direction is the end of the other: the server closes when it hears of it.
    stream.send_data(Bytes::new(), true).unwrap();
    while let Some(piece) = body.data().await {
        assert_eq!(piece.expect("ended, not reset"), Bytes::new());
    }
    let line = &house.lines(2).await[1];
    assert!(
        line.contains("\"status\":200") && line.contains("CONNECT") && line.contains("\"ok\""),
        "{line}"
    );
    assert!(line.contains("\"bytes_in\":11,\"bytes_out\":11"), "{line}");
}

#[tokio::test]
async fn a_refusal_of_an_upstream_arrives_on_http2_and_what_is_none_does_not() {
    let (_, address) = Backend::tcp().await;
    let (house, trust) = http2::secure("", &upstream(address, ""));
    let mut send = connect(&house, trust).await;
    for (path, status, body) in [("/forbidden", 403, "no"), ("/other-version", 426, "no")] {
        let (answer, _stream) = send.send_request(websocket(path), false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert!(!answer.headers().contains_key("upgrade"));
        assert_eq!(text(answer).await, body);
    }
    // A success would be a WebSocket to the client, and so would a switch that belongs to no request of ours.
    for (path, status) in [
        ("/", 501),
        ("/upgrade-without-proof", 502),
        ("/upgrade-to-nothing", 502),
    ] {
        let (answer, _stream) = send.send_request(websocket(path), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "{path}");
    }
}
