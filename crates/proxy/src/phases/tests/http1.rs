//! HTTP/1 requests to upstreams.

use std::net::SocketAddr;

use super::{House, backend::Backend, has};

/// A house whose only route leads to these servers.
fn house(servers: &[SocketAddr], more: &str) -> House {
    let servers: Vec<_> = servers.iter().map(|server| format!("http://{server}")).collect();
    House::open(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.limits]\nbody_timeout = \"200ms\"\n\
         [upstream.back]\nservers = {servers:?}\nread_timeout = \"2s\"\n\
         [[site]]\nupstream = \"back\"\nbody_max = \"64B\"\n{more}"
    ))
}

/// A port on which nobody listens.
fn closed() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_with_the_client_told() {
    let (backend, address) = Backend::tcp().await;
    let house = house(&[address], "headers = { X-Frame-Options = \"DENY\" }\n");
    let mut client = house.connect().await;
    client
        .send(
            "GET /a%20b/../c?x=%2f HTTP/1.1\r\nHost: Example.ORG:81\r\nX-Forwarded-For: 6.6.6.6\r\n\
             X_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nConnection: x-mine\r\nX-Mine: 1\r\nTE: trailers\r\n\
             Accept: */*\r\n\r\n",
        )
        .await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "ok");
    assert!(
        has(&head, "Server: appliance") && has(&head, "X-Frame-Options: DENY"),
        "{head}"
    );
    let seen = &backend.seen()[0];
    assert_eq!(seen.line(), "GET /a%20b/../c?x=%2f HTTP/1.1");
    assert_eq!(seen.field("host"), Some("Example.ORG:81"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("accept"), Some("*/*"));
    for gone in ["x_forwarded_for", "x-mine", "te", "connection"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    let line = &house.lines(1).await[0];
    let id = seen.field("x-request-id").unwrap();
    assert!(
        line.contains(id) && line.contains(&format!("\"upstream\":\"http://{address}\"")),
        "{line}"
    );
    assert!(
        line.contains("\"status\":200") && line.contains("\"bytes_out\":2"),
        "{line}"
    );
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let (backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.answer().await.1, "ok");
    }
    assert!(
        backend.seen().iter().all(|seen| seen.connection == 0),
        "{:?}",
        backend.seen()
    );
    house.lines(3).await;
}

#[tokio::test]
async fn a_wish_for_another_protocol_than_websocket_is_passed_over() {
    let (backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABk\r\nContent-Length: 0\r\n\r\n";
    // The second one is sent ahead, and the third one on the same connection.
    client.send(&request.repeat(2)).await;
    for _ in 0..2 {
        assert_eq!(client.answer().await.1, "ok");
    }
    client.send(request).await;
    assert_eq!(client.answer().await.1, "ok");
    for seen in backend.seen() {
        for gone in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(seen.field(gone), None, "{gone}");
        }
    }
    house.lines(3).await;
}

