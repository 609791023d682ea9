//! HTTP/2 over TLS, answered by us and by upstreams.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::{Reason, RecvStream, client::SendRequest};
use http::{Method, Request, Response};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{House, PATIENCE, backend::Backend};

/// A house with a server behind it.
fn house(server: Option<SocketAddr>, limits: &str) -> (House, Arc<ClientConfig>) {
    let server = server.unwrap_or(([127, 0, 0, 1], 1).into());
    secure(
        limits,
        &format!(
            "[upstream.back]\nservers = [\"http://{server}\"]\n\
             [[site]]\nrespond = \"hello\"\nbody_max = \"64B\"\n\
             [[site.route]]\npath = \"/back/\"\nupstream = \"back\"\nbody_max = \"64B\"\n"
        ),
    )
}

/// A house with TLS for `example.org`, and what a client needs to trust it.
pub(super) fn secure(limits: &str, rest: &str) -> (House, Arc<ClientConfig>) {
    let directory = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["example.org".to_owned()]).unwrap();
    std::fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let house = House::open_in(
        directory,
        &format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = true\n[listener.limits]\nbody_timeout = \"300ms\"\n{limits}\n\
             [tls]\ncertificates = [{{ certificate = \"cert.pem\", key = \"key.pem\" }}]\n{rest}"
        ),
    );
    (house, Arc::new(client))
}

pub(super) async fn connect(house: &House, client: Arc<ClientConfig>) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(house.address).await.unwrap();
    let name = ServerName::try_from("example.org").unwrap();
    let stream = TlsConnector::from(client).connect(name, stream).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    send
}

