//! Starlette below compressing and looking middleware, as it is today and as 0.36, which many sites have
//! still.

use std::path::Path;

use serde_json::{Value, json};

use super::{content, in_two_generations, sha256, venv};
use crate::harness::{
    Site,
    client::request_bytes,
    python::{OLD_STARLETTE_PACKAGES, python, virtualenv},
};

const LINES: &[u8] = include_bytes!("../apps/middleware_site/static/lines.txt");

fn starlette(test: &str, venv: &Path, keys: &str) -> Site {
    let mut site = Site::certified(
        test,
        &format!(
            r#"
            [app.web]
            asgi = "main:app"
            directory = "{{apps}}/middleware_site"
            venv = "{}"
            env = {{ GATE = "{{dir}}" }}
            workers = 1
            {keys}

            [[site]]
            https = "off"
            app = "web"
            "#,
            venv.display()
        ),
    );
    site.start();
    site
}

/// Today's and the old one.
fn both() -> [(&'static str, std::path::PathBuf); 2] {
    [
        ("starlette", venv()),
        ("starlette-0.36", virtualenv(python(), OLD_STARLETTE_PACKAGES)),
    ]
}

/// What each stack of middleware does to an answer: its coding, and a field of its own.
const STACKS: [(&str, Option<&str>, Option<&str>); 6] = [
    ("/bare", None, None),
    ("/gzip", Some("gzip"), None),
    ("/brotli", Some("br"), None),
    ("/timing", None, Some("x-seen")),
    ("/counting", None, Some("x-counted")),
    ("/many", Some("gzip"), Some("x-counted")),
];

#[test]
fn files_and_pages_are_whole_below_every_middleware() {
    for (test, venv) in both() {
        let mut site = starlette(test, &venv, "");
        let page = site.get("/bare/page").body;
        in_two_generations(&site, |version| {
            for (stack, coding, field) in STACKS {
                for (path, expected) in [
                    ("/page", &page[..]),
                    ("/file", LINES),
                    ("/static/lines.txt", LINES),
                ] {
                    let target = format!("{stack}{path}");
                    let accept = ["--compressed", "-H", "Accept-Encoding: gzip, br"];
                    let answer = site.curl(version, &target, &accept);
                    let told = format!("{test} {version} {target}: {:?}", answer.headers);
                    assert_eq!(answer.status, 200, "{told}");
                    assert!(answer.body == expected, "{told}");
                    assert_eq!(answer.header("content-encoding"), coding, "{told}");
                    assert!(field.is_none_or(|field| answer.header(field).is_some()), "{told}");

                    let head = site.curl(version, &target, &["--head"]);
                    assert_eq!((head.status, head.body.len()), (200, 0), "{told}");
                }
            }
        });
        assert!(site.stop().success());
    }
}

#[test]
fn parts_of_a_stream_pass_a_middleware_as_they_are_made() {
    for (test, venv) in both() {
        let mut site = starlette(test, &venv, "");
        for stack in ["/bare", "/timing", "/gzip"] {
            let mut client = site.connect();
            let until = format!("{test}{}", stack.replace('/', "-"));
            client
                .send(request_bytes(
                    "GET",
                    &format!("{stack}/stream?until={until}"),
                    &[],
                    b"",
                ))
                .unwrap();
            assert_eq!(client.read_head().unwrap().status, 200, "{test} {stack}");
            let first = client.read_chunk().unwrap();
            assert_eq!(
                first.as_deref(),
                Some(&b"first\n".repeat(200)[..]),
                "{test} {stack}"
            );
            site.write(&until, "");
            let mut rest = Vec::new();
            while let Some(chunk) = client.read_chunk().unwrap() {
                rest.extend(chunk);
            }
            assert_eq!(rest, b"second\n".repeat(200), "{test} {stack}");
        }
        assert!(site.stop().success());
    }
}

#[test]
fn an_upload_is_whole_below_every_middleware() {
    for (test, venv) in both() {
        let mut site = starlette(test, &venv, "");
        let file = content(1_300_000);
        site.write("file.bin", &file);
        in_two_generations(&site, |version| {
            for (stack, coding, _) in STACKS {
                let answer = site.curl(
                    version,
                    &format!("{stack}/upload"),
                    &["-F", "note=grün", "-F", "file=@file.bin"],
                );
                let told: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| {
                    panic!("{test} {version} {stack} {coding:?}: {error}: {}", answer.text())
                });
                assert_eq!(
                    told,
                    json!({ "size": file.len(), "sha256": sha256(&file), "note": "grün" }),
                    "{test} {version} {stack}"
                );
            }
        });
        assert!(site.stop().success());
    }
}

#[test]
fn a_file_is_left_to_us_where_the_app_says_so_and_nothing_looks_at_its_body() {
    for (test, venv) in both() {
        let mut site = starlette(test, &venv, "pathsend = true");
        in_two_generations(&site, |version| {
            for target in ["/bare/file", "/bare/static/lines.txt"] {
                let whole = site.curl(version, target, &[]);
                assert_eq!(
                    (whole.status, &whole.body[..]),
                    (200, LINES),
                    "{test} {version} {target}"
                );
                let tag = format!("If-None-Match: {}", whole.header("etag").unwrap());
                if target.contains("static") {
                    let same = site.curl(version, target, &["-H", &tag]);
                    assert_eq!(
                        (same.status, same.body.len()),
                        (304, 0),
                        "{test} {version} {target}"
                    );
                }
            }
        });
        assert!(site.stop().success());
    }
}
