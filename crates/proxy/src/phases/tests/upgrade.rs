//! WebSocket connections passed through.

use super::{House, backend::Backend, has};

#[tokio::test]
async fn a_websocket_is_passed_through_both_ways_and_may_be_silent() {
    let (backend, address) = Backend::tcp().await;
    let house = House::open(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.limits]\nbody_timeout = \"100ms\"\n\
         [upstream.back]\nservers = [\"http://{address}\"]\n[[site]]\nupstream = \"back\"\nbody_max = \"1KiB\"\n"
    ));
    let mut client = house.connect().await;
    client
        .send(
            "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .await;
    let (head, _) = client.answer().await;
    assert!(
        head.starts_with("HTTP/1.1 101") && has(&head, "Upgrade: websocket"),
        "{head}"
    );
    assert_eq!(backend.seen()[0].field("upgrade"), Some("websocket"));
    assert!(backend.seen()[0].field("sec-websocket-key").is_some());
    client.send("first").await;
    assert_eq!(client.take(5).await, "first");
    // Longer than a body may pause: the deadlines of HTTP do not hold here.
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
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
}