pub(super) fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("https://example.org{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

pub(super) async fn body(response: Response<RecvStream>) -> Result<Vec<u8>, h2::Error> {
    let mut stream = response.into_body();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await.transpose()? {
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

#[tokio::test]
async fn streams_are_answered_by_us_and_by_upstreams() {
    let (backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let (ours, _) = send.send_request(request(Method::GET, "/"), true).unwrap();
    let (theirs, _) = send.send_request(request(Method::GET, "/back/x"), true).unwrap();
    let (head, _) = send.send_request(request(Method::HEAD, "/"), true).unwrap();
    let ours = ours.await.unwrap();
    assert_eq!(
        (ours.status().as_u16(), &ours.headers()["server"]),
        (200, &super::super::SERVER.parse().unwrap())
    );
    assert!(ours.headers().contains_key("date"));
    assert_eq!(body(ours).await.unwrap(), b"hello");
    let theirs = theirs.await.unwrap();
    assert_eq!(theirs.headers()["server"], super::super::SERVER);
    assert_eq!(body(theirs).await.unwrap(), b"ok");
    let head = head.await.unwrap();
    assert_eq!(head.headers()["content-length"], "5");
    assert_eq!(body(head).await.unwrap(), b"");
    let seen = &backend.seen()[0];
    assert_eq!(seen.line(), "GET /back/x HTTP/1.1");
    assert_eq!(seen.field("host"), Some("example.org"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    for line in house.lines(3).await {
        assert!(
            line.contains("HTTP/2.0") && line.contains("TLSv1.3") && line.contains("\"https\""),
            "{line}"
        );
    }
}

#[tokio::test]
async fn bodies_go_up_and_are_held_to_the_rules() {
    let (backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let (small, mut upload) = send.send_request(request(Method::POST, "/back/"), false).unwrap();
    upload.send_data(Bytes::from_static(b"abc"), true).unwrap();
    assert_eq!(small.await.unwrap().status(), 200);
    assert_eq!(backend.seen()[0].body, "3\r\nabc\r\n0\r\n\r\n");

    let (big, mut upload) = send.send_request(request(Method::POST, "/back/"), false).unwrap();
    upload.send_data(Bytes::from(vec![0; 100]), true).unwrap();
    assert_eq!(big.await.unwrap().status(), 413);

    let (stalled, mut upload) = send.send_request(request(Method::POST, "/back/"), false).unwrap();
    upload.send_data(Bytes::from_static(b"ab"), false).unwrap();
    let stalled = tokio::time::timeout(PATIENCE, stalled).await.unwrap();
    assert!(stalled.is_err() || stalled.is_ok_and(|response| response.status() == 408));
    let lines = house.lines(3).await;
    assert!(lines[2].contains("client_timeout"), "{}", lines[2]);
}

#[tokio::test]
async fn heads_past_our_limits_are_refused_and_logged() {
    let (house, client) = house(None, "target_max = \"256B\"\nheaders_max = 5");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let (long, _) = send
        .send_request(request(Method::GET, &format!("/{}", "x".repeat(300))), true)
        .unwrap();
    assert_eq!(long.await.unwrap().status(), 414);
    let mut many = request(Method::GET, "/");
    for number in 0..9 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        many.headers_mut().insert(name, "1".parse().unwrap());
    }
    let (many, _) = send.send_request(many, true).unwrap();
    assert_eq!(many.await.unwrap().status(), 431);
    for line in house.lines(2).await {
        assert!(line.contains("refused"), "{line}");
    }
}

#[tokio::test]
async fn heads_of_any_size_are_refused_with_one_line_each() {
    let (house, client) = house(None, "head_max = \"8k\"");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let big = |bytes: usize| {
        let mut big = request(Method::GET, "/");
        big.headers_mut()
            .insert("x-big", "y".repeat(bytes).parse().unwrap());
        big
    };
    // Ours; then h2's own, the second time from the table, between answers of ours.
    for (bytes, server) in [(9_000, true), (20_000, false), (30_000, false), (10_000, true)] {
        let (refused, _) = send.send_request(big(bytes), true).unwrap();
        let refused = refused.await.unwrap();
        assert_eq!(refused.status(), 431, "{bytes}");
        assert_eq!(refused.headers().contains_key("server"), server, "{bytes}");
    }
    let (fine, _) = send.send_request(request(Method::GET, "/"), true).unwrap();
    assert_eq!(fine.await.unwrap().status(), 200);
    // An upload with such a head.
    let (refused, _upload) = send.send_request(big(25_000), false).unwrap();
    assert_eq!(refused.await.unwrap().status(), 431);
    let lines = house.lines(6).await;
    let refused = lines
        .iter()
        .filter(|line| line.contains("\"status\":431"))
        .count();
    assert_eq!(refused, 5, "{lines:?}");
    // Past four times that h2 ends the connection.
    let (cut, _) = send.send_request(big(100_000), true).unwrap();
    assert!(cut.await.is_err());
    let lines = house.lines(7).await;
    assert!(lines[6].contains("\"status\":431"), "{}", lines[6]);
}

#[tokio::test]
async fn a_drain_says_farewell_and_serves_what_is_there() {
    let (_backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let (running, mut upload) = send.send_request(request(Method::POST, "/back/"), false).unwrap();
    house.context.drain.start(PATIENCE);
    upload.send_data(Bytes::from_static(b"late"), true).unwrap();
    assert_eq!(running.await.unwrap().status(), 200);
    // The connection closes without a word from the client.
    tokio::time::timeout(PATIENCE, house.context.drain.idle())
        .await
        .unwrap();
    assert!(send.ready().await.is_err());
}

#[tokio::test]
async fn a_reset_stream_ends_its_request_only() {
    let (backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let (waiting, mut stream) = send.send_request(request(Method::POST, "/back/"), false).unwrap();
    stream.send_data(Bytes::from_static(b"half"), false).unwrap();
    stream.send_reset(Reason::CANCEL);
    drop(waiting);
    let (other, _) = send.send_request(request(Method::GET, "/back/"), true).unwrap();
    assert_eq!(other.await.unwrap().status(), 200);
    let lines = house.lines(2).await;
    assert!(lines.iter().any(|line| line.contains("client_gone")), "{lines:?}");
    assert!(backend.seen().iter().all(|seen| seen.line().starts_with("GET")));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (house, client) = house(None, "idle_timeout = \"100ms\"");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let (first, _) = send.send_request(request(Method::GET, "/"), true).unwrap();
    assert_eq!(body(first.await.unwrap()).await.unwrap(), b"hello");
    let closed = async {
        while send.clone().ready().await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
    house.lines(1).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_what_was_sent() {
    let (_backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    for _ in 0..20 {
        let (cut, _) = send
            .send_request(request(Method::GET, "/back/cut"), true)
            .unwrap();
        let cut = cut.await.expect("the head comes before the reset");
        assert_eq!(
            (cut.status().as_u16(), &cut.headers()["content-length"]),
            (200, &"100".parse().unwrap())
        );
        let mut body = cut.into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), &b"half"[..]);
        let end = body.data().await.unwrap().expect_err("it is not whole");
        assert_eq!(end.reason(), Some(Reason::INTERNAL_ERROR));
    }
    // Its neighbours and the connection go on.
    let (next, _) = send.send_request(request(Method::GET, "/"), true).unwrap();
    assert_eq!(body(next.await.unwrap()).await.unwrap(), b"hello");
    for line in &house.lines(21).await[..20] {
        assert!(
            line.contains("upstream_failed") && line.contains("\"bytes_out\":4,"),
            "{line}"
        );
    }
}

/// The next interim answer to a request.
async fn interim(answer: &mut h2::client::ResponseFuture) -> Response<()> {
    let interim = poll_fn(|cx| answer.poll_informational(cx));
    tokio::time::timeout(PATIENCE, interim)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn interim_answers_come_through() {
    let (_backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let (mut answer, _) = send
        .send_request(request(Method::GET, "/back/hints"), true)
        .unwrap();
    for link in ["</a.css>", "</b.css>"] {
        let hint = interim(&mut answer).await;
        assert_eq!(
            (hint.status().as_u16(), &hint.headers()["link"]),
            (103, &link.parse().unwrap())
        );
        assert!(!hint.headers().contains_key("connection"));
    }
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(body(answer).await.unwrap(), b"ok");
}

#[tokio::test]
async fn a_client_that_waits_for_the_word_gets_it() {
    let (backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let expecting = |path| {
        let mut expects = request(Method::POST, path);
        expects
            .headers_mut()
            .insert("expect", "100-continue".parse().unwrap());
        expects
    };
    // From the server, and from us where it does not know the word.
    for (number, path) in ["/back/asks", "/back/"].into_iter().enumerate() {
        let (mut answer, mut upload) = send.send_request(expecting(path), false).unwrap();
        assert_eq!(interim(&mut answer).await.status(), 100);
        upload.send_data(Bytes::from_static(b"abc"), true).unwrap();
        let more = poll_fn(|cx| answer.poll_informational(cx)).await;
        assert!(more.is_none(), "{path}: {more:?}");
        assert_eq!(answer.await.unwrap().status(), 200);
        let seen = &backend.seen()[number];
        assert_eq!(
            (seen.body.as_str(), seen.field("expect")),
            ("3\r\nabc\r\n0\r\n\r\n", Some("100-continue"))
        );
    }
    // Whoever is refused at once need not send anything.
    let mut expects = expecting("/back/");
    expects
        .headers_mut()
        .insert("content-length", "1000".parse().unwrap());
    let (answer, _upload) = send.send_request(expects, false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 413);
}

#[tokio::test]
async fn a_body_that_is_refused_can_be_sent_to_its_end() {
    let (_backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    for announced in [true, false] {
        let mut large = request(Method::POST, "/back/");
        if announced {
            large
                .headers_mut()
                .insert("content-length", "2000000".parse().unwrap());
        }
        let (answer, mut upload) = send.send_request(large, false).unwrap();
        // More than the windows hold: it is read, and nothing is reset.
        let mut left = Bytes::from(vec![b'x'; 2_000_000]);
        while !left.is_empty() {
            upload.reserve_capacity(left.len());
            let room = tokio::time::timeout(PATIENCE, poll_fn(|cx| upload.poll_capacity(cx)));
            let room = room.await.unwrap().expect("not reset").unwrap();
            let piece = left.split_to(room.min(left.len()));
            upload.send_data(piece, left.is_empty()).unwrap();
        }
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 413, "{announced}");
        assert!(body(answer).await.unwrap().starts_with(b"<!doctype html>"));
    }
}

#[tokio::test]
async fn a_slow_body_that_is_refused_can_be_sent_to_its_end() {
    let (_backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let (answer, mut upload) = send.send_request(request(Method::POST, "/back/"), false).unwrap();
    upload.send_data(Bytes::from(vec![b'x'; 2_000]), false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 413);
    // For longer than one that says nothing is listened to.
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        upload.send_data(Bytes::from_static(b"more"), false).unwrap();
    }
    let reset = tokio::time::timeout(Duration::from_millis(100), poll_fn(|cx| upload.poll_reset(cx)));
    assert!(reset.await.is_err(), "it is still listened to");
    upload.send_data(Bytes::new(), true).unwrap();
}

#[tokio::test]
async fn a_body_that_is_announced_as_empty_and_is_not_goes_nowhere() {
    let (backend, address) = Backend::tcp().await;
    let (house, client) = house(Some(address), "");
    let mut send = connect(&house, client).await.ready().await.unwrap();
    let mut empty = request(Method::POST, "/back/");
    empty.headers_mut().insert("content-length", "0".parse().unwrap());
    let (answer, mut upload) = send.send_request(empty.clone(), false).unwrap();
    upload.send_data(Bytes::from_static(b"not empty"), true).unwrap();
    let answer = answer.await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 400));
    assert_eq!(backend.seen().len(), 0);
    // One that is empty may say so by a frame of its own.
    let (answer, mut upload) = send.send_request(empty, false).unwrap();
    upload.send_data(Bytes::new(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    assert_eq!(backend.seen()[0].field("content-length"), Some("0"));
}
