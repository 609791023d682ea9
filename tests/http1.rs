//! HTTP/1 over the wire: what is refused, what is kept open, what is given how long.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Connection, Site};

fn site(test: &str, more: &str) -> Site {
    let site = Site::new(test);
    site.write("static/hello.txt", "hello\n");
    site.config(&format!(
        r#"
        [app.echo]
        wsgi = "wsgi:application"
        directory = "{{apps}}/echo"
        python = "{{python}}"
        workers = 1

        [[site]]
        body_max = "100k"
        respond = "home\n"
        [[site.route]]
        path = "/echo"
        app = "echo"
        [[site.route]]
        path = "/static/"
        files = "static/"

        [[listener]]
        address = "127.0.0.1:{{port}}"
        {more}
        "#
    ));
    site
}

/// Sends a head and gives the status of the answer; the connection must end after it.
#[track_caller]
fn refused(site: &Site, head: &[u8]) -> u16 {
    let mut client = site.connect();
    client.send(head).unwrap();
    let answer = client
        .read_response("GET")
        .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(head)));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.closed(), "open after {:?}", String::from_utf8_lossy(head));
    answer.status
}

#[test]
fn heads_that_break_the_rules_are_refused_and_logged_once() {
    let mut site = site("http1-refused", "");
    site.start();
    let cases: &[(u16, &[u8])] = &[
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\nHost: a\n\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
        (400, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET /\r\n\r\n"),
        (400, b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
        (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
        (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx"),
        (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx"),
        (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nx"),
        (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        (501, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (400, b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (405, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        (417, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: coffee\r\n\r\nx"),
        // TLS and rubbish on a plain port.
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ];
    for &(status, head) in cases {
        assert_eq!(
            refused(&site, head),
            status,
            "{:?}",
            String::from_utf8_lossy(head)
        );
    }
    let records = site.records(cases.len());
    let logged: Vec<_> = records
        .iter()
        .map(|record| record["status"].as_u64().unwrap())
        .collect();
    assert_eq!(
        logged,
        cases
            .iter()
            .map(|(status, _)| u64::from(*status))
            .collect::<Vec<_>>()
    );
    assert!(
        records.iter().all(|record| record["outcome"] == "refused"),
        "{records:#?}"
    );
    assert!(site.stop().success());
}

#[test]
fn large_heads_are_refused_with_their_own_status() {
    let mut site = site(
        "http1-large",
        "limits = { target_max = \"1k\", head_max = \"4k\", headers_max = 10 }",
    );
    site.start();
    let get = |target: &str, fields: &str| {
        refused(
            &site,
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes(),
        )
    };
    assert_eq!(get(&format!("/{}", "a".repeat(2000)), ""), 414);
    assert_eq!(get(&format!("/{}", "a".repeat(20_000)), ""), 414);
    assert_eq!(get("/", &format!("X: {}\r\n", "a".repeat(5000))), 431);
    assert_eq!(get("/", &"X: y\r\n".repeat(11)), 431);
    // An end that never comes is not waited for.
    assert_eq!(
        refused(
            &site,
            &[b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 6000]].concat()
        ),
        431
    );
    let status: Vec<_> = site
        .records(5)
        .iter()
        .map(|record| record["status"].clone())
        .collect();
    assert_eq!(status, [414, 414, 431, 431, 431]);
    // Just below the limits all is well.
    let mut client = site.connect();
    let fields = [("X-Long", "a".repeat(3000))];
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(client.get(&format!("/{}", "a".repeat(900)), &fields).status, 200);
    assert!(site.stop().success());
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let mut site = site("http1-pipeline", "");
    site.start();
    let mut client = site.connect();
    client
        .send(
            "GET /static/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n\
             POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none\
             POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\
             HEAD /static/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n\
             GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .unwrap();
    let mut next = |method| client.read_response(method).unwrap();
    assert_eq!(next("GET").text(), "hello\n");
    assert_eq!(next("POST").text(), "one");
    assert_eq!(next("POST").text(), "two");
    assert_eq!(next("HEAD").header("content-length"), Some("6"));
    assert_eq!(next("GET").text(), "home\n");
    let records = site.records(5);
    assert!(
        records
            .iter()
            .all(|record| record["client_port"] == records[0]["client_port"])
    );
    assert!(site.stop().success());
}

#[test]
fn a_body_nobody_reads_does_not_become_the_next_request() {
    let mut site = site("http1-unread", "");
    site.start();
    let mut client = site.connect();
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = client.request("POST", "/static/hello.txt", &[], smuggled);
    assert_eq!(answer.status, 405);
    let answer = client.request("POST", "/", &[], smuggled);
    assert_eq!(answer.text(), "home\n");
    assert_eq!(client.get("/static/hello.txt", &[]).text(), "hello\n");
    assert_eq!(site.records(3).len(), 3);
    assert!(site.stop().success());
}

#[test]
fn a_connection_stays_open_as_long_as_both_want() {
    let mut site = site(
        "http1-keep",
        "limits = { requests_max = 3, idle_timeout = \"1s\" }",
    );
    site.start();
    let mut client = site.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/", &[]).header("connection"), None);
    }
    assert_eq!(client.get("/", &[]).header("connection"), Some("close"));
    assert!(client.closed(), "after the most requests it serves");

    let mut client = site.connect();
    assert_eq!(
        client.get("/", &[("Connection", "close")]).header("connection"),
        Some("close")
    );
    assert!(client.closed(), "as the client asked");

    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(client.read_response("GET").unwrap().text(), "home\n");
    assert!(client.closed(), "as HTTP/1.0 has it");

    let mut client = site.connect();
    client
        .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .unwrap();
    let answer = client.read_response("GET").unwrap();
    assert_eq!(
        answer
            .header("connection")
            .map(str::to_ascii_lowercase)
            .as_deref(),
        Some("keep-alive")
    );
    assert_eq!(client.get("/", &[]).text(), "home\n");

    let mut client = site.connect();
    assert_eq!(client.get("/", &[]).status, 200);
    assert!(client.closed(), "after idle_timeout");
    // An idle connection has no request, and so no line.
    assert_eq!(site.records(8).len(), 8);
    assert!(site.stop().success());
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let mut site = site("http1-half", "");
    site.start();
    let mut client = site.connect();
    client
        .send("GET /static/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    client.finish_sending();
    assert_eq!(client.read_response("GET").unwrap().text(), "hello\n");
    assert!(site.stop().success());
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let mut site = site("http1-bytes", "");
    site.start();
    let mut client = site.connect();
    for byte in b"\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" {
        client.send([*byte]).unwrap();
    }
    assert_eq!(client.read_response("POST").unwrap().text(), "hi");
    assert!(site.stop().success());
}

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
fn options_of_the_whole_server_and_absolute_targets_are_understood() {
    let mut site = site("http1-forms", "");
    site.start();
    let mut client = site.connect();
    client
        .send("GET http://other.example/static/hello.txt HTTP/1.1\r\nHost: ignored\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response("GET").unwrap().text(), "hello\n");
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(client.read_response("OPTIONS").unwrap().status < 500);
    assert_eq!(site.records(2)[0]["host"], "other.example");
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
