//! Servers behind the site that speak HTTP themselves.

mod balance;
mod failing;
mod health;
mod http2;
mod https;
mod names;

use std::time::{Duration, Instant};

use crate::harness::{
    Connection, Site,
    certificate::Certificate,
    curl::VERSIONS,
    upstream::{Upstream, nobody},
    wait_for,
};

/// A site with everything at one upstream.
fn site(test: &str, servers: &[&str], keys: &str) -> Site {
    site_of(test, &format!("{servers:?}"), keys)
}

/// The same, with the servers as the configuration has them.
fn site_of(test: &str, servers: &str, keys: &str) -> Site {
    let mut site = Site::new(test);
    site.config(&format!(
        r#"
        [upstream.back]
        servers = {servers}
        {keys}

        [[site]]
        body_max = "40MiB"
        headers = {{ "X-Site" = "yes" }}
        upstream = "back"
        [[site.route]]
        path = "/cut/"
        upstream = "back"
        strip = true
        "#
    ));
    site.start();
    site
}

#[test]
fn servers_are_asked_in_turn() {
    let (a, b) = (Upstream::tcp("a"), Upstream::tcp("b"));
    let mut site = site("upstream-turn", &[&a.url, &b.url], "");
    let mut client = site.connect();
    let names: String = (0..10).map(|_| client.get("/", &[]).text()).collect();
    assert!(names == "ababababab" || names == "bababababa", "{names}");
    let records = site.records(10);
    let served = |url: &str| records.iter().filter(|record| record["upstream"] == url).count();
    assert_eq!((served(&a.url), served(&b.url)), (5, 5));
    assert!(site.stop().success());
}

#[test]
fn the_server_with_the_fewest_requests_is_asked() {
    let (a, b) = (Upstream::tcp("a"), Upstream::tcp("b"));
    let mut site = site(
        "upstream-least",
        &[&a.url, &b.url],
        "balance = \"least-connections\"",
    );
    let mut held = site.connect();
    held.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let holds = |server: &Upstream| server.received().iter().any(|request| request.target == "/held");
    wait_for("one of them holds a request", || {
        (holds(&a) || holds(&b)).then_some(())
    });
    let free = if holds(&a) { "b" } else { "a" };
    let mut client = site.connect();
    for _ in 0..6 {
        assert_eq!(client.get("/", &[]).text(), free);
    }
    a.release();
    b.release();
    assert_eq!(held.read_response("GET").unwrap().status, 200);
    assert!(site.stop().success());
}

