//! Servers behind us that speak HTTP/2, played by the test itself.

mod frames;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{Client, House, PATIENCE, has};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn house(server: SocketAddr, keys: &str) -> House {
    House::open(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [upstream.back]\nservers = [\"h2c://{server}\"]\n{keys}\n\
         [[site]]\nupstream = \"back\"\nbody_max = \"20MiB\"\n"
    ))
}

/// A house and a server behind it, which answers each request by a call of `serve`; how many connections it
/// got.
async fn behind<F, S>(keys: &str, settings: fn(&mut Builder), serve: F) -> (House, Arc<AtomicUsize>)
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> S + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = house(listener.local_addr().unwrap(), keys);
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let serve = serve.clone();
            tokio::spawn(async move {
                let mut builder = Builder::new();
                settings(&mut builder);
                let Ok(mut connection) = builder.handshake(stream).await else {
                    return;
                };
                while let Some(Ok((request, reply))) = connection.accept().await {
                    tokio::spawn(serve(request, reply));
                }
            });
        }
    });
    (house, connections)
}

fn usual(_: &mut Builder) {}

async fn read(mut body: RecvStream) -> Vec<u8> {
    let mut read = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        body.flow_control().release_capacity(piece.len()).unwrap();
        read.extend_from_slice(&piece);
    }
    read
}

/// Answers with what the request said.
async fn echo(request: Request<RecvStream>, mut reply: SendResponse<Bytes>) {
    let (parts, body) = request.into_parts();
    let mut told = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        told += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    let status = match parts.uri.path() {
        "/none" => 204,
        "/same" => 304,
        _ => 200,
    };
    let head = |length: Option<usize>| {
        let answer = Response::builder().status(status).header("x-told", "yes");
        let answer = match length {
            Some(length) => answer.header("content-length", length),
            None => answer,
        };
        answer.body(()).unwrap()
    };
    if status != 200 || parts.method == "HEAD" {
        let length = (parts.method == "HEAD").then_some(1234);
        reply.send_response(head(length), true).unwrap();
        return;
    }
    told += &String::from_utf8_lossy(&read(body).await);
    let mut answer = reply.send_response(head(Some(told.len())), false).unwrap();
    answer.send_data(told.into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", "1".parse().unwrap());
    answer.send_trailers(trailers).unwrap();
}

#[tokio::test]
async fn requests_are_as_http2_has_them_and_share_a_connection() {
    let (house, connections) = behind("", usual, echo).await;
    let mut client = house.connect().await;
    client
        .send(
            "GET /a%20b?\"q HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n\
             Keep-Alive: 5\r\nTE: trailers\r\nCookie: a=1\r\nAccept: */*\r\nCookie: b=2\r\nUpgrade: h2c\r\n\r\n",
        )
        .await;
    let (head, told) = client.answer().await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && has(&head, "x-told: yes"),
        "{head}"
    );
    assert!(!head.to_ascii_lowercase().contains("trailer"), "{head}");
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].starts_with("GET http://example.org/a%20b?"), "{told}");
    assert!(
        lines.contains(&"cookie: a=1; b=2") && lines.contains(&"accept: */*"),
        "{told}"
    );
    assert!(lines.contains(&"x-real-ip: 127.0.0.1"), "{told}");
    for name in [
        "host:",
        "connection:",
        "keep-alive:",
        "te:",
        "upgrade:",
        "x-mine:",
        "transfer-encoding:",
    ] {
        assert!(!lines.iter().any(|line| line.starts_with(name)), "{name} {told}");
    }
    for (request, end) in [
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
            "abcde",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
            "abcde",
        ),
    ] {
        client.send(request).await;
        let (_, told) = client.answer().await;
        assert!(told.ends_with(end), "{told}");
        assert_eq!(
            told.contains("content-length: 5"),
            request.contains("Length"),
            "{told}"
        );
    }
    for (request, status, length) in [
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "200", true),
        ("GET /none HTTP/1.1\r\nHost: a\r\n\r\n", "204", false),
        ("GET /same HTTP/1.1\r\nHost: a\r\n\r\n", "304", false),
    ] {
        client.send(request).await;
        let head = client.until(b"\r\n\r\n").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert_eq!(has(&head, "content-length: 1234"), length, "{head}");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    house.lines(6).await;
}