#[tokio::test]
async fn an_old_client_gets_no_interim_answer() {
    let (backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    client
        .send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "ok");
    assert_eq!(backend.seen()[0].field("expect"), None);
    house.lines(1).await;
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let (backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    client
        .send(
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
             POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n0\r\n\r\n\
             GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    for _ in 0..3 {
        assert_eq!(client.answer().await.1, "ok");
    }
    // Chunks may be joined on the way.
    assert!(
        ["3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", "6\r\nonetwo\r\n0\r\n\r\n"]
            .contains(&&*client.answer().await.1)
    );
    let bodies: Vec<_> = backend.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["", "abc", "2\r\nde\r\n0\r\n\r\n", ""]);
    house.lines(4).await;
}

#[tokio::test]
async fn a_server_that_refuses_is_passed_over_whatever_the_method() {
    let (_backend, address) = Backend::tcp().await;
    let house = house(&[closed(), address], "");
    for _ in 0..3 {
        let mut client = house.connect().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
            .await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
    }
    for line in house.lines(3).await {
        assert!(line.contains(&address.to_string()), "{line}");
    }
}

#[tokio::test]
async fn no_server_is_a_502_and_a_silent_one_a_504() {
    let house_of_none = house(&[closed(), closed()], "");
    let mut client = house_of_none.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 502"));
    let line = &house_of_none.lines(1).await[0];
    assert!(
        line.contains("upstream_failed") && line.contains("\"status\":502"),
        "{line}"
    );

    let (_backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    client.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 504"));
    let line = &house.lines(1).await[0];
    assert!(
        line.contains("timeout") && line.contains("\"status\":504"),
        "{line}"
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_cut_for_the_client_too() {
    let (_backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let got = client.rest().await;
    assert!(
        got.contains("ontent-Length: 100") && got.ends_with("half"),
        "{got}"
    );
    let line = &house.lines(1).await[0];
    assert!(
        line.contains("upstream_failed") && line.contains("\"status\":200"),
        "{line}"
    );
}

#[tokio::test]
async fn fields_for_one_hop_end_here() {
    let (_backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    client.send("GET /hops HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, _) = client.answer().await;
    for gone in ["X-Hop: 1", "Keep-Alive: timeout=9", "Server: theirs"] {
        assert!(!has(&head, gone), "{head}");
    }
}

#[tokio::test]
async fn bodies_are_held_to_the_rules() {
    let (_backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let big = format!("{chunked}64\r\n{}\r\n0\r\n\r\n", "x".repeat(100));
    let broken = format!("{chunked}zz\r\n");
    let stalled = format!("{chunked}5\r\nab");
    let stalled_length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab".to_owned();
    for (request, status) in [(big, 413), (broken, 400), (stalled, 408), (stalled_length, 408)] {
        let mut client = house.connect().await;
        client.send(&request).await;
        let (head, _) = client.answer().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {head}"
        );
    }
    house.lines(4).await;
}

#[tokio::test]
async fn a_client_that_waits_for_the_word_gets_it() {
    let (backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    // From us where the server does not know it, and from the server.
    for path in ["/", "/back/asks"] {
        client
            .send(&format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
            ))
            .await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 100"));
        client.send("hi").await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
    }
    for seen in backend.seen() {
        assert_eq!(
            (seen.body.as_str(), seen.field("expect")),
            ("hi", Some("100-continue"))
        );
    }
}

#[tokio::test]
async fn a_unix_socket_serves_and_a_prefix_is_cut() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("back.sock");
    let backend = Backend::unix(&path);
    let house = House::open_in(
        directory,
        &format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream.back]\nservers = [\"unix:{}\"]\n\
             [[site]]\n[[site.route]]\npath = \"/api/\"\nupstream = \"back\"\nstrip = true\n",
            path.display()
        ),
    );
    let mut client = house.connect().await;
    client.send("GET /api/a%20b?q HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.1, "ok");
    assert_eq!(backend.seen()[0].line(), "GET /a%20b?q HTTP/1.1");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_the_server_thinks() {
    let (backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    client.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while backend.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(client);
    let line = &house.lines(1).await[0];
    assert!(
        line.contains("client_gone") && line.contains("\"status\":499"),
        "{line}"
    );
}

#[tokio::test]
async fn the_last_answer_of_a_drain_says_so() {
    let (_backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.answer().await;
    house.context.drain.start(std::time::Duration::from_secs(20));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert!(has(&head, "Connection: close"), "{head}");
    assert_eq!((body.as_str(), client.rest().await.as_str()), ("ok", ""));
    house.context.drain.idle().await;
}

#[tokio::test]
async fn what_is_cut_has_its_line() {
    let (backend, address) = Backend::tcp().await;
    let house = house(&[address], "");
    let mut client = house.connect().await;
    client.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while backend.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    house.context.drain.cut_now();
    assert_eq!(client.rest().await, "");
    house.context.drain.idle().await;
    let line = &house.lines(1).await[0];
    assert!(
        line.contains(&address.to_string()) && line.contains("\"app_us\":"),
        "{line}"
    );
}
