//! Who the client is, and what apps and upstreams are told of it.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use serde_json::Value;

use crate::harness::{Connection, Site, upstream::Upstream};

/// A site with the `environ` application at `/` and an upstream at `/up`.
fn site(test: &str, trusted: &str, upstream: &Upstream) -> Site {
    site_with(test, &format!("trusted_proxies = [{trusted}]"), upstream)
}

/// The same, with these keys of `[server]`.
fn site_with(test: &str, keys: &str, upstream: &Upstream) -> Site {
    let mut site = Site::new(test);
    site.config(&format!(
        r#"
        [server]
        {keys}

        [app.environ]
        wsgi = "wsgi:application"
        directory = "{{apps}}/environ"
        python = "{{python}}"
        workers = 1

        [upstream.back]
        servers = ["{}"]

        [[site]]
        app = "environ"
        [[site.route]]
        path = "/up"
        upstream = "back"
        "#,
        upstream.url
    ));
    site.start();
    site
}

/// What the application is told of a request with these fields.
fn environ(site: &Site, fields: &[(&str, &str)]) -> Value {
    let answer = site.connect().get("/", fields);
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

const SPOOFED: [(&str, &str); 24] = [
    ("X-Forwarded-Prefix", "//evil.example"),
    ("X-Forwarded-Ssl", "forged"),
    ("X-Forwarded-Anything", "forged"),
    ("X-Scheme", "forged"),
    ("X-Url-Scheme", "forged"),
    ("X-Script-Name", "/forged"),
    ("X-Original-URL", "/forged"),
    ("X-Rewrite-URL", "/forged"),
    ("Front-End-Https", "forged"),
    ("X-Forwarded", "for=203.0.113.9"),
    ("X-Host", "evil.example"),
    ("X-Original-Host", "evil.example"),
    ("X-Original-URI", "/forged"),
    ("Script-Name", "/forged"),
    ("Script_Name", "/forged"),
    ("X_Forwarded_Prefix", "/forged"),
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "1"),
    ("X-Real-IP", "203.0.113.9"),
    ("Forwarded", "for=203.0.113.9;proto=https;host=evil.example"),
    ("X-Request-ID", "forged"),
    ("X_Forwarded_For", "203.0.113.9"),
];

