//! Servers that are `https://`.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use super::{echoed, site, talk, upgrade};
use crate::harness::{
    Site,
    certificate::Certificate,
    nginx::{self, Nginx},
    upstream::Upstream,
    wait_for,
};

const NAMES: &[&str] = &["localhost", "127.0.0.1"];

/// A site with everything at one server, whose certificate is in `ca.pem`.
fn trusting(test: &str, server: &Upstream, certificate: &Certificate, keys: &str) -> Site {
    let site = Site::new(test);
    site.write("ca.pem", &certificate.certificate);
    started(
        site,
        &[&server.url],
        &format!("tls = {{ ca = \"ca.pem\" }}\n{keys}"),
    )
}

fn started(mut site: Site, servers: &[&str], keys: &str) -> Site {
    site.config(&format!(
        "[upstream.back]\nservers = {servers:?}\n{keys}\n[[site]]\nbody_max = \"40MiB\"\nupstream = \"back\"\n"
    ));
    site.start();
    site
}

#[test]
fn a_server_over_tls_is_asked_like_any_other_and_its_connection_is_kept() {
    let certificate = Certificate::new(NAMES);
    let server = Upstream::tls("a", &certificate);
    let mut site = trusting("https-all", &server, &certificate, "");
    let mut client = site.connect();
    for size in [0, 1, 65_536, 100_000, 8 << 20] {
        let body: Vec<u8> = (0..size).map(|i: usize| ((i * 31) >> 3) as u8).collect();
        let answer = client.request("POST", "/echo", &[("Content-Length", &size.to_string())], &body);
        assert_eq!(answer.status, 200);
        assert!(answer.body == body, "{size} bytes");
    }
    let chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let answer = client.request("POST", "/echo", &[("Transfer-Encoding", "chunked")], chunks);
    assert_eq!((answer.status, answer.text().as_str()), (200, "abcde"));
    let answer = client.get("/big?5000000", &[]);
    assert_eq!((answer.status, answer.body.len()), (200, 5_000_000));
    for (raw, text) in [("chunked", "abcde"), ("hints", "after"), ("trailers", "abc")] {
        assert_eq!(client.get(&format!("/raw?{raw}"), &[]).text(), text, "{raw}");
    }
    assert_eq!(server.connections(), (1, 0), "one handshake for all of them");
    assert_eq!(server.received()[0].header("x-forwarded-proto"), "http");
    // What its server has closed is noticed, also for what must not be sent twice.
    assert_eq!(client.get("/raw?last", &[]).text(), "last");
    wait_for("the server has closed it", || {
        (server.connections().1 == 1).then_some(())
    });
    let answer = client.request("POST", "/echo", &[], b"precious");
    assert_eq!((answer.status, answer.text().as_str()), (200, "precious"));
    assert_eq!(server.connections().0, 2);
    assert_eq!(client.get("/raw?close", &[]).text(), "up to the end");
    for bad in ["garbage", "lengths", "broken"] {
        assert_eq!(client.get(&format!("/raw?{bad}"), &[]).status, 502, "{bad}");
    }
    assert!(
        site.records(16)
            .iter()
            .all(|record| record["upstream"] == server.url.as_str())
    );

    // The certificate was read with the configuration, and a proxy that starts later has it.
    site.signal("HUP");
    site.wait_for_log("proxy drains");
    assert_eq!(site.get("/x").text(), "a");
    talk(&mut site.connect());
    assert!(site.stop().success());
}

#[test]
fn a_websocket_whose_client_says_no_more_ends_as_its_server_hears_of_that() {
    let certificate = Certificate::new(NAMES);
    let server = Upstream::tls("a", &certificate);
    let mut site = trusting("https-parting", &server, &certificate, "");
    let mut client = site.connect();
    upgrade(&mut client);
    echoed(&mut client, b"\x81\x05hello");
    let begun = Instant::now();
    client.finish_sending();
    assert!(client.closed());
    // A server that says nothing to it is given five seconds.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(site.records(1)[0]["outcome"], "ok");
    assert!(site.stop().success());
}

#[test]
fn an_answer_that_ends_without_a_goodbye_of_tls_may_have_been_cut() {
    let certificate = Certificate::new(NAMES);
    let server = Upstream::tls("a", &certificate);
    let mut site = trusting("https-torn", &server, &certificate, "");
    let mut client = site.connect();
    client.send("GET /torn HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(client.read_response("GET").is_err());
    assert_eq!(site.records(1)[0]["outcome"], "upstream_failed");
    site.wait_for_log("without saying goodbye");
    // Where a length tells the end it has come whole.
    assert_eq!(site.get("/x").text(), "a");
    assert!(site.stop().success());
}

/// What a server has, what `tls` says of it, and what becomes of a request: the body of the answer, or what
/// the log says.
type Case<'a> = (&'a str, &'a str, &'a str, Result<&'a str, &'a str>);

