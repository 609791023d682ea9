//! Listeners that are full.

use crate::harness::{
    Site,
    app::of_app,
    certificate::Certificate,
    client::request_bytes,
    http2::{self, GET, GOAWAY, HEADERS, Http2},
    wait_for,
};

/// Where three connections are all there may be, and idle ones stay. One thread, so that what happens has an order.
const LISTENERS: &str = r#"
    [server]
    threads = 1

    [tls]
    certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]

    [[listener]]
    address = "127.0.0.1:{port}"
    limits = { connections_max = 3, idle_timeout = "1h", head_timeout = "1h" }

    [[listener]]
    address = "127.0.0.1:{tls_port}"
    tls = true
    limits = { connections_max = 3, idle_timeout = "1h", head_timeout = "1h" }
"#;

#[test]
fn in_a_full_listener_the_connection_that_is_idle_for_longest_makes_room() {
    let mut site = Site::new("full-listener");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    let config = of_app("gate", "workers = 1\nthreads = 2", LISTENERS);
    site.config(&config.replace("[[site]]", "[[site]]\nhttps = \"off\""));
    site.start();

    let mut busy = site.connect();
    busy.send(request_bytes("GET", "/a", &[], b"")).unwrap();
    site.lines_of("began-a", 1);
    // One has never said a word, which is no reason to keep it.
    let mut silent = site.connect();
    let mut idle = site.connect();
    assert_eq!(idle.get("/", &[]).status, 200);
    let mut fourth = site.connect();
    assert_eq!(fourth.get("/", &[]).status, 200);
    assert!(silent.closed());
    let mut fifth = site.connect();
    assert_eq!(fifth.get("/", &[]).status, 200);
    assert!(idle.closed());
    // Who has just been served stays, and so does who is at work.
    assert_eq!(fourth.get("/", &[]).status, 200);
    site.write("open-a", "");
    assert_eq!(busy.read_response("GET").unwrap().status, 200);
    site.wait_for_log("listener has connections_max connections, idle ones are closed for new clients");

    let client = http2::client(&certificate);
    let mut over_http2: Vec<_> = (0..3).map(|_| served(&site, &client)).collect();
    // It was the first, and has been used since.
    over_http2[0].request(3, &GET);
    over_http2[0].next(HEADERS);
    let _fourth = served(&site, &client);
    let farewell = over_http2[1].next(GOAWAY);
    assert_eq!(farewell.payload[4..8], [0, 0, 0, 0], "no error");
    wait_for("the end of the connection", || {
        over_http2[1].frame().is_err().then_some(())
    });
    for kept in [0, 2] {
        over_http2[kept].request(5, &GET);
        over_http2[kept].next(HEADERS);
    }
    assert!(site.stop().success());
}

/// An HTTP/2 connection that is idle again.
fn served(site: &Site, client: &std::sync::Arc<rustls::ClientConfig>) -> Http2 {
    let mut http2 = Http2::open(site.tls_port, client);
    http2.request(1, &GET);
    http2.next(HEADERS);
    http2
}