#[test]
fn a_server_on_a_unix_socket_is_a_server() {
    let directory = std::env::temp_dir().join(format!("upstream-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let server = Upstream::unix("local", &directory.join("back.sock"));
    let mut site = site("upstream-unix", &[&server.url], "");
    let mut client = site.connect();
    let answer = client.request("POST", "/echo", &[], b"over a path");
    assert_eq!((answer.status, answer.text().as_str()), (200, "over a path"));
    assert_eq!(client.get("/x", &[]).text(), "local");
    assert_eq!(site.records(2)[0]["upstream"], server.url.as_str());
    assert!(site.stop().success());
    drop(server);
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn a_server_that_is_down_is_passed_over() {
    let alive = Upstream::tcp("alive");
    let (dead, deader) = (nobody(), nobody());
    let mut site = site("upstream-down", &[&dead, &alive.url, &deader], "");
    let mut client = site.connect();
    for _ in 0..12 {
        // What has not been sent may be sent elsewhere, whatever the method.
        let answer = client.request("POST", "/echo", &[], b"precious");
        assert_eq!((answer.status, answer.text().as_str()), (200, "precious"));
    }
    assert_eq!(alive.received().len(), 12);
    assert_eq!(site.records(12).len(), 12);
    assert!(site.stop().success());
}

#[test]
fn when_all_are_down_the_client_gets_a_502_and_the_log_a_line() {
    let (dead, deader) = (nobody(), nobody());
    let mut site = site("upstream-502", &[&dead, &deader], "");
    let mut client = site.connect();
    let answer = client.get("/x", &[]);
    assert_eq!(answer.status, 502);
    if answer.header("connection") == Some("close") {
        client = site.connect();
    }
    assert_eq!(client.request("POST", "/x", &[], b"body").status, 502);
    let records = site.records(2);
    for record in records {
        assert_eq!(
            (&record["status"], &record["outcome"]),
            (&502.into(), &"upstream_failed".into()),
            "{record}"
        );
    }
    assert!(site.stop().success());
}

#[test]
fn a_server_that_breaks_off_is_a_502() {
    let server = Upstream::tcp("a");
    let mut site = site("upstream-break", &[&server.url], "");
    let answer = site.connect().request("POST", "/break", &[], b"x");
    assert_eq!(answer.status, 502);
    let received = server.received();
    assert_eq!(received.len(), 1, "it may have been done: not sent twice");
    assert_eq!(received[0].method, "POST");
    assert_eq!(site.records(1)[0]["outcome"], "upstream_failed");
    assert!(site.stop().success());
}

#[test]
fn a_server_that_keeps_silent_is_a_504() {
    let server = Upstream::tcp("a");
    let mut site = site("upstream-silent", &[&server.url], "read_timeout = \"1s\"");
    let answer = site.connect().get("/held", &[]);
    assert_eq!(answer.status, 504);
    assert_eq!(site.records(1)[0]["status"], 504);
    assert!(site.stop().success());
}

#[test]
fn bodies_pass_both_ways_whatever_their_size_and_framing() {
    let server = Upstream::tcp("a");
    let mut site = site("upstream-bodies", &[&server.url], "");
    let mut client = site.connect();
    for size in [0, 1, 65_536, 100_000, 30 << 20] {
        let body: Vec<u8> = (0..size).map(|i: usize| ((i * 31) >> 3) as u8).collect();
        let answer = client.request("POST", "/echo", &[("Content-Length", &size.to_string())], &body);
        assert_eq!(answer.status, 200);
        assert!(answer.body == body, "{size} bytes");
    }
    let answer = client.request(
        "POST",
        "/echo",
        &[("Transfer-Encoding", "chunked")],
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    assert_eq!((answer.status, answer.text().as_str()), (200, "abcde"));
    let answer = client.get("/big?20000000", &[]);
    assert_eq!((answer.status, answer.body.len()), (200, 20_000_000));
    let answer = client.request("HEAD", "/big?1000", &[], b"");
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("1000"))
    );
    drop(client);
    let records = site.records(8);
    assert_eq!(
        (&records[4]["bytes_in"], &records[4]["bytes_out"]),
        (&(30 << 20).into(), &(30 << 20).into())
    );
    assert_eq!(
        (&records[6]["bytes_in"], &records[6]["bytes_out"]),
        (&0.into(), &20_000_000.into())
    );
    assert!(site.stop().success());
}

#[test]
fn answers_pass_in_every_framing() {
    let server = Upstream::tcp("a");
    let mut site = site("upstream-framing", &[&server.url], "");
    let mut client = site.connect();
    assert_eq!(client.get("/raw?chunked", &[]).text(), "abcde");
    assert_eq!(client.get("/raw?close", &[]).text(), "up to the end");
    let answer = client.get("/raw?empty", &[]);
    assert_eq!((answer.status, answer.header("x-kept")), (204, Some("yes")));
    let answer = client.get("/raw?unchanged", &[]);
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"x\"")));
    assert_eq!(client.get("/raw?hints", &[]).text(), "after");
    assert_eq!(client.get("/x", &[]).text(), "a", "the connection is in step");

    // An answer that breaks off must not look whole.
    let mut client = site.connect();
    client.send("GET /raw?short HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(client.read_response("GET").is_err());
    let records = site.records(7);
    assert_eq!(records[6]["outcome"], "upstream_failed", "{}", records[6]);
    assert!(
        records[..6].iter().all(|record| record["outcome"] == "ok"),
        "{records:#?}"
    );
    assert!(site.stop().success());
}

#[test]
fn early_hints_of_a_server_pass_to_clients_of_either_version() {
    let server = Upstream::tcp("a");
    let mut site = Site::certified(
        "upstream-hints",
        &format!(
            "[upstream.back]\nservers = [\"{}\"]\n[[site]]\nhttps = \"off\"\nupstream = \"back\"\n",
            server.url
        ),
    );
    site.start();
    for version in VERSIONS {
        let answer = site.curl(version, "/raw?hints", &["--dump-header", "heads"]);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "after"),
            "{version}"
        );
        let heads = std::fs::read_to_string(site.directory.join("heads")).unwrap();
        let (hint, rest) = heads.split_once("\r\n\r\n").unwrap();
        assert!(
            hint.contains(" 103") && hint.contains("</a.css>"),
            "{version}: {heads}"
        );
        assert!(rest.contains(" 200"), "{version}: {heads}");
    }
    assert!(site.stop().success());
}