#[test]
fn servers_are_verified_and_the_log_says_why_one_is_not_accepted() {
    let mut site = Site::new("https-verified");
    let own = Certificate::new(NAMES);
    let system = Certificate::new(NAMES);
    let authority = Certificate::of_authority(NAMES);
    let other = Certificate::new(&["back.example", "*.back.example"]);
    let expired = Certificate::expired(NAMES);
    let expired_authority = Certificate::of_authority_expired(NAMES);
    for (name, certificate) in [
        ("own", &own),
        ("authority", &authority),
        ("other", &other),
        ("expired", &expired),
        ("expired-authority", &expired_authority),
    ] {
        site.write(&format!("{name}.pem"), &certificate.certificate);
    }
    // One certificate in it that nobody can read keeps nobody from using the others.
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let file = site.write("system.pem", format!("{broken}{}", system.certificate));
    site.environment("SSL_CERT_FILE", &file.display().to_string());

    let plain = Upstream::tcp("plain");
    let of = |certificate: &Certificate| Upstream::tls("right", certificate);
    let (of_own, of_system, of_authority) = (of(&own), of(&system), of(&authority));
    let (of_other, of_expired, of_expired_authority) = (of(&other), of(&expired), of(&expired_authority));
    let not_tls = plain.url.replace("http:", "https:");
    let named = of_own.url.replace("127.0.0.1", "localhost");
    let unknown = "nobody trusted here has signed its certificate; set `ca`";
    let for_other = "its certificate is for back.example, *.back.example; set `server_name`";
    let cases: &[Case<'_>] = &[
        ("own", &of_own.url, "ca = \"own.pem\"", Ok("right")),
        ("named", &named, "ca = \"own.pem\"", Ok("right")),
        ("system", &of_system.url, "", Ok("right")),
        (
            "authority",
            &of_authority.url,
            "ca = \"authority.pem\"",
            Ok("right"),
        ),
        ("untrusted", &of_own.url, "", Err(unknown)),
        // What `openssl req -x509` makes is an authority and a server at once.
        ("self-signed", &of_authority.url, "", Err(unknown)),
        ("mistaken", &of_own.url, "ca = \"other.pem\"", Err(unknown)),
        ("unverified", &of_own.url, "verify = false", Ok("right")),
        ("other", &of_other.url, "ca = \"other.pem\"", Err(for_other)),
        (
            "renamed",
            &of_other.url,
            "ca = \"other.pem\", server_name = \"a.back.example\"",
            Ok("right"),
        ),
        (
            "misnamed",
            &of_authority.url,
            "ca = \"authority.pem\", server_name = \"x.example\"",
            Err("is for"),
        ),
        (
            "expired",
            &of_expired.url,
            "ca = \"expired.pem\"",
            Err("has expired"),
        ),
        (
            "old",
            &of_expired_authority.url,
            "ca = \"expired-authority.pem\"",
            Err("has expired"),
        ),
        ("ancient", &of_expired.url, "verify = false", Ok("right")),
        (
            "plain",
            &not_tls,
            "verify = false",
            Err("if it is a server of plain HTTP, write http://"),
        ),
    ];
    let mut text = String::new();
    for (name, url, tls, _) in cases {
        text += &format!("[upstream.{name}]\nservers = [\"{url}\"]\ntls = {{ {tls} }}\n");
    }
    text += "[[site]]\nrespond = \"x\"\n";
    for (name, ..) in cases {
        text += &format!("[[site.route]]\npath = \"/{name}/\"\nupstream = \"{name}\"\n");
    }
    site.config(&text);
    site.start();
    for (name, _, _, expected) in cases {
        let answer = site.get(&format!("/{name}/"));
        match expected {
            Ok(body) => assert_eq!((answer.status, answer.text().as_str()), (200, *body), "{name}"),
            Err(why) => {
                assert_eq!(answer.status, 502, "{name}");
                let line = wait_for("the log tells of it", || {
                    let log = site.error_log();
                    let told = |line: &&str| {
                        line.contains("upstream failed") && line.contains(&format!("upstream={name} "))
                    };
                    log.lines().find(told).map(str::to_owned)
                });
                assert!(line.contains(why), "{name}: {line}");
            }
        }
    }
    assert!(plain.received().is_empty());
    assert!(site.stop().success());
}

#[test]
fn a_handshake_that_stalls_is_over_after_connect_timeout() {
    // The kernel accepts for it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let mut site = site("https-stalled", &[&url], "connect_timeout = \"300ms\"");
    assert_eq!(site.get("/x").status, 504);
    let record = &site.records(1)[0];
    assert_eq!(record["outcome"], "upstream_failed", "{record}");
    assert!(site.stop().success());
}

