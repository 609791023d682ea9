//! Frameworks that many first applications are written in, each with the same few pages: Bottle, Pyramid,
//! Falcon under either interface, Litestar and Sanic.

use serde_json::{Value, json};

use super::{content, sha256, site};
use crate::harness::{Connection, Message, Site, WebSocket, curl::VERSIONS};

/// A framework: its interface, and whether it knows that it is mounted, routes on the rest of the path and
/// names itself as a whole.
struct Framework {
    name: &'static str,
    interface: &'static str,
    mounted: bool,
}

const FRAMEWORKS: [Framework; 6] = [
    Framework {
        name: "bottle_app",
        interface: "wsgi",
        mounted: true,
    },
    Framework {
        name: "pyramid_app",
        interface: "wsgi",
        mounted: true,
    },
    Framework {
        name: "falcon_app",
        interface: "wsgi",
        mounted: true,
    },
    Framework {
        name: "falcon_later",
        interface: "asgi",
        mounted: false,
    },
    Framework {
        name: "litestar_app",
        interface: "asgi",
        mounted: true,
    },
    Framework {
        name: "sanic_app",
        interface: "asgi",
        mounted: false,
    },
];

fn framework(framework: &Framework) -> Site {
    let Framework {
        name,
        interface,
        mounted,
    } = framework;
    site(
        name,
        &format!(
            r#"
            [app.web]
            {interface} = "{name}:app"
            directory = "{{apps}}/frameworks_site"
            venv = "{{venv}}"
            workers = 1

            [[site]]
            https = "off"
            app = "web"

            [[site.route]]
            path = "/below"
            app = "web"
            mount = "/below"
            strip = {}
            "#,
            !mounted
        ),
    )
}

/// Every page of a framework, below `place`.
#[track_caller]
fn pages(site: &Site, name: &str, version: &str, place: &str) {
    let told = |path: &str| format!("{name} {version} {place}{path}");
    let ask = |path: &str, arguments: &[&str]| site.curl(version, &format!("{place}{path}"), arguments);
    let json = |path: &str, arguments: &[&str]| -> Value {
        let answer = ask(path, arguments);
        serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {} {}", told(path), answer.status, answer.text()))
    };
    let hello = "/hello/gr%C3%BCn?q=a%20b";
    let cookies = ["--cookie", "seen=me; other=1"];
    assert_eq!(
        json(hello, &cookies),
        json!({ "hello": "a b", "name": "grün", "seen": "me" }),
        "{}",
        told(hello)
    );
    let cookie = ask(hello, &[])
        .header("set-cookie")
        .unwrap_or_default()
        .to_owned();
    assert!(cookie.starts_with("seen=yes;"), "{} {cookie}", told(hello));

    let document = r#"{"text":"grün","numbers":[1,2.5,null]}"#;
    let sent = ["--data", document, "-H", "Content-Type: application/json"];
    assert_eq!(
        json("/json", &sent),
        serde_json::from_str::<Value>(document).unwrap(),
        "{}",
        told("/json")
    );

    let file = content(400_000);
    site.write("file.bin", &file);
    assert_eq!(
        json("/form", &["-F", "note=grün", "-F", "file=@file.bin"]),
        json!({ "note": "grün", "name": "file.bin", "sha256": sha256(&file) }),
        "{}",
        told("/form")
    );

    let parts = ask("/parts", &[]);
    assert_eq!(
        (parts.status, parts.text().as_str()),
        (200, "part 0\npart 1\npart 2\n"),
        "{}",
        told("/parts")
    );
    for (arguments, body) in [(&[][..], "a file of the project\n"), (&["--head"][..], "")] {
        let answer = ask("/file", arguments);
        // Not every framework answers HEAD where GET was asked for.
        if answer.status != 405 {
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, body),
                "{}",
                told("/file")
            );
        }
    }
    assert_eq!(ask("/missing", &[]).status, 404, "{}", told("/missing"));
}

/// Where the redirect leads, from the root of the site.
#[track_caller]
fn leads_to(site: &Site, version: &str, place: &str) -> String {
    let answer = site.curl(version, &format!("{place}/away"), &[]);
    assert!(
        (300..304).contains(&answer.status),
        "{version} {place} {}",
        answer.status
    );
    let location = answer.header("location").unwrap();
    let own = format!("https://localhost:{}", site.tls_port);
    location.strip_prefix(&own).unwrap_or(location).to_owned()
}

#[test]
fn every_framework_serves_its_pages() {
    for each in &FRAMEWORKS {
        let mut site = framework(each);
        for version in VERSIONS {
            pages(&site, each.name, version, "");
            assert_eq!(leads_to(&site, version, ""), "/hello/there", "{}", each.name);
            pages(&site, each.name, version, "/below");
            // One that is told nothing of its place leads to the root.
            let there = if each.mounted {
                "/below/hello/there"
            } else {
                "/hello/there"
            };
            assert_eq!(leads_to(&site, version, "/below"), there, "{}", each.name);
        }
        assert!(site.stop().success());
    }
}

#[test]
fn frameworks_that_speak_websocket_do() {
    for each in FRAMEWORKS.iter().filter(|each| each.interface == "asgi") {
        let mut site = framework(each);
        for target in ["/talk", "/below/talk"] {
            let mut socket = WebSocket::ask(Connection::open(site.port), target, &[])
                .unwrap_or_else(|answer| panic!("{} {target}: {answer:?}", each.name));
            socket.text("grün");
            assert_eq!(socket.read_text(), "you said grün", "{} {target}", each.name);
            socket.close(1000);
            assert!(
                matches!(socket.read(), Message::Close(1000, _)),
                "{} {target}",
                each.name
            );
        }
        assert!(site.stop().success());
    }
}
