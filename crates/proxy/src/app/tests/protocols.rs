//! The same apps behind the real HTTP/1.1 and HTTP/2 of the front.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use config::{Action, AppIndex, Config, ProxyConfig};
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Response};
use logs::AccessLog;
use message::connection::Connection;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};

use super::rig::{PATIENCE, Rig, Settings, until};
use crate::{
    context::Context,
    drain::Drain,
    front::http1::converse,
    listener::{crowd::Guest, stream::ClientStream},
    listening::Front,
    phases,
    router::Router,
};

/// An app at the root of the only site, and a way to it.
struct House {
    rig: Rig,
    context: Arc<Context>,
    connection: Arc<Connection>,
}

impl House {
    fn new(settings: &Settings) -> Self {
        let rig = Rig::new(settings);
        rig.worker(1);
        let text = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nrespond = \"no\"\n";
        let mut config = Config::parse(text, std::path::Path::new("/site.toml")).expect("valid");
        config.sites[0].routes[0].action = Action::App {
            app: AppIndex(0),
            mount: String::new(),
            strip: false,
            request_buffering: settings.request_buffering,
        };
        let context = Arc::new(Context {
            router: Router::new(&config.sites),
            apps: vec![Arc::clone(&rig.app)],
            upstreams: Vec::new(),
            tls: Vec::new(),
            log: AccessLog::off(),
            drain: Drain::new(),
            config: ProxyConfig::from(&config),
        });
        Self {
            rig,
            context,
            connection: Arc::new(Connection {
                listener: 0,
                peer: None,
                local: None,
                tls: None,
            }),
        }
    }

    fn evented() -> Self {
        Self::new(&Settings {
            evented: true,
            request_buffering: false,
            threads: 100,
            ..Settings::default()
        })
    }

    fn http1(&self) -> (UnixStream, JoinHandle<()>) {
        let (client, server) = UnixStream::pair().expect("socketpair");
        (client, self.serve(ClientStream::of_pair(server)))
    }

    fn serve(&self, stream: ClientStream) -> JoinHandle<()> {
        let (context, connection) = (Arc::clone(&self.context), Arc::clone(&self.connection));
        tokio::spawn(async move {
            let limits = context.config.listeners[0].limits.clone();
            let front = Front { context };
            converse(
                &front,
                Box::new(stream),
                &connection,
                &limits,
                None,
                &Guest::alone(),
            )
            .await;
        })
    }

    /// Sends `raw`, whose last request says `Connection: close`, and returns all that comes back.
    async fn exchange(&self, raw: &str) -> String {
        let (mut client, _task) = self.http1();
        client.write_all(raw.as_bytes()).await.expect("write");
        let mut text = String::new();
        let read = tokio::time::timeout(PATIENCE, client.read_to_string(&mut text));
        read.await.expect("an end in time").expect("text");
        text
    }

    async fn http2(&self) -> SendRequest<Bytes> {
        let (client, server) = UnixStream::pair().expect("socketpair");
        let stream = Box::new(ClientStream::of_pair(server));
        let (context, connection) = (Arc::clone(&self.context), Arc::clone(&self.connection));
        tokio::spawn(async move { phases::serve_http2(context, stream, connection, &Guest::alone()).await });
        let (send, connection) = h2::client::handshake(client).await.expect("handshake");
        tokio::spawn(connection);
        send.ready().await.expect("ready")
    }
}

/// Reads until `mark` has come.
async fn read_to(client: &mut UnixStream, mark: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(mark.as_bytes()) {
        let mut byte = [0];
        let read = tokio::time::timeout(PATIENCE, client.read_exact(&mut byte));
        let read = read.await.expect("in time");
        read.unwrap_or_else(|_| panic!("closed after {:?}", String::from_utf8_lossy(&got)));
        got.extend(byte);
    }
    String::from_utf8(got).expect("text")
}

fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("http://example.org{path}");
    Request::builder()
        .method(method)
        .uri(uri)
        .body(())
        .expect("request")
}

async fn whole(response: Response<h2::RecvStream>) -> (Vec<u8>, Option<HeaderMap>) {
    let mut stream = response.into_body();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await.transpose().expect("whole") {
        stream
            .flow_control()
            .release_capacity(piece.len())
            .expect("credit");
        body.extend_from_slice(&piece);
    }
    (body, stream.trailers().await.expect("whole"))
}