#[test]
fn check_refuses_a_ca_that_is_none() {
    let site = Site::new("https-check");
    let whole = Certificate::new(NAMES).certificate;
    for (text, told) in [
        ("", "holds no certificate in PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "nothing can be verified by",
        ),
        (&whole[..whole.len() - 30], "breaks off before its line"),
    ] {
        site.write("ca.pem", text);
        site.config(
            "[upstream.back]\nservers = [\"https://127.0.0.1:1\"]\ntls = { ca = \"ca.pem\" }\n[[site]]\nupstream = \"back\"\n",
        );
        let output = site.command(&["check"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(told) && said.contains("ca.pem"), "{said}");
    }
}

#[test]
fn nginx_over_tls_is_told_the_name_and_resumes_sessions() {
    if nginx::find().is_none() {
        println!("skipped: needs nginx (apt-get install nginx-light)");
        return;
    }
    let site = Site::new("https-nginx");
    let certificate = Certificate::of_authority(NAMES);
    certificate.write(&site.directory, "nginx");
    let tls_port = crate::harness::free_port();
    let _nginx = Nginx::start(&format!(
        r#"listen 127.0.0.1:{tls_port} ssl http2;
        ssl_certificate {dir}/nginx.crt;
        ssl_certificate_key {dir}/nginx.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:test:1m;
        add_header X-Name $ssl_server_name;
        add_header X-Protocol "$server_protocol $ssl_protocol";
        add_header X-Connection "$connection $connection_requests";
        add_header X-Reused "$ssl_session_reused";
        location / {{ return 200 "nginx"; }}"#,
        dir = site.directory.display(),
    ));
    let server = format!("https://localhost:{tls_port}");
    let mut site = started(site, &[&server], "tls = { ca = \"nginx.crt\" }");
    let mut client = site.connect();
    let answers: Vec<_> = (0..3).map(|_| client.get("/", &[])).collect();
    for (count, answer) in answers.iter().enumerate() {
        assert_eq!((answer.status, answer.text().as_str()), (200, "nginx"));
        assert_eq!(answer.header("x-name"), Some("localhost"));
        assert_eq!(answer.header("x-protocol"), Some("HTTP/1.1 TLSv1.3"));
        let requests = answer
            .header("x-connection")
            .and_then(|told| told.split(' ').nth(1));
        assert_eq!(requests, Some((count + 1).to_string().as_str()), "one connection");
    }
    assert!(site.stop().success());

    let mut site = Site::new("https-nginx-close");
    certificate.write(&site.directory, "nginx");
    site.config(&format!(
        "[server]\nthreads = 1\n[upstream.back]\nservers = [\"{server}\"]\nkeepalive = 0\ntls = {{ ca = \"nginx.crt\" }}\n\
         [[site]]\nupstream = \"back\"\n"
    ));
    site.start();
    assert_eq!(site.get("/").header("x-reused"), Some("."));
    assert_eq!(site.get("/").header("x-reused"), Some("r"));
    assert!(site.stop().success());
}

#[test]
fn check_and_the_log_tell_of_a_system_that_trusts_nobody() {
    let mut site = Site::new("https-nobody");
    site.write("empty.pem", "");
    let empty = site.directory.join("empty.pem").display().to_string();
    site.environment("SSL_CERT_FILE", &empty)
        .environment("SSL_CERT_DIR", "/nowhere");
    let mut site = started(site, &["https://127.0.0.1:9"], "");
    let warning = "the system has no trusted authorities: `https://` servers of upstreams cannot be verified";
    site.wait_for_log(warning);
    let output = site.command(&["check"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(told.contains(&format!("warning: {warning}")), "{told}");
    // With `ca`, or without verification, the system's authorities are not needed.
    site.config(
        "[upstream.back]\nservers = [\"https://127.0.0.1:9\"]\ntls = { verify = false }\n[[site]]\nupstream = \"back\"\n",
    );
    let output = site.command(&["check"]).output().unwrap();
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains(warning),
        "{output:?}"
    );
    assert!(site.stop().success());
}

#[test]
fn why_localhost_cannot_be_used_is_told_whichever_of_its_addresses_is_asked_last() {
    let certificate = Certificate::new(NAMES);
    // It listens on one of the two addresses.
    let server = Upstream::tls("a", &certificate);
    let port = server.url.rsplit(':').next().unwrap();
    let mut site = started(
        Site::new("https-localhost"),
        &[&format!("https://localhost:{port}")],
        "",
    );
    let mut client = site.connect();
    for _ in 0..4 {
        assert_eq!(client.get("/", &[]).status, 502);
    }
    let told = || {
        let log = site.error_log();
        let lines = log.lines().filter(|line| line.contains("upstream failed"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = wait_for("four lines", || Some(told()).filter(|lines| lines.len() == 4));
    for line in lines {
        assert!(
            line.contains("nobody trusted here has signed its certificate"),
            "{line}"
        );
    }
    assert!(site.stop().success());
}
