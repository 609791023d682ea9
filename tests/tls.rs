//! TLS with a client that is not ours: openssl.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::harness::{Connection, Site, certificate::Certificate};

fn site(test: &str, tls: &str) -> (Site, Certificate, Certificate) {
    let mut site = Site::new(test);
    let first = Certificate::new(&["localhost", "first.example"]);
    let second = Certificate::new(&["second.example", "*.second.example"]);
    first.write(&site.directory, "first");
    second.write(&site.directory, "second");
    site.config(&format!(
        r#"
        [tls]
        certificates = [
            {{ certificate = "first.crt", key = "first.key" }},
            {{ certificate = "second.crt", key = "second.key" }},
        ]
        {tls}

        [[listener]]
        address = "127.0.0.1:{{port}}"
        [[listener]]
        address = "127.0.0.1:{{tls_port}}"
        tls = true
        limits = {{ head_timeout = "2s" }}

        [[site]]
        respond = "secure"
        "#
    ));
    site.start();
    (site, first, second)
}

/// One GET through `openssl s_client`; everything it printed.
fn openssl(site: &Site, arguments: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-ign_eof",
            "-connect",
            &format!("127.0.0.1:{}", site.tls_port),
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    // A handshake that fails closes its input.
    let _ = child
        .stdin
        .take()
        .unwrap()
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let output = child.wait_with_output().unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn served(output: &str) -> bool {
    output.contains("HTTP/1.1 200") && output.contains("\r\n\r\nsecure")
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_logged_and_nothing_older() {
    let (mut site, ..) = site("tls-versions", "");
    let output = openssl(&site, &["-tls1_2"]);
    assert!(served(&output), "{output}");
    let output = openssl(&site, &["-tls1_3"]);
    assert!(served(&output), "{output}");
    let output = openssl(&site, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert!(!output.contains("HTTP/1.1"), "{output}");
    let records = site.records(2);
    assert_eq!(
        (&records[0]["tls_version"], &records[1]["tls_version"]),
        (&"TLSv1.2".into(), &"TLSv1.3".into())
    );
    assert!(
        records
            .iter()
            .all(|record| record["scheme"] == "https" && record["tls_cipher"].is_string())
    );
    assert!(site.stop().success());
}

#[test]
fn a_version_below_the_minimum_is_refused() {
    let (mut site, ..) = site("tls-minimum", "minimum = \"1.3\"");
    let output = openssl(&site, &["-tls1_2"]);
    assert!(
        !output.contains("HTTP/1.1") && output.contains("alert protocol version"),
        "{output}"
    );
    let output = openssl(&site, &["-tls1_3"]);
    assert!(served(&output), "{output}");
    assert!(site.stop().success());
}

#[test]
fn the_name_asked_for_picks_the_certificate() {
    let (mut site, first, second) = site("tls-names", "");
    let sent = |name: &[&str]| {
        let output = openssl(&site, name);
        let start = output
            .find("-----BEGIN CERTIFICATE-----")
            .unwrap_or_else(|| panic!("{output}"));
        let end = output.find("-----END CERTIFICATE-----").unwrap();
        output[start..end].split_whitespace().collect::<String>()
    };
    let pem = |certificate: &Certificate| {
        let text = &certificate.certificate;
        text[..text.find("-----END").unwrap()]
            .split_whitespace()
            .collect::<String>()
    };
    assert_eq!(sent(&["-servername", "first.example"]), pem(&first));
    assert_eq!(sent(&["-servername", "second.example"]), pem(&second));
    assert_eq!(sent(&["-servername", "SECOND.example"]), pem(&second));
    assert_eq!(sent(&["-servername", "a.second.example"]), pem(&second));
    assert_eq!(
        sent(&["-servername", "a.b.second.example"]),
        pem(&first),
        "a wildcard is for one label"
    );
    assert_eq!(
        sent(&["-servername", "unknown.example"]),
        pem(&first),
        "the first for all others"
    );
    assert_eq!(sent(&["-noservername"]), pem(&first));
    let mut client = Connection::open_tls(site.tls_port, second.client(), "www.second.example");
    assert_eq!(client.get("/", &[]).text(), "secure");
    assert!(site.stop().success());
}

#[test]
fn alpn_offers_http_2_first() {
    let (mut site, ..) = site("tls-alpn", "");
    let output = openssl(&site, &["-alpn", "http/1.1"]);
    assert!(
        output.contains("ALPN protocol: http/1.1") && served(&output),
        "{output}"
    );
    let output = openssl(&site, &["-alpn", "http/1.1,h2"]);
    assert!(output.contains("ALPN protocol: h2"), "{output}");
    assert!(site.stop().success());
}

#[test]
fn a_session_is_resumed() {
    let (mut site, ..) = site("tls-resume", "");
    let session = site.directory.join("session.pem").display().to_string();
    let output = openssl(&site, &["-tls1_3", "-sess_out", &session]);
    assert!(served(&output) && output.contains("New, TLSv1.3"), "{output}");
    let output = openssl(&site, &["-tls1_3", "-sess_in", &session]);
    assert!(served(&output) && output.contains("Reused, TLSv1.3"), "{output}");
    assert!(site.stop().success());
}

#[test]
fn plain_http_is_redirected_to_the_same_place_over_https() {
    let (mut site, ..) = site("tls-redirect", "");
    let redirect = |method: &str, host: &str| {
        let answer = site.connect().request(method, "/a?b=c", &[("Host", host)], b"");
        (
            answer.status,
            answer.header("location").unwrap_or_default().to_owned(),
        )
    };
    let port = site.tls_port;
    let here = format!("localhost:{}", site.port);
    assert_eq!(
        redirect("GET", &here),
        (301, format!("https://localhost:{port}/a?b=c"))
    );
    assert_eq!(
        redirect("HEAD", &here),
        (301, format!("https://localhost:{port}/a?b=c"))
    );
    assert_eq!(
        redirect("POST", &here),
        (308, format!("https://localhost:{port}/a?b=c")),
        "and stays a POST"
    );
    // Who asks the usual port reaches us through a forwarding that has the usual port of HTTPS as well.
    assert_eq!(
        redirect("GET", "localhost"),
        (301, "https://localhost/a?b=c".to_owned())
    );
    assert!(site.stop().success());
}

#[test]
fn plain_http_on_the_tls_port_and_silence_end_quickly() {
    let (mut site, first, _) = site("tls-plain", "");
    let mut client = Connection::open(site.tls_port);
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    if let Ok(answer) = client.read_response("GET") {
        assert_eq!(answer.status, 400);
    }
    // Whatever is no handshake leaves the log of the administrator alone.
    for broken in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"\x16\x03\x01\xff\xff",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"SSH-2.0-scanner\r\n",
        b"\0\0\0\0",
    ] {
        for _ in 0..5 {
            let mut client = Connection::open(site.tls_port);
            // A handshake that fails may have closed its input already.
            let _ = client.send(broken);
        }
    }
    let mut silent = Connection::open(site.tls_port);
    let mut rest = [0; 64];
    let read = silent.read(&mut rest);
    assert!(
        !matches!(read, Err(ref error) if error.kind() == std::io::ErrorKind::WouldBlock),
        "{read:?}"
    );
    let mut client = Connection::open_tls(site.tls_port, first.client(), "localhost");
    assert_eq!(client.get("/", &[]).text(), "secure");
    assert!(site.stop().success());
    let log = site.error_log();
    // What the start says of this machine comes before.
    let (_, log) = log.split_once("proxy accepts").unwrap();
    for part in [" WARN ", " ERROR ", "handshake", "rustls"] {
        assert!(!log.contains(part), "{part}: {log}");
    }
}

#[test]
fn a_client_that_wants_to_negotiate_again_is_told_no() {
    let (mut site, ..) = site("tls-renegotiation", "");
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-tls1_2",
            "-connect",
            &format!("127.0.0.1:{}", site.tls_port),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    // A line that is an R alone asks for it. The input stays open: openssl ends when it is answered.
    let mut input = child.stdin.take().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    input.write_all(b"R\n").unwrap();
    let asked = std::time::Instant::now();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no renegotiation"), "{told}");
    assert!(
        asked.elapsed() < std::time::Duration::from_secs(20),
        "not only when the connection is closed"
    );
    drop(input);
    assert!(site.stop().success());
}