#[tokio::test]
async fn a_body_of_any_size_goes_both_ways() {
    let (house, _) = behind("", usual, |request, mut reply: SendResponse<Bytes>| async move {
        let body = read(request.into_body()).await;
        let mut answer = reply.send_response(Response::new(()), false).unwrap();
        answer.send_data(body.into(), true).unwrap();
    })
    .await;
    let mut client = house.connect().await;
    let size = 3 << 20;
    let body = "0123456789abcdef".repeat(size / 16);
    client
        .send(&format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{body}"
        ))
        .await;
    let answer = client.rest().await;
    let (head, chunks) = answer.split_once("\r\n\r\n").unwrap();
    assert!(has(head, "transfer-encoding: chunked"), "{head}");
    let sent: usize = chunks.len();
    assert!(sent > size && sent < size + (size >> 4), "{sent}");
}

#[tokio::test]
async fn what_a_server_has_not_processed_is_sent_again_whatever_its_method() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let (house, connections) = behind("", usual, move |request, mut reply: SendResponse<Bytes>| {
        let count = Arc::clone(&count);
        async move {
            if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                return reply.send_reset(Reason::REFUSED_STREAM);
            }
            echo(request, reply).await;
        }
    })
    .await;
    let mut client = house.connect().await;
    for (request, end) in [
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
            "abcde",
        ),
        ("PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", "ab"),
        (GET, "\n"),
    ] {
        client.send(request).await;
        let (head, told) = client.answer().await;
        assert!(
            head.starts_with("HTTP/1.1 200") && told.ends_with(end),
            "{head}{told}"
        );
    }
    assert_eq!(refused.load(Ordering::Relaxed), 6);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_stream_that_is_reset_may_have_been_processed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (house, connections) = behind("", usual, move |_, mut reply: SendResponse<Bytes>| {
        count.fetch_add(1, Ordering::Relaxed);
        async move { reply.send_reset(Reason::INTERNAL_ERROR) }
    })
    .await;
    let mut client = house.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
        .await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502"));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_answer_of_another_length_than_it_says_is_no_answer() {
    let (house, _) = behind("", usual, |request, mut reply: SendResponse<Bytes>| async move {
        let head = Response::builder()
            .header("content-length", "5")
            .body(())
            .unwrap();
        match request.uri().path() {
            // Nothing follows: h2 calls the head malformed.
            "/empty" => drop(reply.send_response(head, true).unwrap()),
            path => {
                let mut answer = reply.send_response(head, false).unwrap();
                let body = if path == "/short" { "abc" } else { "abcdefgh" };
                answer.send_data(body.into(), true).unwrap();
            }
        }
    })
    .await;
    let mut client = house.connect().await;
    client.send("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502"));
    for path in ["/short", "/long"] {
        let mut client = house.connect().await;
        client
            .send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = client.rest().await;
        let whole = answer.starts_with("HTTP/1.1 200") && answer.ends_with("abcde");
        assert!(!whole, "{path}: {answer}");
    }
}

/// Answers `/big` with bytes until nobody takes them, and tells how many; everything else at once.
fn big(told: UnboundedSender<usize>) -> impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Big + Clone {
    move |request, mut reply| {
        let told = told.clone();
        Box::pin(async move {
            if request.uri().path() != "/big" {
                return echo(request, reply).await;
            }
            let mut answer = reply.send_response(Response::new(()), false).unwrap();
            loop {
                answer.reserve_capacity(16 << 10);
                let capacity = std::future::poll_fn(|cx| answer.poll_capacity(cx)).await;
                let Some(Ok(capacity)) = capacity else { return };
                let piece = vec![b'x'; capacity.min(16 << 10)];
                told.send(piece.len()).unwrap();
                answer.send_data(piece.into(), false).unwrap();
            }
        })
    }
}

