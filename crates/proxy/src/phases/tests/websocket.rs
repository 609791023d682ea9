//! WebSockets to an application, over real connections.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request};
use tokio::io::AsyncWriteExt;
use websocket::frames::{Frame, masked, parse};

use super::{Client, House, PATIENCE, has, http2};
use crate::app::tests::worker::{self, Seen};

const APP: &str = "[app.web]\nasgi = \"main:app\"\npython = \"/bin/sh\"\n[[site]]\napp = \"web\"\n\
    [[site.route]]\npath = \"/hello\"\nrespond = \"hello\"\n\
    [[site.route]]\npath = \"/post/\"\napp = \"web\"\nmethods = [\"POST\"]\n";

const HANDSHAKE: &str = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn house(limits: &str) -> (House, Arc<Seen>) {
    let conf = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.limits]\n{limits}\n{APP}");
    let house = House::open(&conf);
    let seen = serve(&house);
    (house, seen)
}

fn serve(house: &House) -> Arc<Seen> {
    let seen = Arc::default();
    house.context.apps[0].link(worker::start(1, &seen));
    seen
}

async fn closed(seen: &Seen) -> u16 {
    let wait = async {
        loop {
            if let Some((code, _)) = seen.closes.lock().unwrap().first() {
                return *code;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap()
}

/// The next frame; `None` at the end.
async fn frame(client: &mut Client) -> Option<Frame> {
    loop {
        if let Some((frame, used)) = parse(&client.input) {
            client.input.drain(..used);
            return Some(frame);
        }
        if !client.more().await {
            return None;
        }
    }
}

#[tokio::test]
async fn a_connection_becomes_a_websocket_and_ends_with_it() {
    let (house, seen) = house("idle_timeout = \"100ms\"\nbody_timeout = \"100ms\"");
    let mut client = house.connect().await;
    // What is sent together with the head is not lost.
    let bytes = [HANDSHAKE.as_bytes(), &masked(0x81, b"first")].concat();
    client.stream.write_all(&bytes).await.unwrap();
    let head = client.until(b"\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(
        has(&head, "upgrade: websocket") && has(&head, "connection: upgrade"),
        "{head}"
    );
    assert!(
        has(&head, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{head}"
    );
    assert!(!head.to_ascii_lowercase().contains("content-length") && !head.contains("chunked"));
    assert_eq!(frame(&mut client).await.unwrap().payload, b"first");
    // Longer than a connection may be idle, or a body pause: the deadlines of HTTP do not hold here.
    tokio::time::sleep(Duration::from_millis(400)).await;
    client
        .stream
        .write_all(&masked(0x82, &[7; 100_000]))
        .await
        .unwrap();
    let mut echo = Vec::new();
    while echo.len() < 100_000 {
        echo.extend(frame(&mut client).await.unwrap().payload);
    }
    client.stream.write_all(&masked(0x88, b"\x03\xe8")).await.unwrap();
    assert_eq!(frame(&mut client).await.unwrap().payload, b"\x03\xe8");
    assert_eq!(frame(&mut client).await, None);
    assert_eq!(closed(&seen).await, 1000);
    let line = &house.lines(1).await[0];
    let bytes_in = masked(0x81, b"first").len() + masked(0x82, &[7; 100_000]).len() + 8;
    assert!(
        line.contains("\"status\":101") && line.contains("\"ok\""),
        "{line}"
    );
    assert!(line.contains(&format!("\"bytes_in\":{bytes_in},")), "{line}");
}

#[tokio::test]
async fn a_drain_closes_websockets_and_lets_them_answer() {
    let (house, seen) = house("");
    let mut client = house.connect().await;
    client.send(HANDSHAKE).await;
    client.until(b"\r\n\r\n").await;
    house.context.drain.start(PATIENCE);
    assert_eq!(frame(&mut client).await.unwrap().payload, b"\x03\xf4");
    assert_eq!(closed(&seen).await, 1012);
    client.stream.write_all(&masked(0x88, b"\x03\xf4")).await.unwrap();
    assert_eq!(frame(&mut client).await, None);
    drop(client);
    tokio::time::timeout(PATIENCE, house.context.drain.idle())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let (house, seen) = house("body_timeout = \"200ms\"");
    let mut client = house.connect().await;
    client.send(&HANDSHAKE.replace("/echo", "/flood")).await;
    client.until(b"\r\n\r\n").await;
    assert_eq!(closed(&seen).await, 1006);
    let line = &house.lines(1).await[0];
    assert!(line.contains("client_timeout"), "{line}");
}

#[tokio::test]
async fn a_message_before_the_end_of_the_connection_is_not_lost() {
    let (house, seen) = house("");
    let mut client = house.connect().await;
    client.send(HANDSHAKE).await;
    client.until(b"\r\n\r\n").await;
    client.stream.write_all(&masked(0x81, b"last")).await.unwrap();
    drop(client);
    assert_eq!(closed(&seen).await, 1006);
    assert_eq!(seen.messages.lock().unwrap()[..], [(true, b"last".to_vec())]);
    assert!(house.lines(1).await[0].contains("client_gone"));
}

#[tokio::test]
async fn a_stream_of_http2_becomes_a_websocket() {
    let (house, trust) = http2::secure("", APP);
    let seen = serve(&house);
    let mut send = http2::connect(&house, trust).await.ready().await.unwrap();
    // The server's settings come with its first answer.
    let request = Request::get("https://example.org/hello").body(()).unwrap();
    let (hello, _) = send.send_request(request, true).unwrap();
    assert_eq!(hello.await.unwrap().status(), 200);
    assert!(send.is_extended_connect_protocol_enabled());
    let connect = |path: &str| {
        Request::builder()
            .method(Method::CONNECT)
            .uri(format!("https://example.org{path}"))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(())
            .unwrap()
    };
    for (path, status) in [
        ("/hello", 501),
        ("/post/", 405),
        ("/deny", 403),
        ("/deny-200", 500),
    ] {
        let (answer, _) = send.send_request(connect(path), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "{path}");
    }
    let (answer, mut stream) = send.send_request(connect("/echo"), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let mut body = answer.into_body();
    stream
        .send_data(Bytes::from(masked(0x81, b"over h2")), false)
        .unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), &b"\x81\x07over h2"[..]);
    stream
        .send_data(Bytes::from(masked(0x88, b"\x03\xe8")), true)
        .unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), &b"\x88\x02\x03\xe8"[..]);
    while let Some(piece) = body.data().await {
        assert_eq!(piece.expect("ended, not reset"), Bytes::new());
    }
    assert_eq!(closed(&seen).await, 1000);
    let lines = house.lines(6).await;
    assert!(
        lines[5].contains("\"status\":200") && lines[5].contains("CONNECT"),
        "{}",
        lines[5]
    );
}
