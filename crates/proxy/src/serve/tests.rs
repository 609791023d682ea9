use std::{collections::VecDeque, path::Path};

use bytes::Bytes;

use config::Config;
use message::{answer::AnswerLength, connection::TlsFacts, downstream::recorder::Recorder, head::BodyLength};

use super::*;
use crate::{drain::Drain, router::Router};

const SITES: &str = r#"
[server]
trusted_proxies = ["10.0.0.0/8"]

[upstream.api]
servers = ["http://127.0.0.1:9"]

[[site]]
hosts = ["example.org"]
https = "off"
headers = { "X-Frame-Options" = "DENY" }
body_max = "10B"

[[site.route]]
path = "= /health"
methods = ["GET"]
respond = { status = 200, body = "ok\n", content_type = "text/x-health" }

[[site.route]]
path = "/any"
respond = { status = 204, body = "" }

[[site.route]]
path = "/old"
redirect = { to = "{scheme}://{host}/new{path}{query}", status = 308 }

[[site.route]]
path = "/api/"
upstream = "api"

[[site.route]]
path = "/files/"
files = "/var/empty/nothing/"

[[site]]
hosts = ["secure.example"]
respond = "secret"
"#;

struct Told {
    down: Recorder,
    record: Record,
}

fn ask_with(text: &str, mut down: Recorder) -> Told {
    let mut config =
        Config::parse(text, Path::new("/etc/appliance/site.toml")).expect("a good configuration");
    // Written in a file it would need a TLS listener with certificates.
    config.sites[1].redirect_https = true;
    let context = Context {
        router: Router::new(&config.sites),
        config: ProxyConfig::from(&config),
        apps: Vec::new(),
        upstreams: Vec::new(),
        tls: Vec::new(),
        log: logs::AccessLog::off(),
        drain: Drain::new(),
    };
    let peer = down.connection.peer.map_or(Remote::Unix, Remote::from);
    let mut record = Record::new(peer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let stalls = down.stalls_after.is_some();
    let _ = runtime.block_on(async {
        let mut serving = std::pin::pin!(serve(&context, &mut down, &mut record));
        // What these sites do is done at the first look, unless a client takes no more, or a directory is
        // new.
        std::future::poll_fn(|cx| match serving.as_mut().poll(cx) {
            std::task::Poll::Pending if !stalls => std::task::Poll::Pending,
            served => std::task::Poll::Ready(served),
        })
        .await
    });
    Told { down, record }
}

fn ask(method: &str, target: &str, lines: &[(&str, &str)]) -> Told {
    ask_with(SITES, Recorder::new(method, target, lines))
}

fn name(of: &Option<std::sync::Arc<str>>) -> Option<&str> {
    of.as_deref()
}

#[test]
fn a_fixed_answer_carries_the_fields_of_its_route_and_fills_the_record() {
    let told = ask(
        "GET",
        "/health?x",
        &[("User-Agent", "curl"), ("Referer", "there")],
    );
    assert_eq!((told.down.status(), told.down.text()), (200, "ok\n"));
    assert_eq!(told.down.field("content-type"), Some("text/x-health"));
    assert_eq!(told.down.field("x-frame-options"), Some("DENY"));
    assert!(told.down.ended);
    let record = told.record;
    assert_eq!(
        (record.method(), record.target()),
        (Some(&b"GET"[..]), Some(&b"/health?x"[..]))
    );
    assert_eq!(record.host(), Some(&b"example.org"[..]));
    assert_eq!(record.user_agent(), Some(&b"curl"[..]));
    assert_eq!(record.referer(), Some(&b"there"[..]));
    assert_eq!(
        (name(&record.site), record.status, record.bytes_out),
        (Some("example.org"), Some(200), 3)
    );
    assert!(record.route.is_some());
    assert_eq!(record.request_id().map(<[u8]>::len), Some(32));
    assert_eq!(record.client.to_string(), "192.0.2.7");
    assert_eq!(
        (record.protocol, record.scheme),
        (Some(Protocol::Http11), Scheme::Http)
    );
    assert_eq!(record.outcome, None);
}

#[test]
fn an_answer_without_content_has_no_length() {
    let told = ask("DELETE", "/any/thing", &[]);
    assert_eq!(told.down.status(), 204);
    assert_eq!(
        told.down.answer.map(|answer| answer.length),
        Some(AnswerLength::None)
    );
}

#[test]
fn a_method_that_is_not_allowed_is_told_which_are() {
    let told = ask("POST", "/health", &[]);
    assert_eq!(
        (told.down.status(), told.down.field("allow")),
        (405, Some("GET, HEAD"))
    );
    assert_eq!(told.down.field("x-frame-options"), Some("DENY"));
    assert_eq!(
        (told.record.status, told.record.outcome),
        (Some(405), Some(Outcome::Refused))
    );
    assert_eq!(ask("HEAD", "/health", &[]).down.status(), 200);
    assert_eq!(ask("TRACE", "/any", &[]).down.status(), 405);
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let mut down = Recorder::new("POST", "/any", &[]);
    down.head.body = BodyLength::Known(11);
    down.body_in = VecDeque::from([Bytes::from_static(b"12345678901")]);
    let told = ask_with(SITES, down);
    assert_eq!((told.down.status(), told.down.body_in.len()), (413, 1));
    let mut down = Recorder::new("POST", "/any", &[]);
    down.head.body = BodyLength::Known(10);
    let told = ask_with(SITES, down);
    assert_eq!((told.down.status(), told.down.limit), (204, Some(10)));
}

#[test]
fn a_redirect_leads_to_its_template() {
    let told = ask("GET", "/old/a%20b?c=d", &[]);
    assert_eq!(told.down.status(), 308);
    assert_eq!(
        told.down.field("location"),
        Some("http://example.org/new/old/a%20b?c=d")
    );
    assert_eq!(told.record.status, Some(308));
}

#[test]
fn an_old_client_without_host_is_redirected_to_a_host_that_leads_here() {
    let mut down = Recorder::new("GET", "/old", &[]);
    down.head.host.clear();
    let text = SITES.replace("hosts = [\"example.org\"]\n", "");
    let told = ask_with(&text, down);
    assert_eq!(told.down.field("location"), Some("http://192.0.2.1/new/old"));
}

#[test]
fn plain_http_is_redirected_where_the_site_wants_https() {
    let at = |method: &str, secure: bool, lines: &[(&str, &str)]| {
        let mut down = Recorder::new(method, "/a%20b?c", lines);
        down.head.host = b"Secure.example".to_vec();
        down.connection.tls = secure.then_some(TlsFacts {
            version: "TLSv1.3",
            cipher: "x",
            version_number: 0x0304,
            cipher_number: 0x1301,
            server_name: None,
        });
        if !lines.is_empty() {
            down.connection.peer = "10.0.0.1:9".parse().ok();
        }
        ask_with(SITES, down)
    };
    let told = at("GET", false, &[]);
    assert_eq!(told.down.status(), 301);
    assert_eq!(
        told.down.field("location"),
        Some("https://secure.example/a%20b?c")
    );
    assert_eq!(
        (told.record.status, name(&told.record.site)),
        (Some(301), Some("secure.example"))
    );
    assert_eq!(at("POST", false, &[]).down.status(), 308);
    let told = at("GET", true, &[]);
    assert_eq!((told.down.text(), told.record.scheme), ("secret", Scheme::Https));
    assert_eq!(told.record.tls.map(|tls| tls.version), Some("TLSv1.3"));
    let told = at(
        "GET",
        false,
        &[
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-For", "198.51.100.1"),
        ],
    );
    assert_eq!(told.down.text(), "secret");
    assert_eq!(told.record.client.to_string(), "198.51.100.1");
    assert_eq!(told.record.peer.to_string(), "10.0.0.1");
}

#[test]
fn what_is_not_there_has_a_page() {
    for (target, accept, content_type) in [
        ("/nothing", "text/html", "text/html; charset=utf-8"),
        ("/files/nothing", "*/*", "text/html; charset=utf-8"),
        ("/nothing", "application/json", "application/json"),
    ] {
        let told = ask("GET", target, &[("Accept", accept)]);
        assert_eq!(
            (told.down.status(), told.down.field("content-type")),
            (404, Some(content_type)),
            "{target}"
        );
        assert_eq!(
            (told.record.status, told.record.outcome),
            (Some(404), Some(Outcome::Ok))
        );
        assert_eq!(told.record.bytes_out, told.down.body_out.len() as u64);
        assert!(told.down.ended);
    }
    let mut down = Recorder::new("GET", "/", &[]);
    down.head.host = b"other.example".to_vec();
    let told = ask_with(SITES, down);
    assert_eq!((told.down.status(), told.record.site), (404, None));
}

#[test]
fn what_can_not_be_understood_is_a_bad_request() {
    for target in ["/a%zz", "/..", "/%00", "nothing", "*"] {
        let told = ask("GET", target, &[]);
        assert_eq!(told.down.status(), 400, "{target}");
        assert_eq!(told.record.outcome, Some(Outcome::Refused));
    }
    let mut down = Recorder::new("GET", "/", &[]);
    down.head.host = b"a b".to_vec();
    assert_eq!(ask_with(SITES, down).down.status(), 400);
    assert_eq!(ask("OPTIONS", "*", &[]).down.status(), 404);
}

#[test]
fn a_client_that_leaves_while_it_is_answered_is_noted() {
    let mut down = Recorder::new("GET", "/health", &[]);
    down.leaves_after = Some(1);
    let told = ask_with(SITES, down);
    assert_eq!(
        (told.record.status, told.record.outcome),
        (Some(200), Some(Outcome::ClientGone))
    );
    assert_eq!(told.record.bytes_out, 1);
    assert!(!told.down.ended);
}

#[test]
fn an_answer_that_is_dropped_half_way_is_noted() {
    let mut down = Recorder::new("GET", "/health", &[]);
    down.stalls_after = Some(1);
    let told = ask_with(SITES, down);
    assert_eq!((told.record.status, told.record.bytes_out), (Some(200), 1));
    assert!(!told.down.ended);
}
