//! HTTP/1 over the wire: what is refused, what is kept open, what is given how long.

use crate::harness::Site;

mod bodies;

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

/// Who hides the name of the server from scanners hides it in the answer to what scanners send.
#[test]
fn a_head_that_cannot_be_read_is_answered_with_the_server_field_of_all_sites() {
    let site_with = |first: &str, second: &str| {
        let mut site = Site::new("http1-server");
        site.config(&format!(
            "[[listener]]\naddress = \"127.0.0.1:{{port}}\"\n\
             [[site]]\nhosts = [\"a.example\"]\nrespond = \"a\"\nheaders = {{ {first} }}\n\
             [[site]]\nhosts = [\"b.example\"]\nrespond = \"b\"\nheaders = {{ {second} }}\n"
        ));
        site.start();
        site
    };
    for (first, second, expected) in [
        ("Server = \"\"", "server = \"\"", None),
        ("Server = \"theirs\"", "Server = \"theirs\"", Some("theirs")),
        ("Server = \"\"", "X = \"1\"", Some("appliance")),
        ("Server = \"\"", "Server = \"theirs\"", Some("appliance")),
    ] {
        let mut site = site_with(first, second);
        for head in [
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "GET / HTTP/3.0\r\nHost: a.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n",
        ] {
            let mut client = site.connect();
            client.send(head.as_bytes()).unwrap();
            let answer = client.read_response("GET").unwrap();
            assert!(answer.status >= 400, "{head}");
            assert_eq!(answer.header("server"), expected, "{first}, {second}: {head}");
        }
        assert!(site.stop().success());
    }
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
fn what_is_no_request_line_is_refused_at_once() {
    let mut site = Site::new("http1-bare");
    site.config("[[site]]\nrespond = \"x\"\n");
    site.start();
    for line in [
        "GET /x\r\n",
        "GET\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET /a b HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nX: unfinished",
    ] {
        let mut client = site.connect();
        client.set_patience(std::time::Duration::from_secs(10));
        client.send(line).unwrap();
        assert_eq!(client.read_response("GET").unwrap().status, 400, "{line:?}");
    }
    // A good one may come in any pieces.
    let mut client = site.connect();
    for piece in "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nX-B: 2\r\n\r\n".split_inclusive(['\n', ' '])
    {
        client.send(piece).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(client.read_response("GET").unwrap().status, 200);
    drop(client);
    assert!(site.stop().success());
}
