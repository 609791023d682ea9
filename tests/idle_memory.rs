//! The proxy gives memory back when a crowd is gone.

use std::fs;

use crate::harness::{
    Site,
    app::of_app,
    certificate::Certificate,
    http2::{self, GET, HEADERS, Http2, WHOLE, WINDOW_UPDATE, block, frame},
    limits::raise_open_files,
    wait_for,
};

/// Connections with half a head each.
const CONNECTIONS: usize = 8000;

/// Ordinary requests before idle memory is measured, one connection each and one after the other: what is
/// made at the first use is there then.
const WARM_UP: usize = 20;

/// Private bytes of the proxy in RAM.
fn private_bytes(site: &Site) -> u64 {
    let proxy = site.processes_named("proxy").first().expect("a proxy").pid;
    let statm = fs::read_to_string(format!("/proc/{proxy}/statm")).unwrap();
    let pages: Vec<u64> = statm.split(' ').map_while(|number| number.parse().ok()).collect();
    (pages[1] - pages[2]) * rustix::param::page_size() as u64
}

#[test]
fn memory_of_a_crowd_that_left_goes_back_to_the_system() {
    raise_open_files(CONNECTIONS as u64 + 500);
    let mut site = Site::new("idle-memory");
    site.config(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\n[[site]]\n[[site.route]]\npath = \"/\"\nrespond = \"ok\"\n",
    );
    site.start();
    for _ in 0..WARM_UP {
        assert_eq!(site.get("/").status, 200);
    }
    let idle = settled(&site);
    let half_head = format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {}", "x".repeat(12_000));
    let crowd: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = site.connect();
            client.send(&half_head).unwrap();
            client
        })
        .collect();
    let busy = wait_for("the crowd to be heard", || {
        let busy = private_bytes(&site);
        (busy > idle + (50 << 20)).then_some(busy)
    });
    drop(crowd);
    wait_for("idle memory to go back", || {
        (private_bytes(&site) < 2 * idle).then_some(())
    });
    println!(
        "idle {idle}, with {CONNECTIONS} connections {busy}, after them {}",
        private_bytes(&site)
    );
    assert_eq!(site.get("/").status, 200);
    assert!(site.stop().success());
}

/// Connections that take nothing, with so many streams each, each of which asks for an answer of so many
/// bytes. When each answer had its 256 KiB, these were 155 MB.
const GREEDY: usize = 6;
const STREAMS: u32 = 100;
const ANSWER_BYTES: usize = 400_000;

/// What all that waits for clients may take of the proxy: `shared`, as much again for what bodies have of
/// their own, 16 KiB for each stream besides, and what the streams and connections themselves cost.
const WAITING_MAX: u64 = 80 << 20;

/// Answers of that size from an application.
const ANSWERS: &str = r#"
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"400000")]})
    for _ in range(8):
        await send({"type": "http.response.body", "body": b"x" * 50000, "more_body": True})
    await send({"type": "http.response.body"})
"#;

/// A client without a window, and one with the widest that reads nothing: neither makes the proxy hoard.
#[test]
fn answers_that_no_client_takes_are_bounded_all_together() {
    const TLS: &str = r#"
        [server]
        threads = 4
        [server.buffers]
        shared = "16MiB"
        [tls]
        certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]
        [[listener]]
        address = "127.0.0.1:{tls_port}"
        tls = true
        [[site.route]]
        path = "/file/"
        files = "files"
    "#;
    let mut site = Site::new("greedy-streams");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    site.write("app/main.py", ANSWERS);
    site.write("files/large", vec![b'x'; ANSWER_BYTES]);
    site.config(&of_app("", "asgi = \"main:app\"\nworkers = 1", TLS).replace("{apps}/", "app"));
    site.start();
    let client = http2::client(&certificate);
    for target in ["/", "/file/large"] {
        for _ in 0..WARM_UP {
            let mut first = Http2::open(site.tls_port, &client);
            first.request(1, &[&GET[..3], &[(":path", target)]].concat());
            first.next(HEADERS);
        }
    }
    let idle = settled(&site);
    // SETTINGS_INITIAL_WINDOW_SIZE
    let window = |bytes: u32| [&[0, 4][..], &bytes.to_be_bytes()].concat();
    for (target, settings) in [
        ("/", window(0)),
        ("/file/large", window(0)),
        ("/", window(i32::MAX as u32)),
    ] {
        let get = block(&[&GET[..3], &[(":path", target)]].concat());
        let mut crowd: Vec<_> = (0..GREEDY)
            .map(|_| {
                let mut http2 = Http2::open_with(site.tls_port, &client, &settings);
                let more = (i32::MAX as u32 - 65_535).to_be_bytes();
                let mut asked = frame(WINDOW_UPDATE, 0, 0, &more);
                for number in 0..STREAMS {
                    asked.extend(frame(HEADERS, WHOLE, 1 + 2 * number, &get));
                }
                http2.connection.send(asked).unwrap();
                http2
            })
            .collect();
        if settings == window(0) {
            // Every answer has begun.
            for http2 in &mut crowd {
                for _ in 0..STREAMS {
                    http2.next(HEADERS);
                }
            }
        }
        let waiting = settled(&site);
        println!("{target} {settings:?}: idle {idle}, with all of them {waiting}");
        assert!(
            waiting < idle + WAITING_MAX,
            "{target} {settings:?}: {idle} before, {waiting} with them"
        );
        // Others are served meanwhile.
        let mut other = Http2::open(site.tls_port, &client);
        other.request(1, &[&GET[..3], &[(":path", "/file/large")]].concat());
        other.next(HEADERS);
        drop((crowd, other));
    }
    wait_for("idle memory to go back", || {
        (private_bytes(&site) < 2 * idle).then_some(())
    });
    println!("idle {idle}, after them {}", private_bytes(&site));
    assert!(site.stop().success());
}

/// Private bytes of the proxy once they grow no more.
fn settled(site: &Site) -> u64 {
    let mut last = Vec::new();
    wait_for("memory that grows no more", || {
        last.push(private_bytes(site));
        std::thread::sleep(std::time::Duration::from_millis(50));
        let before = last.len().checked_sub(20).map(|at| last[at]);
        before.filter(|before| last[last.len() - 1] <= before + (1 << 20))
    })
}