#[test]
fn nobody_is_believed_who_is_not_trusted() {
    let upstream = Upstream::tcp("back");
    let mut site = site("forwarded-spoofed", "\"192.0.2.0/24\"", &upstream);
    let told = environ(&site, &SPOOFED);
    assert_eq!(told["REMOTE_ADDR"], "127.0.0.1");
    assert_eq!(told["wsgi.url_scheme"], "http");
    assert_eq!(told["HTTP_X_FORWARDED_FOR"], "127.0.0.1");
    assert_eq!(told["HTTP_X_REAL_IP"], "127.0.0.1");
    assert_eq!(told["HTTP_X_FORWARDED_PROTO"], "http");
    assert_eq!(told["HTTP_X_FORWARDED_HOST"], "localhost");
    assert_eq!(told["SERVER_NAME"], "localhost");
    let all = told.to_string();
    for spoofed in ["203.0.113.9", "evil.example", "forged"] {
        assert!(!all.contains(spoofed), "{all}");
    }

    let mut client = site.connect();
    assert_eq!(client.get("/up?1", &SPOOFED).status, 200);
    let received = upstream.received_at("/up?1");
    assert_eq!(received.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(received.header("x-real-ip"), "127.0.0.1");
    assert_eq!(received.header("x-forwarded-proto"), "http");
    assert_eq!(received.header("x-forwarded-host"), "localhost");
    assert_eq!(received.header("x-forwarded-port"), "80");
    assert_eq!(
        received.header("forwarded"),
        "for=127.0.0.1;proto=http;host=\"localhost\""
    );
    assert!(received.all("x_forwarded_for").is_empty());
    let all = format!("{received:?}");
    assert!(
        !all.contains("203.0.113.9") && !all.contains("evil.example") && !all.contains("forged"),
        "{all}"
    );

    let records = site.records(2);
    assert!(
        records
            .iter()
            .all(|record| record["client"] == "127.0.0.1" && record["scheme"] == "http")
    );
    assert!(site.stop().success());
}

#[test]
fn a_websocket_to_an_upstream_carries_no_word_of_a_stranger_either() {
    let upstream = Upstream::tcp("back");
    let mut site = site("forwarded-upgrade", "\"192.0.2.0/24\"", &upstream);
    let mut fields = vec![
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("CF-Connecting-IP", "192.0.2.1"),
    ];
    fields.extend_from_slice(&SPOOFED);
    assert_eq!(site.connect().get("/up?ws", &fields).status, 101);
    let received = upstream.received_at("/up?ws");
    assert_eq!(received.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(received.header("cf-connecting-ip"), "192.0.2.1");
    let all = format!("{received:?}");
    for spoofed in ["203.0.113.9", "evil.example", "forged"] {
        assert!(!all.contains(spoofed), "{all}");
    }
    assert!(site.stop().success());
}

#[test]
fn names_with_an_underscore_pass_where_the_key_says_so() {
    let upstream = Upstream::tcp("back");
    let mut site = site_with(
        "forwarded-underscores",
        "underscores_in_headers = true",
        &upstream,
    );
    let mut fields = vec![("X_Token", "abc"), ("x-two", "1"), ("X_Two", "2")];
    fields.extend_from_slice(&SPOOFED);
    let told = environ(&site, &fields);
    assert_eq!(told["HTTP_X_TOKEN"], "abc");
    assert_eq!(told["HTTP_X_TWO"], "1,2");
    let all = told.to_string();
    for spoofed in ["203.0.113.9", "evil.example", "forged"] {
        assert!(!all.contains(spoofed), "{all}");
    }
    assert_eq!(site.connect().get("/up?1", &fields).status, 200);
    let received = upstream.received_at("/up?1");
    assert_eq!(received.header("x_token"), "abc");
    assert!(received.all("x_forwarded_for").is_empty());
    assert!(site.stop().success());
}

#[test]
fn trusted_proxies_are_walked_from_right_to_left() {
    let upstream = Upstream::tcp("back");
    let mut site = site(
        "forwarded-trusted",
        "\"127.0.0.0/8\", \"10.0.0.0/8\", \"2001:db8::/32\"",
        &upstream,
    );
    let client_of = |list: &str| {
        environ(&site, &[("X-Forwarded-For", list)])["REMOTE_ADDR"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(client_of("203.0.113.9"), "203.0.113.9");
    assert_eq!(
        client_of("198.51.100.1, 203.0.113.9"),
        "203.0.113.9",
        "the left end is the client's own claim"
    );
    assert_eq!(client_of("198.51.100.1, 203.0.113.9, 10.1.2.3"), "203.0.113.9");
    assert_eq!(client_of("203.0.113.9, 10.1.2.3, 10.0.0.1"), "203.0.113.9");
    assert_eq!(client_of("203.0.113.9, 192.0.2.1, 10.0.0.1"), "192.0.2.1");
    assert_eq!(
        client_of("10.0.0.2, 10.0.0.1"),
        "10.0.0.2",
        "all trusted: the farthest"
    );
    assert_eq!(client_of("2001:db8::1, 203.0.113.9, 2001:db8::2"), "203.0.113.9");
    assert_eq!(client_of("2606:4700::1"), "2606:4700::1");
    assert_eq!(client_of("203.0.113.9:4711"), "203.0.113.9");
    assert_eq!(client_of("garbage"), "127.0.0.1");
    assert_eq!(
        client_of("203.0.113.9, garbage, 10.0.0.1"),
        "10.0.0.1",
        "garbage ends the walk"
    );
    let lists = [
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-For", "203.0.113.9, 10.0.0.1"),
    ];
    assert_eq!(
        environ(&site, &lists)["REMOTE_ADDR"],
        "203.0.113.9",
        "several fields are one list"
    );
    let clients: Vec<_> = site
        .records(12)
        .iter()
        .map(|record| record["client"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        (clients[0].as_str(), clients[9].as_str()),
        ("203.0.113.9", "127.0.0.1")
    );
    assert!(site.stop().success());
}

#[test]
fn what_a_trusted_proxy_says_of_the_request_is_passed_on() {
    let upstream = Upstream::tcp("back");
    let mut site = site("forwarded-said", "\"127.0.0.1\"", &upstream);
    let fields = [
        ("Host", "inner"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "shop.example"),
        ("X-Forwarded-Port", "8443"),
        ("X-Request-ID", "abc-123.x_Y"),
    ];
    let told = environ(&site, &fields);
    assert_eq!(told["wsgi.url_scheme"], "https");
    assert_eq!(told["HTTP_X_FORWARDED_HOST"], "shop.example");
    assert_eq!(told["HTTP_X_FORWARDED_PORT"], "8443");
    assert_eq!(told["HTTP_X_FORWARDED_FOR"], "203.0.113.9, 127.0.0.1");
    assert_eq!(told["HTTP_X_REQUEST_ID"], "abc-123.x_Y");

    let mut client = site.connect();
    assert_eq!(client.get("/up?2", &fields).status, 200);
    let received = upstream.received_at("/up?2");
    assert_eq!(received.header("x-real-ip"), "203.0.113.9");
    assert_eq!(received.header("x-forwarded-proto"), "https");
    assert_eq!(received.header("x-request-id"), "abc-123.x_Y");
    let forwarded = received.header("forwarded");
    assert!(
        forwarded.starts_with("for=203.0.113.9;proto=https;host=\"shop.example\", for=127.0.0.1"),
        "{forwarded}"
    );

    // RFC 7239 is understood where there is no X-Forwarded-For.
    let told = environ(
        &site,
        &[(
            "Forwarded",
            "for=198.51.100.1, for=\"[2606:4700::1]:99\";proto=https",
        )],
    );
    assert_eq!(
        (&told["REMOTE_ADDR"], &told["wsgi.url_scheme"]),
        (&"2606:4700::1".into(), &"https".into())
    );
    assert_eq!(site.records(3)[0]["request_id"], "abc-123.x_Y");
    assert!(site.stop().success());
}

#[test]
fn every_request_has_an_id_of_its_own() {
    let upstream = Upstream::tcp("back");
    let mut site = site("forwarded-id", "\"127.0.0.1\"", &upstream);
    let mut ids = Vec::new();
    let long = "x".repeat(200);
    for unfit in ["", "a b", "a\"b", &long, "<script>"] {
        ids.push(
            environ(&site, &[("X-Request-ID", unfit)])["HTTP_X_REQUEST_ID"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert!(
        ids.iter()
            .all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())),
        "{ids:?}"
    );
    let logged: Vec<_> = site
        .records(5)
        .iter()
        .map(|record| record["request_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, logged);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    assert!(site.stop().success());
}

#[test]
fn fields_of_one_hop_stay_on_it() {
    let upstream = Upstream::tcp("back");
    let mut site = site("forwarded-hop", "", &upstream);
    let fields = [
        ("Connection", "keep-alive, X-Private"),
        ("X-Private", "secret"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "secret"),
        ("Proxy", "http://evil.example"),
        ("Upgrade", "h2c"),
        ("X-Kept", "yes"),
    ];
    let told = environ(&site, &fields);
    assert_eq!(told["HTTP_X_KEPT"], "yes");
    for gone in [
        "HTTP_X_PRIVATE",
        "HTTP_PROXY",
        "HTTP_PROXY_AUTHORIZATION",
        "HTTP_TE",
        "HTTP_CONNECTION",
    ] {
        assert_eq!(told[gone], Value::Null, "{gone}");
    }
    let mut client = Connection::open(site.port);
    let mut fields = fields.to_vec();
    // To an upstream only an upgrade to WebSocket goes on.
    fields.retain(|(name, _)| *name != "Upgrade");
    assert_eq!(client.get("/up?3", &fields).status, 200);
    let received = upstream.received_at("/up?3");
    assert_eq!(received.header("x-kept"), "yes");
    for gone in ["x-private", "keep-alive", "te", "proxy-authorization", "proxy"] {
        assert!(received.all(gone).is_empty(), "{gone}");
    }
    assert!(site.stop().success());
}

#[test]
fn whoever_may_open_our_unix_socket_is_trusted() {
    let mut site = Site::new("forwarded-unix");
    let directory = std::env::temp_dir().join(format!("forwarded-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let socket = directory.join("site.sock");
    site.config(&format!(
        r#"
        [[listener]]
        address = "unix:{}"

        [app.environ]
        wsgi = "wsgi:application"
        directory = "{{apps}}/environ"
        python = "{{python}}"
        workers = 1

        [[site]]
        app = "environ"
        "#,
        socket.display()
    ));
    site.start();
    let told = |fields: &str| -> Value {
        let mut stream = UnixStream::connect(&socket).unwrap();
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{answer}"))
            .1;
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    };
    let proxied = told("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n");
    assert_eq!(
        (&proxied["REMOTE_ADDR"], &proxied["wsgi.url_scheme"]),
        (&"203.0.113.9".into(), &"https".into())
    );
    let prefixed = told("X-Forwarded-Prefix: /shop\r\nX-Forwarded-For: 203.0.113.9, ,\r\n");
    assert_eq!(
        (&prefixed["HTTP_X_FORWARDED_PREFIX"], &prefixed["REMOTE_ADDR"]),
        (&"/shop".into(), &"203.0.113.9".into())
    );
    let direct = told("");
    assert!(
        direct["REMOTE_ADDR"].is_string(),
        "PEP 3333 wants a text: {direct}"
    );
    let records = site.records(3);
    assert_eq!(
        (&records[0]["client"], &records[0]["peer"]),
        (&"203.0.113.9".into(), &"unix:".into())
    );
    assert!(site.stop().success());
    assert!(!socket.exists(), "nothing is left behind");
    let _ = std::fs::remove_dir_all(directory);
}
