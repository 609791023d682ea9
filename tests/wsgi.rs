//! PEP 3333 through the whole program: what the application is given. What it may answer is in `wsgi_answers`.

use serde_json::Value;

use crate::harness::{
    Site,
    certificate::Certificate,
    client::Connection,
    python::{Python, on_each_python},
};

fn environ(site: &Site, target: &str, headers: &[(&str, &str)]) -> Value {
    serde_json::from_slice(&site.connect().get(target, headers).body).unwrap()
}

on_each_python!(the_validator_of_the_standard_library_is_satisfied_on_every_python);

fn the_validator_of_the_standard_library_is_satisfied_on_every_python(python: &Python) {
    let mut site = Site::new("validated");
    let config = crate::harness::app::of_app("validated", "workers = 1", "");
    site.config(&config.replace("{python}", &python.path.display().to_string()));
    site.start();
    let mut client = site.connect();
    for (method, target, body, answer) in [
        ("GET", "/", "", "got "),
        ("GET", "/caf%C3%A9/%20?q=%20&x", "", "got "),
        ("HEAD", "/", "", ""),
        ("POST", "/", "body", "got body"),
        ("POST", "/write", "body", "written got body"),
        ("PUT", "/", "", "got "),
        ("DELETE", "/", "", "got "),
        ("OPTIONS", "/", "", "got "),
    ] {
        let got = client.request(method, target, &[("Content-Type", "text/plain")], body.as_bytes());
        assert_eq!(
            (got.status, got.text().as_str()),
            (200, answer),
            "{python:?} {method} {target}"
        );
    }
    let chunked = [("Transfer-Encoding", "chunked"), ("Content-Type", "text/plain")];
    let got = client.request("POST", "/", &chunked, b"3\r\nabc\r\n0\r\n\r\n");
    assert_eq!((got.status, got.text().as_str()), (200, "got abc"), "{python:?}");
    site.wait_for_log("validated DELETE");
    let log = site.error_log();
    for word in ["Assertion", "garbage collected", "Warning", "Traceback"] {
        assert!(!log.contains(word), "{python:?} {word}: {log}");
    }
    drop(client);
    assert!(site.stop().success());
}

