//! Servers that speak HTTP/2.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::talk;
use crate::harness::{
    Site,
    certificate::Certificate,
    curl::VERSIONS,
    free_port,
    nginx::{self, Nginx},
    python::{ASGI_PACKAGES, python, virtualenv},
    upstream::Upstream,
    wait_for, workspace,
};

const NAMES: &[&str] = &["localhost", "127.0.0.1"];

/// A site that curl speaks to in both versions, with everything at one server; its certificate is
/// `server.crt`.
fn before(test: &str, certificate: &Certificate, server: &str, keys: &str) -> Site {
    let mut site = Site::certified(
        test,
        &format!(
            "[upstream.back]\nservers = [\"{server}\"]\nretries = 0\n{keys}\n\
             [[site]]\nhttps = \"off\"\nbody_max = \"40MiB\"\nupstream = \"back\"\n"
        ),
    );
    certificate.write(&site.directory, "server");
    site.start();
    site
}

const TRUSTED: &str = "http2 = true\ntls = { ca = \"server.crt\" }";

/// Uploads come back whole, in both versions of HTTP, at once and in pieces.
fn echoes(site: &Site) {
    for size in [0, 1, 100_000, 5 << 20] {
        let body: Vec<u8> = (0..size).map(|i: usize| ((i * 31) >> 3) as u8).collect();
        for version in VERSIONS {
            for chunked in ["Content-Length:", "Transfer-Encoding: chunked"] {
                // curl makes chunks of what it is told so; the other is its usual way.
                let mut arguments = vec!["--data-binary", "@-"];
                if chunked.starts_with('T') && version == VERSIONS[0] {
                    arguments.extend(["--header", chunked]);
                }
                let answer = site.curl_with(version, "/echo", &arguments, &body);
                assert_eq!(answer.status, 200, "{version} {size}");
                assert!(answer.body == body, "{version} {size} {chunked}");
            }
        }
    }
}

#[test]
fn nginx_is_asked_in_http2_and_one_connection_serves_all() {
    if nginx::find().is_none() {
        println!("skipped: needs nginx (apt-get install nginx-light)");
        return;
    }
    let certificate = Certificate::of_authority(NAMES);
    let tls_port = free_port();
    let files = Site::new("http2-nginx-files");
    certificate.write(&files.directory, "nginx");
    let big: Vec<u8> = (0..3_000_000).map(|i: usize| ((i * 31) >> 3) as u8).collect();
    files.write("big", &big);
    let _nginx = Nginx::start(&format!(
        r#"listen 127.0.0.1:{tls_port} ssl http2;
        ssl_certificate {dir}/nginx.crt;
        ssl_certificate_key {dir}/nginx.key;
        add_header X-Protocol $server_protocol;
        add_header X-Connection $connection;
        location / {{ return 200 "$request_method $host $http_x_forwarded_for"; }}
        location /big {{ root {dir}; }}"#,
        dir = files.directory.display(),
    ));
    let server = format!("https://localhost:{tls_port}");
    let mut site = before("http2-nginx", &certificate, &server, TRUSTED);
    for round in 0..2 {
        let mut connections: Vec<_> = Vec::new();
        for version in VERSIONS {
            let answer = site.curl(version, "/x", &[]);
            assert_eq!(answer.header("x-protocol"), Some("HTTP/2.0"), "{version}");
            assert_eq!(answer.text(), "GET localhost 127.0.0.1", "{version}");
            connections.extend(answer.header("x-connection").map(str::to_owned));
            let answer = site.curl(version, "/big", &[]);
            assert!(answer.body == big, "{version}");
            let answer = site.curl(version, "/x", &["--data-binary", "abc"]);
            assert!(answer.text().starts_with("POST "), "{version}: {}", answer.text());
            let answer = site.curl(version, "/x", &["--head"]);
            assert_eq!((answer.status, answer.body.len()), (200, 0), "{version}");
        }
        connections.dedup();
        // Each front thread has its own.
        assert!(
            !connections.is_empty() && connections.len() <= 2,
            "{connections:?}"
        );
        if round == 0 {
            site.signal("HUP");
            site.wait_for_log("proxy drains");
        }
    }
    assert!(site.stop().success());
}

#[test]
fn a_server_that_knows_http1_alone_is_asked_in_that() {
    let certificate = Certificate::new(NAMES);
    let server = Upstream::tls("a", &certificate);
    let mut site = before("http2-fallback", &certificate, &server.url, TRUSTED);
    echoes(&site);
    assert_eq!(site.get("/x").text(), "a");
    talk(&mut site.connect());
    assert!(site.stop().success());
}

#[test]
fn an_appliance_is_a_server_in_http2_and_its_websockets_go_over_http1() {
    let certificate = Certificate::of_authority(NAMES);
    let behind = Upstream::tcp("a");
    let mut inner = Site::certified(
        "http2-inner",
        &format!(
            "[upstream.back]\nservers = [\"{}\"]\n[[site]]\nhttps = \"off\"\nbody_max = \"40MiB\"\nupstream = \"back\"\n",
            behind.url
        ),
    );
    certificate.write(&inner.directory, "localhost");
    inner.start();
    let server = format!("https://localhost:{}", inner.tls_port);
    let mut site = before("http2-outer", &certificate, &server, TRUSTED);
    echoes(&site);
    talk(&mut site.connect());
    assert!(site.stop().success());
    let protocols: Vec<_> = inner
        .records(17)
        .iter()
        .map(|record| record["protocol"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        protocols.iter().filter(|told| *told == "HTTP/2.0").count(),
        16,
        "{protocols:?}"
    );
    assert!(inner.stop().success());
}

/// hypercorn with the echo application, which speaks HTTP/2 with and without TLS. Dropping it kills it.
struct Hypercorn(Child);

impl Hypercorn {
    fn start(directory: &Path, tls_port: u16, port: u16) -> Self {
        let python = virtualenv(python(), ASGI_PACKAGES).join("bin/python");
        let log = fs::File::create(directory.join("hypercorn.log")).unwrap();
        let child = Command::new(python)
            .args(["-m", "hypercorn", "asgi:application"])
            .args(["--certfile", "server.crt", "--keyfile", "server.key"])
            .args(["--bind", &format!("127.0.0.1:{tls_port}")])
            .args(["--insecure-bind", &format!("127.0.0.1:{port}")])
            .current_dir(directory)
            .env("PYTHONPATH", workspace().join("tests/apps/echo"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let hypercorn = Self(child);
        for port in [tls_port, port] {
            wait_for("hypercorn accepts connections", || {
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
        hypercorn
    }
}

impl Drop for Hypercorn {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn hypercorn_is_asked_in_http2_with_tls_and_without() {
    let certificate = Certificate::of_authority(NAMES);
    let home = Site::new("http2-hypercorn-home");
    certificate.write(&home.directory, "server");
    let (tls_port, port) = (free_port(), free_port());
    let _hypercorn = Hypercorn::start(&home.directory, tls_port, port);
    for (name, server, keys) in [
        (
            "http2-hypercorn-tls",
            format!("https://localhost:{tls_port}"),
            TRUSTED,
        ),
        (
            "http2-hypercorn-h2c",
            format!("h2c://localhost:{port}"),
            "health = { path = \"/\", interval = \"200ms\" }",
        ),
    ] {
        let mut site = before(name, &certificate, &server, keys);
        echoes(&site);
        assert!(site.stop().success());
    }
}
