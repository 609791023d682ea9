//! `Expect: 100-continue`: a client that waits hears, whatever answers it, of one 100, or of a refusal before it
//! has sent anything.

use std::fs;

use crate::harness::{Response, Site, curl::VERSIONS, upstream::Upstream, wait_for};

fn site(test: &str, server: &Upstream) -> Site {
    let mut site = Site::certified(
        test,
        &r#"
        [app.wsgi]
        wsgi = "wsgi:application"
        directory = "{apps}/echo"
        python = "{python}"
        workers = 1

        [app.asgi]
        asgi = "asgi:application"
        lifespan = "off"
        directory = "{apps}/echo"
        python = "{python}"
        workers = 1

        [upstream.back]
        servers = ["{server}"]

        [[site]]
        https = "off"
        body_max = "100k"
        upstream = "back"
        [[site.route]]
        path = "/wsgi"
        app = "wsgi"
        [[site.route]]
        path = "/asgi"
        app = "asgi"
        [[site.route]]
        path = "/asgi/at-once"
        app = "asgi"
        request_buffering = false
        "#
        .replace("{server}", &server.url),
    );
    site.start();
    site
}

/// Asks with a body that curl sends when it is told to, and never otherwise. Also answers how often it was
/// told.
#[track_caller]
fn ask(site: &Site, version: &str, target: &str, body: &[u8]) -> (Response, usize) {
    let wait = ["--header", "Expect: 100-continue", "--expect100-timeout", "600"];
    let arguments = [&wait[..], &["--data-binary", "@-", "--dump-header", "heads"]].concat();
    let answer = site.curl_with(version, target, &arguments, body);
    let heads = fs::read_to_string(site.directory.join("heads")).unwrap();
    let told = heads
        .lines()
        .filter(|line| line.split(' ').nth(1) == Some("100") && line.starts_with("HTTP/"));
    (answer, told.count())
}

#[test]
fn a_client_that_waits_to_be_told_to_send_its_body_is_told_once() {
    let server = Upstream::tcp("back");
    let mut site = site("expect-told", &server);
    for version in VERSIONS {
        // The last of these servers does not know the word.
        for target in ["/wsgi", "/asgi", "/asgi/at-once", "/echo", "/echo?wordless"] {
            for size in [3, 100_000] {
                let body = vec![b'x'; size];
                let (answer, told) = ask(&site, version, target, &body);
                assert_eq!((answer.status, told), (200, 1), "{version} {target} {size}");
                assert_eq!(answer.body, body, "{version} {target}");
            }
        }
    }
    for request in server.received() {
        assert_eq!(request.header("expect"), "100-continue", "{}", request.target);
    }
    assert!(site.stop().success());
}

#[test]
fn a_client_that_is_refused_instead_has_sent_nothing() {
    let server = Upstream::tcp("back");
    let mut site = site("expect-refused", &server);
    for version in VERSIONS {
        let (answer, told) = ask(&site, version, "/refused", b"precious");
        assert_eq!((answer.status, told), (401, 0), "{version}");
        assert_eq!(answer.header("www-authenticate"), Some("Basic"), "{version}");
        let (answer, told) = ask(&site, version, "/asgi/at-once/refused", b"precious");
        assert_eq!((answer.status, told), (409, 0), "{version}");
        for target in ["/wsgi", "/asgi", "/asgi/at-once", "/too-large"] {
            let (answer, told) = ask(&site, version, target, &vec![b'x'; 200_000]);
            assert_eq!((answer.status, told), (413, 0), "{version} {target}");
        }
    }
    // The server tells what it got of a body once its connection is closed.
    let received = wait_for("both requests reach the server", || {
        let received = server.received();
        (received.len() == VERSIONS.len()).then_some(received)
    });
    for request in received {
        assert_eq!(
            (request.target.as_str(), &request.body[..]),
            ("/refused", &b""[..])
        );
    }
    assert!(site.stop().success());
}