#[test]
fn the_environ_is_complete() {
    let mut site = Site::of_app("environ", "environ", "threads = 4", "");
    site.start();
    let got = environ(
        &site,
        "/caf%C3%A9/a%2Fb%20c?q=%41&r=1",
        &[
            ("Host", "example.org:8080"),
            ("X-Two", "one"),
            ("X-Two", "two"),
            ("Cookie", "a=1"),
            ("Content-Type", "text/x"),
            ("X-Latin", "caf\u{e9}"),
        ],
    );
    let port = site.port.to_string();
    for (name, value) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", ""),
        // Decoded, as bytes in the guise of latin-1.
        ("PATH_INFO", "/caf\u{c3}\u{a9}/a/b c"),
        ("QUERY_STRING", "q=%41&r=1"),
        ("REQUEST_URI", "/caf%C3%A9/a%2Fb%20c?q=%41&r=1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "example.org"),
        ("SERVER_PORT", "8080"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("CONTENT_TYPE", "text/x"),
        ("HTTP_HOST", "example.org:8080"),
        ("HTTP_COOKIE", "a=1"),
        ("HTTP_X_LATIN", "caf\u{c3}\u{a9}"),
        ("HTTP_X_FORWARDED_FOR", "127.0.0.1"),
        ("HTTP_X_FORWARDED_PROTO", "http"),
        ("HTTP_X_REAL_IP", "127.0.0.1"),
        ("wsgi.url_scheme", "http"),
        ("wsgi.version", "tuple (1, 0)"),
        ("wsgi.multithread", "bool True"),
        ("wsgi.multiprocess", "bool True"),
        ("wsgi.run_once", "bool False"),
        ("wsgi.input_terminated", "bool True"),
    ] {
        assert_eq!(got[name], value, "{name} in {got:#}");
    }
    let two = got["HTTP_X_TWO"].as_str().unwrap().replace(' ', "");
    assert_eq!(two, "one,two");
    assert!(got["SERVER_SOFTWARE"].as_str().unwrap().starts_with("appliance/"));
    assert!(got["REMOTE_PORT"].as_str().unwrap().parse::<u16>().is_ok());
    assert_eq!(got["HTTP_X_REQUEST_ID"], site.records(1)[0]["request_id"]);
    for name in ["wsgi.input", "wsgi.errors", "wsgi.file_wrapper"] {
        assert!(got[name].is_string(), "{name}");
    }
    for name in [
        "CONTENT_LENGTH",
        "HTTP_CONTENT_TYPE",
        "HTTP_CONTENT_LENGTH",
        "HTTPS",
        "HTTP_CONNECTION",
    ] {
        assert!(got[name].is_null(), "{name} in {got:#}");
    }

    // Without a port the usual one is meant; an old client is told from a new one.
    let mut old = site.connect();
    old.send("GET /old HTTP/1.0\r\nHost: example.org\r\n\r\n")
        .unwrap();
    let got: Value = serde_json::from_slice(&old.read_response("GET").unwrap().body).unwrap();
    assert_eq!(
        (&got["SERVER_PROTOCOL"], &got["SERVER_PORT"]),
        (&"HTTP/1.0".into(), &"80".into())
    );
    assert_ne!(got["SERVER_PORT"], port);
    assert!(site.stop().success());
}

#[test]
fn over_tls_the_environ_says_https() {
    let mut site = Site::new("environ-tls");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "site");
    site.config(&crate::harness::app::of_app(
        "environ",
        "threads = 1",
        r#"
        [tls]
        certificates = [{ certificate = "site.crt", key = "site.key" }]
        [[listener]]
        address = "127.0.0.1:{tls_port}"
        tls = true
        "#,
    ));
    site.start();
    let mut client = Connection::open_tls(site.tls_port, certificate.client(), "localhost");
    let got: Value = serde_json::from_slice(&client.get("/", &[]).body).unwrap();
    for (name, value) in [
        ("wsgi.url_scheme", "https"),
        ("HTTPS", "on"),
        ("SERVER_PORT", "443"),
        ("HTTP_X_FORWARDED_PROTO", "https"),
        ("wsgi.multithread", "bool False"),
    ] {
        assert_eq!(got[name], value, "{name} in {got:#}");
    }
    drop(client);
    assert!(site.stop().success());
}

#[test]
fn fields_that_would_be_mistaken_for_others_do_not_reach_the_application() {
    let mut site = Site::of_app("shadows", "environ", "", "");
    site.start();
    let got = environ(
        &site,
        "/",
        &[
            ("X_Two", "fake"),
            ("X-Two", "real"),
            ("X_Only", "fake"),
            ("X_Forwarded_For", "203.0.113.9"),
            ("X-Forwarded-For", "203.0.113.9"),
            ("Proxy", "http://203.0.113.9"),
        ],
    );
    assert_eq!(got["HTTP_X_TWO"], "real");
    assert_eq!(got["HTTP_X_FORWARDED_FOR"], "127.0.0.1");
    assert_eq!(got["REMOTE_ADDR"], "127.0.0.1");
    for name in ["HTTP_X_ONLY", "HTTP_PROXY"] {
        assert!(got[name].is_null(), "{name} in {got:#}");
    }
    assert!(site.stop().success());
}

