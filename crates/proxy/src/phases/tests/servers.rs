//! Servers behind us, played by the test itself: what they say, and when.

use std::{net::SocketAddr, time::Duration};

use tokio::net::TcpListener;

use super::{Client, House, PATIENCE, has};

/// A house whose only route leads to a server that the test plays.
struct Stage {
    house: House,
    listener: TcpListener,
}

impl Stage {
    async fn open(keys: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server: SocketAddr = listener.local_addr().unwrap();
        let house = House::open(&format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [upstream.back]\nservers = [\"http://{server}\"]\n{keys}\n\
             [[site]]\nupstream = \"back\"\nbody_max = \"1MiB\"\n"
        ));
        Self { house, listener }
    }

    /// The server's end of a connection of ours.
    async fn server(&self) -> Client {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept());
        let (stream, _) = accepted.await.expect("a connection in time").unwrap();
        Client {
            stream,
            input: Vec::new(),
        }
    }

    /// Sends a request and has the server answer it; gives both ends back.
    async fn ask(&self, request: &str, answer: &str) -> (Client, Client) {
        let mut client = self.house.connect().await;
        client.send(request).await;
        let mut server = self.server().await;
        server.until(b"\r\n\r\n").await;
        server.send(answer).await;
        (client, server)
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const PROCESSING: &str = "HTTP/1.1 102 Processing\r\n\r\n";
const EXPECTS: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One more request goes the same way.
async fn in_step(client: &mut Client, server: &mut Client) {
    client.send(GET).await;
    server.until(b"\r\n\r\n").await;
    server.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn a_server_may_answer_before_it_has_read_the_request() {
    let stage = Stage::open("").await;
    let mut client = stage.house.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    let mut server = stage.server().await;
    server.until(b"\r\n\r\nabc").await;
    server
        .send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        .await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
    assert_eq!(body, "no");
    // The rest of the body is nobody's, and the connection to the server is out of step.
    client.send(&format!("defghij{GET}")).await;
    assert_eq!(server.rest().await, "");
    let mut server = stage.server().await;
    assert!(server.until(b"\r\n\r\n").await.starts_with("GET / HTTP/1.1\r\n"));
    server.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    stage.house.lines(2).await;
}

#[tokio::test]
async fn both_directions_run_at_once() {
    let stage = Stage::open("").await;
    let mut client = stage.house.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    let mut server = stage.server().await;
    let head = server.until(b"\r\n\r\n").await;
    assert!(has(&head, "Transfer-Encoding: chunked"), "{head}");
    assert_eq!(server.take(8).await, "3\r\none\r\n");
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n")
        .await;
    client.until(b"3\r\nONE\r\n").await;
    for (up, down) in [("3\r\ntwo\r\n", "3\r\nTWO\r\n"), ("0\r\n\r\n", "0\r\n\r\n")] {
        client.send(up).await;
        assert_eq!(server.take(up.len()).await, up);
        server.send(down).await;
        assert_eq!(client.take(down.len()).await, down);
    }
    in_step(&mut client, &mut server).await;
}

#[tokio::test]
async fn what_may_be_sent_twice_survives_a_connection_that_is_closed_meanwhile() {
    let stage = Stage::open("").await;
    let (mut client, mut server) = stage.ask(GET, OK).await;
    assert_eq!(client.answer().await.1, "ok");
    for request in [
        GET.to_owned(),
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
    ] {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        client.send(&request).await;
        // It is taken, and nothing is said: it may be that nobody has read it.
        server.until(format!("\r\n\r\n{body}").as_bytes()).await;
        drop(server);
        server = stage.server().await;
        server.until(format!("\r\n\r\n{body}").as_bytes()).await;
        server.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
    }
    let lines = stage.house.lines(4).await;
    assert!(
        lines.iter().all(|line| line.contains("\"status\":200")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn what_must_not_be_sent_twice_is_not() {
    let stage = Stage::open("").await;
    let (mut client, mut server) = stage.ask(GET, OK).await;
    assert_eq!(client.answer().await.1, "ok");
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    client.send(post).await;
    server.until(b"\r\n\r\nx").await;
    drop(server);
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502"));
    // Nor is what has been answered in part, or was sent on a new connection.
    let (mut client, server) = stage.ask(GET, "HTTP/1.1 200").await;
    drop(server);
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502"));
    let (mut client, mut server) = stage.ask(GET, OK).await;
    client.answer().await;
    client.send(GET).await;
    server.until(b"\r\n\r\n").await;
    server.send("HTTP/1.1").await;
    drop(server);
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502"));
    // Nor is one whose client has been told something already.
    let (mut client, mut server) = stage.ask(GET, OK).await;
    client.answer().await;
    client.send(GET).await;
    server.until(b"\r\n\r\n").await;
    server.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 103"));
    drop(server);
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502"));
    let lines = stage.house.lines(7).await;
    let failed = lines
        .iter()
        .filter(|line| line.contains("upstream_failed"))
        .count();
    assert_eq!(failed, 4, "{lines:?}");
}

#[tokio::test]
async fn a_server_that_says_more_than_its_answer_is_not_asked_again_on_that_connection() {
    let stage = Stage::open("").await;
    let (mut client, mut server) = stage.ask(GET, &format!("{OK}{OK}")).await;
    assert_eq!(client.answer().await.1, "ok");
    assert_eq!(server.rest().await, "");
    // And once it has been kept.
    client.send(GET).await;
    let mut server = stage.server().await;
    server.until(b"\r\n\r\n").await;
    server.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    server.send(&OK.replace("ok", "no")).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        .await;
    let mut other = stage.server().await;
    other.until(b"\r\n\r\nx").await;
    other.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    assert_eq!(server.rest().await, "");
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_in_step() {
    let stage = Stage::open("").await;
    let (mut client, mut server) = stage.ask(GET, OK).await;
    client.answer().await;
    for (request, answer, status, field) in [
        (
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
            200,
            Some("Content-Length: 7"),
        ),
        (
            GET,
            "HTTP/1.1 204 No Content\r\nX-Kept: yes\r\n\r\n",
            204,
            Some("X-Kept: yes"),
        ),
        (
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"x\"\r\n\r\n",
            304,
            Some("ETag: \"x\""),
        ),
    ] {
        client.send(request).await;
        server.until(b"\r\n\r\n").await;
        server.send(answer).await;
        let head = client.until(b"\r\n\r\n").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(field.is_none_or(|field| has(&head, field)), "{head}");
    }
    in_step(&mut client, &mut server).await;
}

#[tokio::test]
async fn chunks_come_through_and_trailers_stay_here() {
    let stage = Stage::open("").await;
    let (mut client, mut server) = stage
        .ask(
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1;x=y\r\na\r\n2\r\nbc\r\n0\r\nX-Sum: 1\r\n\r\n",
        )
        .await;
    let (head, body) = client.answer().await;
    assert!(!head.to_ascii_lowercase().contains("trailer"), "{head}");
    assert_eq!(body, "3\r\nabc\r\n0\r\n\r\n");
    client.send(GET).await;
    server.until(b"\r\n\r\n").await;
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx")
        .await;
    assert!(client.rest().await.ends_with("1\r\na\r\n"));
    assert_eq!(server.rest().await, "");
}

#[tokio::test]
async fn the_end_of_the_connection_may_be_the_end_of_the_answer() {
    let stage = Stage::open("").await;
    for version in ["1.0", "1.1"] {
        let (mut client, server) = stage
            .ask(GET, &format!("HTTP/{version} 200 OK\r\nX: y\r\n\r\nto the end"))
            .await;
        client.until(b"to the end\r\n").await;
        drop(server);
        assert_eq!(client.take(5).await, "0\r\n\r\n");
        // An old server that tells the length does not keep its connection.
        client.send(GET).await;
        let mut server = stage.server().await;
        server.until(b"\r\n\r\n").await;
        server
            .send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        assert_eq!(client.answer().await.1, "ok");
        assert_eq!(server.rest().await, "");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_bad_gateway() {
    let stage = Stage::open("").await;
    let flood = PROCESSING.repeat(2000);
    let large = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(70_000));
    let bad = [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        &flood,
        &large,
    ];
    for answer in bad {
        let (mut client, mut server) = stage.ask(GET, answer).await;
        loop {
            let (head, _) = client.answer().await;
            if !head.starts_with("HTTP/1.1 102") {
                assert!(head.starts_with("HTTP/1.1 502"), "{answer:?}: {head}");
                break;
            }
        }
        assert_eq!(server.rest().await, "");
    }
    for line in stage.house.lines(bad.len()).await {
        assert!(line.contains("upstream_failed"), "{line}");
    }
}

#[tokio::test]
async fn interim_answers_come_through_and_100_does_once() {
    let stage = Stage::open("").await;
    let (mut client, _server) = stage
        .ask(
            GET,
            &format!(
                "HTTP/1.1 100 Continue\r\nX-Whose: theirs\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                 HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n{OK}"
            ),
        )
        .await;
    let head = client.until(b"\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 100") && has(&head, "X-Whose: theirs"),
        "{head}"
    );
    let head = client.until(b"\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 103") && has(&head, "Link: </a.css>"),
        "{head}"
    );
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 200") && body == "ok", "{head}");
}

#[tokio::test]
async fn a_server_may_tell_of_its_progress_as_long_as_it_takes() {
    let stage = Stage::open("").await;
    let (mut client, mut server) = stage.ask(GET, &PROCESSING.repeat(16)).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.send(&format!("{PROCESSING}{OK}")).await;
    for _ in 0..17 {
        assert_eq!(client.until(b"\r\n\r\n").await, PROCESSING);
    }
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn whether_a_client_that_waits_for_the_word_is_to_send_is_the_servers_decision() {
    let stage = Stage::open("").await;
    let mut client = stage.house.connect().await;
    client.send(EXPECTS).await;
    let mut server = stage.server().await;
    let head = server.until(b"\r\n\r\n").await;
    assert!(has(&head, "Expect: 100-continue"), "{head}");
    // The word is the server's own, and comes once, also to a client whose body goes on after the answer has
    // begun.
    server
        .send("HTTP/1.1 100 Continue\r\nX-Whose: theirs\r\n\r\n")
        .await;
    let head = client.until(b"\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 100") && has(&head, "X-Whose: theirs"),
        "{head}"
    );
    server
        .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        .await;
    let head = client.until(b"\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    client.send("hi").await;
    assert_eq!(server.take(2).await, "hi");
    server.send("ok").await;
    assert_eq!(client.take(2).await, "ok");
    in_step(&mut client, &mut server).await;

    // A refusal comes instead of the word: nothing is sent, and neither connection is used again.
    client.send(EXPECTS).await;
    server.until(b"\r\n\r\n").await;
    server
        .send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
        .await;
    let (head, body) = client.answer().await;
    assert!(
        head.starts_with("HTTP/1.1 417") && has(&head, "Connection: close"),
        "{head}"
    );
    assert_eq!((body.as_str(), server.rest().await.as_str()), ("no", ""));
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_client_that_waits_for_the_word_hears_it_from_us_where_the_server_does_not_know_it() {
    let stage = Stage::open("read_timeout = \"500ms\"").await;
    let mut client = stage.house.connect().await;
    client.send(EXPECTS).await;
    let mut server = stage.server().await;
    server.until(b"\r\n\r\n").await;
    assert_eq!(client.until(b"\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    // What the server says of it later is old news.
    server.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("hi").await;
    assert_eq!(server.take(2).await, "hi");
    server.send(OK).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 200") && body == "ok", "{head}");
    in_step(&mut client, &mut server).await;
}

#[tokio::test]
async fn a_slow_client_holds_the_server_back() {
    static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
    /// More than the sockets and the proxy hold.
    const WRITTEN_MAX: usize = 24 << 20;
    let stage = Stage::open("").await;
    let (mut client, server) = stage
        .ask(GET, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    client.until(b"\r\n\r\n").await;
    let mut written = 0;
    // All of them run on this thread: a proxy that takes what comes has every chance to.
    for _ in 0..20_000 {
        written += server.stream.try_write(&PIECE).unwrap_or(0);
        assert!(
            written < WRITTEN_MAX,
            "{written} bytes taken for a client that reads none"
        );
        tokio::task::yield_now().await;
    }
    assert!(written > 0);
    drop(client);
    let line = &stage.house.lines(1).await[0];
    assert!(line.contains("client_gone"), "{line}");
}

#[tokio::test]
async fn connections_are_not_kept_where_that_is_not_wanted() {
    let stage = Stage::open("keepalive = 0").await;
    let mut client = stage.house.connect().await;
    client.send(GET).await;
    let mut server = stage.server().await;
    assert!(has(&server.until(b"\r\n\r\n").await, "Connection: close"));
    server.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    assert_eq!(server.rest().await, "");

    // Nor by a proxy that is to leave, whose client is still served.
    let stage = Stage::open("").await;
    let mut client = stage.house.connect().await;
    client.send(GET).await;
    let mut server = stage.server().await;
    server.until(b"\r\n\r\n").await;
    stage.house.context.drain.start(Duration::from_secs(20));
    server.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
    assert_eq!(server.rest().await, "");
}

#[tokio::test]
async fn an_old_client_that_names_no_host_is_given_one() {
    let stage = Stage::open("").await;
    let mut client = stage.house.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let mut server = stage.server().await;
    assert!(has(&server.until(b"\r\n\r\n").await, "Host: 127.0.0.1"));
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        .await;
    let answer = client.rest().await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}