#[test]
fn answers_that_are_none_are_refused_and_nobody_gets_another_ones() {
    let server = Upstream::tcp("a");
    let mut site = site("upstream-bad", &[&server.url], "");
    let mut client = site.connect();
    assert_eq!(client.get("/raw?trailers", &[]).text(), "abc");
    assert_eq!(client.get("/raw?twice", &[]).text(), "one");
    for bad in ["garbage", "lengths"] {
        assert_eq!(client.get(&format!("/raw?{bad}"), &[]).status, 502, "{bad}");
    }
    assert_eq!(client.get("/x", &[]).text(), "a", "not what was said unasked");
    // The first two share a connection; each that has said too much or nonsense is given up.
    assert_eq!(server.connections().0, 4);
    let outcomes: Vec<_> = site
        .records(5)
        .into_iter()
        .map(|record| record["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["ok", "ok", "upstream_failed", "upstream_failed", "ok"]);
    assert!(site.stop().success());
}

#[test]
fn limits_and_deadlines_of_bodies_hold_for_upstreams_too() {
    let server = Upstream::tcp("a");
    let mut site = Site::new("upstream-limits");
    site.config(&format!(
        r#"
        [[listener]]
        address = "127.0.0.1:{{port}}"
        limits = {{ body_timeout = "1s" }}

        [upstream.back]
        servers = ["{}"]

        [[site]]
        body_max = "1k"
        upstream = "back"
        "#,
        server.url
    ));
    site.start();
    let mut client = site.connect();
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response("POST").unwrap().status, 413);
    let mut client = site.connect();
    client
        .send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n")
        .unwrap();
    client.send([b'x'; 0x800]).unwrap();
    client.send("\r\n").unwrap();
    assert_eq!(client.read_response("POST").unwrap().status, 413);
    let mut client = site.connect();
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        .unwrap();
    assert_eq!(client.read_response("POST").unwrap().status, 408);
    let status: Vec<_> = site
        .records(3)
        .iter()
        .map(|record| record["status"].clone())
        .collect();
    assert_eq!(status, [413, 413, 408]);
    assert!(site.stop().success());
}

#[test]
fn the_path_is_passed_as_it_came_or_without_the_prefix() {
    let server = Upstream::tcp("a");
    let mut site = site("upstream-path", &[&server.url], "");
    let mut client = site.connect();
    let answer = client.get("/a%2Fb/c%20d?q=%41&x", &[("Host", "shop.example")]);
    assert_eq!(answer.header("x-site"), Some("yes"), "fields of the route");
    assert_eq!(
        server.received_at("/a%2Fb/c%20d?q=%41&x").header("host"),
        "shop.example"
    );
    client.get("/cut/off%20x?q", &[]);
    server.received_at("/off%20x?q");
    client.get("/cut/", &[]);
    server.received_at("/");
    // What is left of the path stays as it was encoded, unless it would mean another one.
    for (sent, passed) in [
        ("/cut/api/queues/%2F/q", "/api/queues/%2F/q"),
        ("/cut//http://x.test/%41?%2F", "//http://x.test/%41?%2F"),
        ("/%63ut/%2F", "/%2F"),
        ("//cut/%2Fa", "/a"),
        ("/cut/%2e%2e/cut/b%20c", "/b%20c"),
    ] {
        client.get(sent, &[]);
        server.received_at(passed);
    }
    assert!(site.stop().success());
}

#[test]
fn a_web_socket_is_passed_through() {
    let server = Upstream::tcp("a");
    let mut site = Site::new("upstream-websocket");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    site.config(&format!(
        r#"
        [tls]
        certificates = [{{ certificate = "localhost.crt", key = "localhost.key" }}]
        [[listener]]
        address = "127.0.0.1:{{port}}"
        [[listener]]
        address = "127.0.0.1:{{tls_port}}"
        tls = true
        [upstream.back]
        servers = ["{}"]
        [[site]]
        https = "off"
        upstream = "back"
        "#,
        server.url
    ));
    site.start();
    talk(&mut site.connect());
    talk(&mut Connection::open_tls(
        site.tls_port,
        certificate.client(),
        "localhost",
    ));
    for record in site.records(2) {
        assert_eq!(
            (&record["status"], &record["target"]),
            (&101.into(), &"/chat".into())
        );
    }
    assert!(site.stop().success());
}

/// Upgrades, and has every byte sent back: they are only bytes, in both directions, while the connection lives.
fn talk(client: &mut Connection) {
    upgrade(client);
    for message in [b"\x81\x05hello".as_slice(), &[0; 3000], b"\x88\x00"] {
        echoed(client, message);
    }
}

fn upgrade(client: &mut Connection) {
    client
        .send(
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let answer = client.read_head().unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.header("upgrade").map(str::to_ascii_lowercase).as_deref(),
        Some("websocket")
    );
}

#[track_caller]
fn echoed(client: &mut Connection, message: &[u8]) {
    client.send(message).unwrap();
    assert_eq!(take(client, message.len()), message);
}

#[track_caller]
fn take(client: &mut Connection, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut at = 0;
    while at < length {
        let read = client.read(&mut bytes[at..]).unwrap();
        assert_ne!(read, 0, "cut after {at} bytes");
        at += read;
    }
    bytes
}

#[test]
fn a_websocket_of_a_server_outlasts_a_reload_and_is_told_of_a_stop() {
    let server = Upstream::tcp("a");
    let mut site = site("upstream-websocket-stop", &[&server.url], "");
    let mut clients = [site.connect(), site.connect()];
    for client in &mut clients {
        upgrade(client);
    }
    site.signal("HUP");
    site.wait_for_log("proxy drains");
    let [answers, silent] = &mut clients;
    for client in [&mut *answers, silent] {
        echoed(client, b"\x81\x05hello");
    }
    let begun = Instant::now();
    site.signal("TERM");
    let restart = b"\x88\x02\x03\xf4";
    for client in [&mut *answers, silent] {
        assert_eq!(take(client, restart.len()), restart);
    }
    answers.send(restart).unwrap();
    assert!(answers.closed());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(site.wait().success());
    assert!(silent.closed());
    // The default of `grace` is 30 s.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    for record in site.records(2) {
        assert_eq!(
            (&record["status"], &record["outcome"]),
            (&101.into(), &"ok".into())
        );
    }
}

