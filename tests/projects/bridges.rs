//! What carries a WSGI application into ASGI (Starlette's, a2wsgi's and asgiref's bridges) and back (a2wsgi):
//! bodies and paths, mounted by us and not, and mounted by Starlette.

use serde_json::{Value, json};

use super::{content, sha256, site};
use crate::harness::{Site, curl::VERSIONS};

const BRIDGES: [&str; 3] = ["starlette", "a2wsgi", "asgiref"];

/// Each bridge is an app, at a path of its own and once more without being told of it; all of them are in one
/// Starlette, too.
fn config() -> String {
    let mut config = String::from("[[site]]\nrespond = \"nothing\"\n");
    let apps = [
        ("starlette", "asgi", "main:by_starlette"),
        ("a2wsgi", "asgi", "main:by_a2wsgi"),
        ("asgiref", "asgi", "main:by_asgiref"),
        ("inside", "asgi", "main:inside"),
        ("back", "wsgi", "main:back"),
    ];
    for (name, ..) in apps {
        config += &format!("[[site.route]]\npath = \"/{name}\"\nmount = \"/{name}\"\napp = \"{name}\"\n");
    }
    // Of the others Flask knows no path that begins so.
    config += "[[site.route]]\npath = \"/tell\"\nmount = \"\"\napp = \"starlette\"\n";
    for (name, interface, target) in apps {
        config += &format!(
            "[app.{name}]\n{interface} = \"{target}\"\ndirectory = \"{{apps}}/bridges_site\"\nvenv = \"{{venv}}\"\nworkers = 1\n"
        );
    }
    config
}

/// Paths as they are sent, and what of them arrives behind `/tell/`.
const PATHS: [(&str, &str); 6] = [
    ("plain", "plain"),
    ("gr%C3%BCn/and%20more", "grün/and more"),
    ("100%25", "100%"),
    ("queues/%2F/http:%2F%2Fx.test//y", "queues///http://x.test//y"),
    ("a%2Fb", "a/b"),
    ("semi;colon=1/~user/", "semi;colon=1/~user/"),
];

#[track_caller]
fn json_of(site: &Site, version: &str, target: &str, arguments: &[&str]) -> Value {
    let answer = site.curl(version, target, arguments);
    serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("{version} {target}: {error}: {} {}", answer.status, answer.text()))
}

fn latin1(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

/// A request with a body at every path, where `mounted` is what the application is told of the place.
#[track_caller]
fn tells(site: &Site, version: &str, place: &str, mounted: &str) {
    let body = "a body of some length\n".repeat(9000);
    site.write("body", &body);
    let whole = (
        "POST",
        json!(body.len()),
        json!([body.len(), sha256(body.as_bytes())]),
    );
    let none = ("GET", json!(null), json!([0, sha256(b"")]));
    for (sent, arrives) in PATHS {
        let target = format!("{place}/tell/{sent}?q=%20x&y");
        for (method, length, digest) in [&whole, &none] {
            let fields = ["-H", "X-Mine: one", "-H", "Content-Type: text/plain"];
            let arguments = match *method {
                "GET" => fields.to_vec(),
                _ => [&fields[..], &["--data-binary", "@body"]].concat(),
            };
            let told = json_of(site, version, &target, &arguments);
            let expected = json!([
                {
                    "REQUEST_METHOD": method,
                    "SCRIPT_NAME": mounted,
                    "PATH_INFO": latin1(&format!("/tell/{arrives}")),
                    "QUERY_STRING": "q=%20x&y",
                    "wsgi.url_scheme": "https",
                    "REMOTE_ADDR": "127.0.0.1",
                    "HTTP_X_MINE": "one",
                },
                arrives,
                length,
                digest,
            ]);
            assert_eq!(told, expected, "{version} {method} {target}");
        }
    }
}

/// A form with a file, and an answer in parts.
#[track_caller]
fn forms_and_parts(site: &Site, version: &str, place: &str, note: &Value) {
    let file = content(1_200_000);
    site.write("file.bin", &file);
    let told = json_of(
        site,
        version,
        &format!("{place}/form"),
        &["-F", "note=grün", "-F", "file=@file.bin"],
    );
    assert_eq!(
        told,
        json!([note, "file.bin", [file.len(), sha256(&file)]]),
        "{version} {place}"
    );
    // Of a body whose length nobody knows when it begins.
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\ngr\xc3\xbcn\r\n--x\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"file.bin\"\r\n\r\n"
        .to_vec();
    body.extend_from_slice(&file);
    body.extend_from_slice(b"\r\n--x--\r\n");
    let kind = [
        "-X",
        "POST",
        "--upload-file",
        "-",
        "-H",
        "Content-Type: multipart/form-data; boundary=x",
    ];
    let answer = site.curl_with(version, &format!("{place}/form"), &kind, &body);
    let again: Value = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("{version} {place}: {error}: {} {}", answer.status, answer.text()));
    assert_eq!(again, told, "{version} {place}");

    let parts = site.curl(version, &format!("{place}/parts"), &[]);
    assert_eq!(
        (parts.status, parts.text().as_str()),
        (200, "part 0\npart 1\npart 2\n"),
        "{version} {place}"
    );
    assert_eq!(parts.header("content-length"), None, "{version} {place}");
}

#[test]
fn flask_is_carried_into_asgi_alone_and_mounted() {
    let mut site = site("bridges", &config());
    for version in VERSIONS {
        for bridge in BRIDGES {
            for place in [format!("/{bridge}"), format!("/inside/{bridge}")] {
                tells(&site, version, &place, &place);
                forms_and_parts(&site, version, &place, &json!({ "note": ["grün"] }));
                let away = site.curl(version, &format!("{place}/away"), &[]);
                let there = format!("https://localhost:{}{place}/tell/there", site.tls_port);
                assert_eq!(
                    (away.status, away.header("location")),
                    (302, Some(there.as_str())),
                    "{version}"
                );
            }
        }
        tells(&site, version, "", "");
    }
    assert!(site.stop().success());
}

#[test]
fn starlette_is_carried_into_wsgi() {
    let mut site = site("bridges-back", &config());
    let body = content(300_000);
    site.write("body", &body);
    for version in VERSIONS {
        for (sent, arrives) in PATHS {
            let told = json_of(
                &site,
                version,
                &format!("/back/tell/{sent}"),
                &["--data-binary", "@body"],
            );
            assert_eq!(
                told,
                json!([
                    {
                        "type": "http",
                        "method": "POST",
                        "root_path": "/back",
                        "path": format!("/back/tell/{arrives}"),
                        "scheme": "https",
                    },
                    body.len().to_string(),
                    [body.len(), sha256(&body)],
                ]),
                "{version} {sent}"
            );
        }
        forms_and_parts(&site, version, "/back", &json!("grün"));
    }
    assert!(site.stop().success());
}
