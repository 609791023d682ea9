//! Listeners that are full.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::harness::{
    Site,
    app::of_app,
    certificate::Certificate,
    client::request_bytes,
    http2::{self, DATA, END_HEADERS, GET, GOAWAY, HEADERS, Http2, block},
    limits::raise_open_files,
    wait_for,
};

/// Where three connections are all there may be, and idle ones stay. One thread, so that what happens has an
/// order.
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
    site.wait_for_log(
        "listener has connections_max connections; where one is idle it is closed for a new client",
    );

    let client = http2::client(&certificate);
    let mut over_http2: Vec<_> = (0..3).map(|_| served(&site, &client)).collect();
    // It was the first, and has been used since.
    over_http2[0].request(3, &GET);
    over_http2[0].next(HEADERS);
    let fourth = served(&site, &client);
    let farewell = over_http2[1].next(GOAWAY);
    assert_eq!(farewell.payload[4..8], [0, 0, 0, 0], "no error");
    wait_for("the end of the connection", || {
        over_http2[1].frame().is_err().then_some(())
    });
    for kept in [0, 2] {
        over_http2[kept].request(5, &GET);
        over_http2[kept].next(HEADERS);
    }
    // Before the handshake it is the same.
    drop((over_http2, fourth));
    let silent: Vec<_> = (0..3)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", site.tls_port)).unwrap())
        .collect();
    drop(served(&site, &client));
    drop(silent);
    assert!(site.stop().success());
}

#[test]
fn in_a_full_listener_uploads_that_were_refused_make_room() {
    let mut site = Site::new("full-of-refused");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    let config = of_app("gate", "workers = 1\nthreads = 2", LISTENERS);
    site.config(&config.replace("[[site]]", "[[site]]\nhttps = \"off\"\nbody_max = \"10B\""));
    site.start();
    let client = http2::client(&certificate);
    let (mut over_http1, mut over_http2) = (Vec::new(), Vec::new());
    for round in 0..4 {
        // Announced, found out while it comes, and a head that is none.
        let mut uploads: Vec<_> = [
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\nx",
                413,
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nff\r\nmore than ten bytes",
                413,
            ),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\nx", 400),
        ]
        .into_iter()
        .map(|(head, status)| {
            let mut upload = site.connect();
            upload.send(head).unwrap();
            assert_eq!(upload.read_response("POST").unwrap().status, status);
            upload
        })
        .collect();
        // They trickle on.
        for upload in &mut uploads {
            let _ = upload.send("y");
        }
        let begun = Instant::now();
        assert_eq!(site.get("/").status, 200, "{round}");
        over_http1.push(begun.elapsed());

        let mut uploads: Vec<_> = (0..3)
            .map(|number| {
                let mut upload = Http2::open(site.tls_port, &client);
                let post = [&[(":method", "POST")], &GET[1..]].concat();
                let announced = [&post[..], &[("content-length", "900000")]].concat();
                let head = if number == 0 { announced } else { post };
                upload.send(HEADERS, END_HEADERS, 1, &block(&head));
                upload.send(DATA, 0, 1, b"more than ten bytes");
                upload.next(HEADERS);
                upload
            })
            .collect();
        for upload in &mut uploads {
            upload.send(DATA, 0, 1, b"y");
        }
        let begun = Instant::now();
        drop(served(&site, &client));
        over_http2.push(begun.elapsed());
        drop(uploads);
    }
    // Where there is room, one that was refused is listened to for five seconds or longer. A slow machine may
    // delay one of the new clients as long, but not each.
    for waited in [over_http1, over_http2] {
        let soon = |waited: &Duration| *waited < Duration::from_secs(4);
        assert!(waited.iter().any(soon), "{waited:?}");
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

/// Open files that each process of the site may have, softly and hard, and clients that take more than that.
const FILES: usize = 150;
const CLIENTS: usize = 400;

/// The program, with that limit.
fn with_few_files(site: &Site) -> Command {
    site.command_by("sh", &["-c", &format!("ulimit -n {FILES}; exec \"$@\""), "sh"])
}

#[test]
fn without_descriptors_and_with_workers_that_die_nothing_else_ends_and_service_comes_back() {
    raise_open_files(CLIENTS as u64 + 500);
    let mut site = Site::of_app("no-descriptors", "hello", "workers = 2", "");
    site.expect_error("worker died")
        .expect_error("a descriptor from the supervisor is lost: too many files are open")
        .expect_error("link without its app or descriptors");
    site.start_by(with_few_files(&site));
    site.wait_for_log_times("worker ready", 2);
    let proxy = site.processes_named("proxy")[0].pid;
    // Half a head each, so that none of them is idle.
    let crowd: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = site.connect();
            client.send("GET / HTTP/1.1\r\n").unwrap();
            client
        })
        .collect();
    site.wait_for_log("connections can not be accepted; trying again");
    for died in 1..=3 {
        for worker in site.processes_named("worker web/") {
            worker.signal("KILL");
        }
        site.wait_for_log_times("worker died", 2 * died);
        // Their successors boot while the proxy has no descriptor for them.
        site.wait_for_log_times("worker ready", 2 + 2 * died);
    }
    drop(crowd);
    wait_for("service to come back", || {
        (site.get("/").status == 200).then_some(())
    });
    site.processes_at_least("worker web/", 2);
    assert_eq!(site.processes_named("proxy")[0].pid, proxy);
    assert!(!site.error_log().contains("proxy died"), "{}", site.error_log());
    assert!(site.stop().success());
}

#[test]
fn answers_that_nobody_takes_leave_the_others_descriptors() {
    const TLS: &str = r#"
        [tls]
        certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]
        [server.buffers]
        shared = "0"
        [[listener]]
        address = "127.0.0.1:{port}"
        [[listener]]
        address = "127.0.0.1:{tls_port}"
        tls = true
    "#;
    let mut site = Site::new("parked");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    site.config(
        &of_app("size", "workers = 1\nthreads = 16", TLS)
            .replace("app = \"web\"", "app = \"web\"\nhttps = \"off\""),
    );
    site.expect_error("too many answers wait for slow clients, some are cut");
    site.start_by(with_few_files(&site));
    let client = http2::client(&certificate);
    let get = [&GET[..3], &[(":path", "/?2000000")]].concat();
    // Without a window, two hundred answers of which each would be a file.
    let window = [0, 4, 0, 0, 0, 0];
    let parked: Vec<_> = (0..2)
        .map(|_| {
            let mut http2 = Http2::open_with(site.tls_port, &client, &window);
            for number in 0..100 {
                http2.request(1 + 2 * number, &get);
            }
            http2
        })
        .collect();
    site.wait_for_log("too many answers wait for slow clients");
    for _ in 0..20 {
        assert_eq!(site.get("/?100").body.len(), 100);
    }
    assert!(
        !site.error_log().contains("Too many open files"),
        "{}",
        site.error_log()
    );
    drop(parked);
    wait_for("large answers to be served again", || {
        (site.get("/?2000000").body.len() == 2_000_000).then_some(())
    });
    assert!(site.stop().success());
}