type Big = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_own_answer_alone() {
    let (told, mut sent) = unbounded_channel();
    let (house, connections) = behind("", usual, big(told)).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut client = house.connect().await;
        client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
        stalled.push(client);
    }
    // Sending has come to its end when the window of each stream and the buffers of sockets are full.
    let mut total = 0;
    while let Ok(Some(bytes)) = tokio::time::timeout(Duration::from_secs(1), sent.recv()).await {
        total += bytes;
        assert!(total < 20 * (16 << 20), "nothing stops the server");
    }
    let mut client = house.connect().await;
    for _ in 0..10 {
        client.send(GET).await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    drop(stalled);
    house.lines(30).await;
}

#[tokio::test]
async fn who_leaves_or_is_not_answered_in_time_cancels_its_stream_alone() {
    let (told, mut heard) = unbounded_channel();
    let (house, connections) = behind(
        "read_timeout = \"300ms\"",
        usual,
        move |request, mut reply: SendResponse<Bytes>| {
            let told = told.clone();
            async move {
                if request.uri().path() != "/held" {
                    return echo(request, reply).await;
                }
                told.send(None).unwrap();
                let reset = std::future::poll_fn(|cx| reply.poll_reset(cx)).await;
                told.send(reset.ok()).unwrap();
            }
        },
    )
    .await;
    let held = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = house.connect().await;
    client.send(held).await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 504"));
    assert_eq!(heard.recv().await, Some(None));
    assert_eq!(heard.recv().await, Some(Some(Reason::CANCEL)));
    client.send(held).await;
    assert_eq!(heard.recv().await, Some(None));
    drop(client);
    assert_eq!(heard.recv().await, Some(Some(Reason::CANCEL)));
    let mut client = house.connect().await;
    client.send(GET).await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_servers_limit_of_streams_is_kept_by_further_connections() {
    let (told, mut begun) = unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let (house, connections) = behind(
        "",
        |builder| {
            builder.max_concurrent_streams(2);
        },
        move |request, reply: SendResponse<Bytes>| {
            let (told, held) = (told.clone(), Arc::clone(&held));
            async move {
                told.send(()).unwrap();
                let _open = held.acquire().await.unwrap();
                echo(request, reply).await;
            }
        },
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..7 {
        let mut client = house.connect().await;
        client.send(GET).await;
        clients.push(client);
    }
    for _ in 0..7 {
        begun.recv().await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 4);
    gate.add_permits(7);
    for client in &mut clients {
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
    }
    // All four wait for the next ones.
    clients[0].send(GET).await;
    assert!(clients[0].answer().await.0.starts_with("HTTP/1.1 200"));
    assert_eq!(connections.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_hundred_requests_run_side_by_side_on_a_connection() {
    let together = Arc::new(tokio::sync::Barrier::new(100));
    let (house, connections) = behind("", usual, move |request, reply: SendResponse<Bytes>| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            echo(request, reply).await;
        }
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = house.connect().await;
        client.send(GET).await;
        clients.push(client);
    }
    for client in &mut clients {
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_of_http1_is_told_from_one_of_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = house(listener.local_addr().unwrap(), "");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    });
    let mut client = house.connect().await;
    client.send(GET).await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502"));
}

#[tokio::test]
async fn a_server_that_is_silent_at_the_beginning_counts_as_not_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = house(listener.local_addr().unwrap(), "connect_timeout = \"200ms\"");
    let mut client = house.connect().await;
    client.send(GET).await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 504"));
}

#[tokio::test]
async fn a_websocket_is_not_passed_to_a_server_of_http2_alone() {
    let (house, connections) = behind("", usual, echo).await;
    let mut client: Client = house.connect().await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502"));
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn no_connection_is_kept_where_none_is_to_be() {
    let (house, connections) = behind("keepalive = 0", usual, echo).await;
    let mut client = house.connect().await;
    for number in 1..=3 {
        client.send(GET).await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
        assert_eq!(connections.load(Ordering::Relaxed), number);
    }
}