#[test]
fn an_application_below_a_prefix_is_told_where_it_is() {
    let more = r#"
        respond = "outside"
        [[site.route]]
        path = "/shop/"
        app = "web"
        "#;
    let mut site = Site::new("mount");
    let config = crate::harness::app::of_app("environ", "", more);
    site.config(&config.replace("[[site]]\n        app = \"web\"", "[[site]]"));
    site.start();
    // Doubled slashes count as one, as with nginx.
    for (target, path) in [
        ("/shop", ""),
        ("/shop/", "/"),
        ("/shop/a?b", "/a"),
        ("/shop//a", "//a"),
    ] {
        let got = environ(&site, target, &[]);
        assert_eq!(
            (&got["SCRIPT_NAME"], &got["PATH_INFO"]),
            (&"/shop".into(), &path.into()),
            "{target}"
        );
        assert_eq!(got["REQUEST_URI"], target);
    }
    assert_eq!(site.get("/shopping").text(), "outside");
    assert!(site.stop().success());
}

#[test]
fn the_body_is_read_in_every_way_from_memory() {
    let mut site = Site::of_app("input", "input", "", "");
    site.start();
    let mut client = site.connect();
    for (how, expected) in [
        ("/sizes", r"[b'one', b'', b'\ntwo\n', b'three', b'', b'']"),
        ("/readline", r"[b'one\n', b'tw', b'o\n', b'three', b'', b'']"),
        ("/readlines", r"[b'one\n', b'two\n', b'three']"),
        ("/hint", r"[[b'one\n'], b'two\nthree']"),
        ("/iterate", r"[b'one\n', b'two\n', b'three']"),
        ("/mixed", r"[b'one\n', b'tw', b'o\n', [b'three']]"),
    ] {
        let got = client.request("POST", how, &[], b"one\ntwo\nthree");
        assert_eq!(got.text(), format!("13 {expected}"), "{how}");
        // The end of a body is its end, not the client's next request.
        let chunked = b"4\r\none\n\r\n9\r\ntwo\nthree\r\n0\r\n\r\n";
        let got = client.request("POST", how, &[("Transfer-Encoding", "chunked")], chunked);
        assert_eq!(got.text(), format!("13 {expected}"), "chunked, {how}");
    }
    let got = client.get("/iterate", &[]);
    assert_eq!(got.text(), "None []");
    drop(client);
    assert!(site.stop().success());
}

#[test]
fn a_large_body_is_read_from_a_file_all_the_same() {
    let mut site = Site::of_app("large", "input", "workers = 1", "");
    site.start();
    let mut client = site.connect();
    let lines: Vec<u8> = (0..100_000u32)
        .flat_map(|n| format!("line {n} of many\n").into_bytes())
        .collect();
    let got = client.request("POST", "/lines-checksum", &[], &lines);
    assert_eq!(
        got.text(),
        format!("{} [100000, {}]", lines.len(), adler32(&lines))
    );

    let body: Vec<u8> = (0..30 << 20).map(|n: u32| ((n * 31) >> 7) as u8).collect();
    let expected = format!("{0} [{0}, {1}]", body.len(), adler32(&body));
    assert_eq!(client.request("PUT", "/all", &[], &body).text(), expected);
    let mut chunked = Vec::with_capacity(body.len() + 1000);
    for chunk in body.chunks(300_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let got = client.request("PUT", "/all", &[("Transfer-Encoding", "chunked")], &chunked);
    assert_eq!(got.text(), expected);
    drop(client);
    assert!(site.stop().success());
}

/// As zlib's.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for block in bytes.chunks(5000) {
        for &byte in block {
            a += u32::from(byte);
            b += a;
        }
        (a, b) = (a % 65521, b % 65521);
    }
    b << 16 | a
}

#[test]
fn every_form_of_a_target_finds_its_application() {
    for (target, answer) in [
        ("forms", "convention"),
        ("only_app", "app"),
        ("forms:handler", "callable"),
        ("forms:create()", "factory"),
        ("forms:Site.inner", "attribute"),
    ] {
        let mut site = Site::of_app("forms", "forms", &format!("wsgi = \"{target}\"\nworkers = 1"), "");
        site.start();
        assert_eq!(site.get("/").text(), answer, "{target}");
        assert!(site.stop().success());
    }
}
