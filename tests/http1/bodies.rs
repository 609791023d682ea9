//! Bodies of requests and answers: framing, limits and deadlines.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::site;
use crate::harness::{Connection, Site};

#[test]
fn a_chunked_body_arrives_whole_and_with_a_length() {
    let mut site = site("http1-chunked", "");
    site.start();
    let mut client = site.connect();
    let mut body = Vec::new();
    for piece in [1, 10, 40_000, 16] {
        body.extend_from_slice(format!("{piece:x};name=\"value\"\r\n").as_bytes());
        body.extend(vec![b'p'; piece]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\nX-Trailer: t\r\n\r\n");
    let answer = client.request("POST", "/echo", &[("Transfer-Encoding", "chunked")], &body);
    assert_eq!((answer.status, answer.header("x-told")), (200, Some("40027")));
    assert_eq!(answer.body.len(), 40_027);
    assert_eq!(client.get("/", &[]).status, 200, "the connection is in step");
    for wrong in [
        "x\r\n",
        "-1\r\n",
        "1\r\nab\r\n",
        "1\nab",
        "ffffffffffffffffff\r\n",
        "5;\r\nhello\r\n",
        "5;bad[=x\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "2 erfrf\r\nab\r\n",
    ] {
        let mut client = site.connect();
        client
            .send(format!(
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{wrong}0\r\n\r\n"
            ))
            .unwrap();
        assert_eq!(client.read_response("POST").unwrap().status, 400, "{wrong:?}");
        assert!(client.closed());
    }
    for right in [
        "5 ;a=\"x\"\r\nhello\r\n",
        "5;a;b=c\r\nhello\r\n",
        "05\r\nhello\r\n",
    ] {
        let body = format!("{right}0\r\n\r\n");
        let mut client = site.connect();
        let answer = client.request(
            "POST",
            "/echo",
            &[("Transfer-Encoding", "chunked")],
            body.as_bytes(),
        );
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "hello"),
            "{right:?}"
        );
    }
    assert!(site.stop().success());
}

/// As at gunicorn and uWSGI: what the client announces is told, and nothing is not announced by itself.
#[test]
fn a_length_of_nothing_is_told_where_it_is_announced() {
    let mut site = site("http1-length-0", "");
    site.start();
    let mut client = site.connect();
    for (method, announced, told) in [
        ("POST", "Content-Length: 0\r\n", "0"),
        ("PUT", "Content-Length: 00\r\n", "0"),
        ("GET", "Content-Length: 0\r\n", "0"),
        ("POST", "", "none"),
        ("GET", "", "none"),
    ] {
        client
            .send(format!("{method} /echo HTTP/1.1\r\nHost: a\r\n{announced}\r\n"))
            .unwrap();
        let answer = client.read_response(method).unwrap();
        assert_eq!(answer.header("x-told"), Some(told), "{method} {announced}");
    }
    assert!(site.stop().success());
}

#[test]
fn a_client_that_expects_100_continue_gets_it_when_its_body_is_wanted() {
    let mut site = site("http1-continue", "");
    site.start();
    let head = |length: usize| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut client = site.connect();
    client.send(head(4)).unwrap();
    assert_eq!(client.read_head().unwrap().status, 100);
    client.send("body").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);

    let mut client = site.connect();
    client.send(head(200 << 10)).unwrap();
    let answer = client.read_head().unwrap();
    assert_eq!(answer.status, 413, "no body that is too large is asked for");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(site.stop().success());
}

#[test]
fn a_body_past_the_limit_is_a_413_however_it_is_sent() {
    let mut site = site("http1-413", "");
    site.start();
    let mut client = site.connect();
    let answer = client.request("POST", "/echo", &[], &vec![b'x'; 100 << 10]);
    assert_eq!(
        (answer.status, answer.body.len()),
        (200, 100 << 10),
        "exactly the limit"
    );

    client
        .send(format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\nx",
            (100 << 10) + 1
        ))
        .unwrap();
    assert_eq!(
        client.read_response("POST").unwrap().status,
        413,
        "before the body was sent"
    );

    let mut client = site.connect();
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = [b"8000\r\n".as_slice(), &[b'x'; 0x8000], b"\r\n"].concat();
    for _ in 0..4 {
        client.send(&chunk).unwrap();
    }
    assert_eq!(
        client.read_response("POST").unwrap().status,
        413,
        "when too much had come"
    );

    let records = site.records(3);
    assert_eq!(
        records
            .iter()
            .map(|record| record["status"].clone())
            .collect::<Vec<_>>(),
        [200, 413, 413]
    );
    assert_eq!(records[1]["outcome"], "refused");
    assert!(site.stop().success());
}

/// Asks until the answer comes, and tells how long that took.
fn time_of(client: &mut Connection, method: &str) -> (u16, Duration) {
    let start = Instant::now();
    let answer = client.read_response(method).unwrap();
    (answer.status, start.elapsed())
}

#[test]
fn a_slow_head_and_a_body_that_stops_are_timed_out() {
    let limits = "limits = { head_timeout = \"1s\", body_timeout = \"1s\", idle_timeout = \"60s\" }";
    let mut site = site("http1-408", limits);
    site.start();
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    let (status, waited) = time_of(&mut client, "GET");
    assert!(
        status == 408 && waited >= Duration::from_millis(900),
        "{status} {waited:?}"
    );
    assert!(client.closed());

    let mut client = site.connect();
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        .unwrap();
    let (status, waited) = time_of(&mut client, "POST");
    assert!(
        status == 408 && waited >= Duration::from_millis(900),
        "{status} {waited:?}"
    );
    assert!(client.closed());

    // A connection on which nothing was ever sent is not told anything.
    let records = site.records(2);
    assert!(
        records.iter().all(|record| record["outcome"] == "client_timeout"),
        "{records:#?}"
    );
    assert_eq!(records[0]["app"], Value::Null);
    assert!(site.stop().success());
}

#[test]
fn a_body_below_the_least_rate_is_timed_out() {
    let mut site = site(
        "http1-rate",
        "limits = { body_timeout = \"1s\", body_rate_min = \"10k\" }",
    );
    site.start();
    let mut client = site.connect();
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        .unwrap();
    client.set_patience(Duration::from_millis(50));
    let start = Instant::now();
    // The pauses are far below body_timeout: only the average tells.
    let answer = loop {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the body may drip for ever"
        );
        let _ = client.send("x");
        if let Ok(answer) = client.read_response("POST") {
            break answer;
        }
    };
    assert_eq!(answer.status, 408);
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(site.records(1)[0]["outcome"], "client_timeout");
    assert!(site.stop().success());
}

#[test]
fn an_old_client_gets_no_chunks() {
    let mut site = Site::new("http1-old");
    site.config(
        r#"
        [app.stream]
        wsgi = "wsgi:application"
        directory = "{apps}/stream"
        python = "{python}"
        workers = 1

        [[site]]
        app = "stream"
        "#,
    );
    site.start();
    let mut client = site.connect();
    let answer = client.get("/", &[]);
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.text(), "one\ntwo\nthree\n");
    client
        .send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        .unwrap();
    let answer = client.read_response("GET").unwrap();
    assert_eq!(
        (
            answer.header("transfer-encoding"),
            answer.header("content-length")
        ),
        (None, None)
    );
    assert_eq!(
        answer.text(),
        "one\ntwo\nthree\n",
        "up to the end of the connection"
    );
    let mut client = site.connect();
    let answer = client.request("HEAD", "/", &[], b"");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(
        client.get("/", &[]).text(),
        "one\ntwo\nthree\n",
        "the connection is in step"
    );
    assert!(site.stop().success());
}