#[tokio::test]
async fn hints_are_for_http_1_1_only() {
    let house = House::evented();
    let get = |version: &str| format!("GET /hints {version}\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = house.exchange(&get("HTTP/1.1")).await;
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(
        text.starts_with(hint) && text.ends_with("\r\n\r\nhello"),
        "{text}"
    );
    let text = house.exchange(&get("HTTP/1.0")).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let mut send = house.http2().await;
    let (response, _) = send
        .send_request(request(Method::GET, "/hints"), true)
        .expect("sent");
    let response = response.await.expect("answered");
    assert_eq!(response.status(), 200);
    assert_eq!(whole(response).await.0, b"hello");
}

#[tokio::test]
async fn trailers_are_for_those_who_can_read_them() {
    let house = House::evented();
    let get = |fields: &str| {
        format!(
            "GET /trailers HTTP/1.1\r\nHost: a\r\n{fields}\r\nGET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
    };
    let text = house.exchange(&get("TE: gzip, Trailers\r\n")).await;
    assert!(
        text.contains("\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\nHTTP/1.1 200 OK"),
        "{text}"
    );
    let text = house.exchange(&get("")).await;
    assert!(
        text.contains("\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK"),
        "{text}"
    );
    let mut send = house.http2().await;
    for path in ["/trailers", "/trailers-sized"] {
        let (response, _) = send.send_request(request(Method::GET, path), true).expect("sent");
        let (body, trailers) = whole(response.await.expect("answered")).await;
        assert_eq!(body, b"hello");
        let trailers = trailers.unwrap_or_else(|| panic!("{path}: no trailers"));
        assert!(
            trailers.len() == 1 && trailers["x-sum"] == "5",
            "{path}: {trailers:?}"
        );
        let (head, _) = send
            .send_request(request(Method::HEAD, path), true)
            .expect("sent");
        assert_eq!(whole(head.await.expect("answered")).await, (Vec::new(), None));
    }
}

#[tokio::test]
async fn what_a_worker_says_is_at_the_client_at_once() {
    let house = House::evented();
    let (mut client, task) = house.http1();
    client
        .write_all(b"GET /drip HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("write");
    let head = read_to(&mut client, "\r\n\r\n5\r\nfirst\r\n").await;
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    let (mut silent, _task) = house.http1();
    silent
        .write_all(b"GET /head-only HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("write");
    read_to(&mut silent, "\r\n\r\n").await;
    let mut send = house.http2().await;
    let (response, _) = send
        .send_request(request(Method::GET, "/drip"), true)
        .expect("sent");
    let mut body = response.await.expect("answered").into_body();
    assert_eq!(body.data().await.expect("some").expect("data"), &b"first"[..]);
    // An end with no last chunk, and the worker hears of it.
    drop((client, body, silent));
    until(|| house.rig.seen.cancelled.load(Ordering::SeqCst) == 3).await;
    task.await.expect("no panic");
}

#[tokio::test]
async fn an_upload_and_its_answer_pass_each_other() {
    let house = House::evented();
    let (mut client, _task) = house.http1();
    let head =
        "POST /duplex HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("write");
    // It answers before it has got anything, so nobody says that the client should go on.
    read_to(&mut client, "HTTP/1.1 200 OK\r\n").await;
    let (mut client, _task) = house.http1();
    client
        .write_all(b"POST /duplex HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await
        .expect("write");
    read_to(&mut client, "3\r\none\r\n").await;
    client.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.expect("write");
    read_to(&mut client, "3\r\ntwo\r\n0\r\n\r\n").await;
    // The connection serves on.
    client
        .write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("write");
    read_to(&mut client, "hello").await;

    let mut send = house.http2().await;
    let (response, mut upload) = send
        .send_request(request(Method::POST, "/duplex"), false)
        .expect("sent");
    upload.send_data(Bytes::from_static(b"one"), false).expect("sent");
    let mut body = response.await.expect("answered").into_body();
    assert_eq!(body.data().await.expect("some").expect("data"), &b"one"[..]);
    upload.send_data(Bytes::from_static(b"two"), true).expect("sent");
    assert_eq!(body.data().await.expect("some").expect("data"), &b"two"[..]);
    let end = body.data().await.transpose().expect("whole");
    assert!(end.is_none_or(|end| end.is_empty()) && body.is_end_stream());
}

#[tokio::test]
async fn the_client_is_told_to_send_once_the_application_asks_for_its_body() {
    let house = House::evented();
    let (mut client, _task) = house.http1();
    let head = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("write");
    read_to(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
    client.write_all(b"\x01\x02\x03").await.expect("write");
    let answer = read_to(&mut client, "3 6 3").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("close"),
        "{answer}"
    );
    let (mut unasked, _task) = house.http1();
    let head = head.replace("/upload", "/unread");
    unasked.write_all(head.as_bytes()).await.expect("write");
    until(|| house.rig.seen.fed.load(Ordering::SeqCst) == 3).await;
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(50), unasked.read(&mut byte)).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn a_body_that_nobody_read_is_read_past_after_an_early_answer() {
    let house = House::evented();
    let body = "x".repeat(1000);
    let text = house
        .exchange(&format!(
            "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{body}\
             GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ))
        .await;
    assert!(text.contains("no thanks") && text.ends_with("hello"), "{text}");
    let mut send = house.http2().await;
    let (response, _upload) = send
        .send_request(request(Method::POST, "/early"), false)
        .expect("sent");
    assert_eq!(whole(response.await.expect("answered")).await.0, b"no thanks");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_answered_and_its_request_cancelled() {
    let house = House::evented();
    let (mut client, _task) = house.http1();
    client
        .write_all(b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await
        .expect("write");
    let seen = &house.rig.seen;
    until(|| seen.fed.load(Ordering::SeqCst) == 3).await;
    client.write_all(b"nonsense\r\n").await.expect("write");
    let answer = read_to(&mut client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    until(|| seen.cancelled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn an_answer_to_http_1_0_that_is_cut_does_not_look_whole() {
    let house = House::evented();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("bound");
    for (target, whole) in [("/stream/10", true), ("/drip", false)] {
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, (server, _)) = (client.expect("connect"), accepted.expect("accept"));
        let task = house.serve(ClientStream::of_tcp(server));
        let raw = format!("GET {target} HTTP/1.0\r\nHost: a\r\n\r\n");
        client.write_all(raw.as_bytes()).await.expect("write");
        let mut got = Vec::new();
        if !whole {
            while !got.ends_with(b"first") {
                assert_ne!(client.read_buf(&mut got).await.expect("read"), 0);
            }
            // What the end of a drain's grace does.
            task.abort();
        }
        let end = tokio::time::timeout(PATIENCE, client.read_to_end(&mut got))
            .await
            .expect("in time");
        assert_eq!(end.is_ok(), whole, "{target}: {end:?}");
        assert_eq!(got.ends_with(b"\r\n\r\nxxxxxxxxxx"), whole);
    }
}