#[test]
fn connections_to_a_server_are_kept_and_a_stale_one_costs_nothing() {
    let server = Upstream::tcp("a");
    let mut site = site("upstream-keep", &[&server.url], "");
    let mut client = site.connect();
    for _ in 0..5 {
        assert_eq!(client.get("/", &[]).status, 200);
    }
    assert_eq!(server.connections(), (1, 0));
    // The server closes it without a word beforehand; even what must not be sent twice comes through.
    assert_eq!(client.get("/raw?last", &[]).text(), "last");
    wait_for("the server has closed it", || {
        (server.connections().1 == 1).then_some(())
    });
    let answer = client.request("POST", "/echo", &[], b"precious");
    assert_eq!((answer.status, answer.text().as_str()), (200, "precious"));
    assert_eq!(server.connections().0, 2);
    // The client's own connection is kept beside it.
    let records = site.records(7);
    assert!(
        records
            .iter()
            .all(|record| record["client_port"] == records[0]["client_port"])
    );
    assert!(site.stop().success());
}

#[test]
fn a_client_that_leaves_is_logged_once() {
    let server = Upstream::tcp("a");
    let mut site = site("upstream-gone", &[&server.url], "");
    let mut client = Connection::open(site.port);
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("the server has it", || {
        (!server.received().is_empty()).then_some(())
    });
    client.set_patience(Duration::from_millis(100));
    drop(client);
    server.release();
    let record = &site.records(1)[0];
    assert_eq!(record["target"], "/held");
    assert!(site.stop().success());
    assert_eq!(site.records(1).len(), 1);
}

#[test]
fn a_broken_first_chunk_is_a_bad_gateway_and_a_later_minor_version_is_read() {
    let back = Upstream::tcp("a");
    let mut site = site("upstream-grammar", &[&back.url], "");
    for broken in ["broken", "broken-size", "broken-extension", "other-version"] {
        assert_eq!(site.get(&format!("/raw?{broken}")).status, 502, "{broken}");
    }
    for later in ["later", "latest"] {
        let answer = site.get(&format!("/raw?{later}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "later"), "{later}");
    }
    assert!(site.stop().success());
}
