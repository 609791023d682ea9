//! Uploads of Django and Django REST framework: several files, form fields, a large file, a body of unknown
//! length; under both interfaces, with whole bodies and such that are on their way, over both versions of
//! HTTP, and again after a reload.

use std::fs;

use serde_json::{Value, json};

use super::{content, reload, sha256, site};
use crate::harness::{Site, curl::VERSIONS};

const CONFIG: &str = r#"
    [app.web]
    wsgi = "site_app:wsgi"
    directory = "{apps}/uploads_site"
    venv = "{venv}"
    workers = 1
    preload = {preload}

    [app.live]
    asgi = "site_app:asgi"
    directory = "{apps}/uploads_site"
    venv = "{venv}"
    workers = 1
    preload = {preload}

    [[site]]
    body_max = "64MiB"
    app = "web"

    [[site.route]]
    path = "/live"
    app = "live"

    [[site.route]]
    path = "/flow"
    app = "live"
    mount = "/flow"
    request_buffering = false
"#;

/// Where the project is found: under `wsgi` at the root, under `asgi` below two paths, the last with bodies
/// on their way.
const PLACES: [&str; 3] = ["", "/live", "/flow"];

/// Files as a user has them: an empty one, a small one, one over what Django keeps in memory, a large one.
const FILES: [(&str, u32); 4] = [
    ("empty.txt", 0),
    ("small.txt", 2_000),
    ("photo.jpg", 1_500_000),
    ("large.bin", 6 << 20),
];

/// What the project tells of each of the files.
fn write_files(site: &Site) -> Vec<Value> {
    FILES
        .iter()
        .map(|&(name, size)| {
            let content = content(size);
            site.write(name, &content);
            json!([name, size, sha256(&content)])
        })
        .collect()
}

#[track_caller]
fn told(site: &Site, version: &str, target: &str, arguments: &[&str]) -> Value {
    let answer = site.curl(version, target, arguments);
    assert!(
        answer.status < 300,
        "{version} {target}: {} {}",
        answer.status,
        answer.text()
    );
    serde_json::from_slice(&answer.body).unwrap()
}

/// Everything that is uploaded in one place over one version of HTTP.
#[track_caller]
fn uploads(site: &Site, files: &[Value], version: &str, place: &str) {
    let [empty, small, photo, large] = files else {
        unreachable!()
    };
    for view in ["/form", "/form-later"] {
        let target = format!("{place}{view}");
        let form = told(
            site,
            version,
            &target,
            &[
                "-F",
                "note=grün & gut",
                "-F",
                "tag=a",
                "-F",
                "tag=b",
                "-F",
                "scan=@photo.jpg",
                "-F",
                "pages=@small.txt",
                "-F",
                "pages=@empty.txt",
            ],
        );
        assert_eq!(
            form["fields"],
            json!({ "note": ["grün & gut"], "tag": ["a", "b"] }),
            "{version} {target}"
        );
        assert_eq!(
            form["files"],
            json!({ "scan": [photo], "pages": [small, empty] }),
            "{version} {target}"
        );
        assert_eq!(
            (&form["script_name"], &form["path"]),
            (&json!(place), &json!(target))
        );
    }
    let one = told(
        site,
        version,
        &format!("{place}/form"),
        &["-F", "file=@large.bin"],
    );
    assert_eq!(one["files"], json!({ "file": [large] }), "{version} {place}");
    let fields = told(
        site,
        version,
        &format!("{place}/form"),
        &["--data", "a=1&b=2&a=3"],
    );
    assert_eq!(
        (&fields["fields"], &fields["content_length"]),
        (&json!({ "a": ["1", "3"], "b": ["2"] }), &json!("11")),
        "{version} {place}"
    );

    let document = [
        "-F",
        "title=Report",
        "-F",
        "copies=2",
        "-F",
        "scan=@photo.jpg",
        "-F",
        "pages=@small.txt",
        "-F",
        "pages=@large.bin",
    ];
    assert_eq!(
        told(site, version, &format!("{place}/api/documents"), &document),
        json!({ "title": "Report", "copies": 2, "scan": photo, "pages": [small, large] }),
        "{version} {place}"
    );
    let incomplete = site.curl(version, &format!("{place}/api/documents"), &document[..4]);
    assert_eq!(
        (incomplete.status, incomplete.text().contains("scan")),
        (400, true),
        "{version} {place}: {}",
        incomplete.text()
    );
    let put = ["--upload-file", "photo.jpg", "-H", "Content-Type: image/jpeg"];
    assert_eq!(
        &told(site, version, &format!("{place}/api/named/photo.jpg"), &put),
        photo,
        "{version} {place}"
    );
    uploads_of_unknown_length(site, files, version, place);
}

/// A body whose end curl does not know when it begins: chunked on HTTP/1.1, without `content-length` on
/// HTTP/2.
#[track_caller]
fn uploads_of_unknown_length(site: &Site, files: &[Value], version: &str, place: &str) {
    let from_input = ["--upload-file", "-", "-X", "POST", "-H"];
    let photo = fs::read(site.directory.join("photo.jpg")).unwrap();
    for view in ["/raw", "/stream"] {
        let target = format!("{place}{view}");
        // More than Django reads into memory for a view that asks for the whole body.
        let body = if view == "/raw" {
            &photo[..1 << 20]
        } else {
            &photo[..]
        };
        let kind = [&from_input[..], &["Content-Type: application/octet-stream"]].concat();
        let answer = site.curl_with(version, &target, &kind, body);
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| {
            panic!("{version} {target}: {error}: {} {}", answer.status, answer.text())
        });
        assert_eq!(
            told,
            json!({ "size": body.len(), "sha256": sha256(body) }),
            "{version} {target}"
        );
    }
    let mut body = b"--frontier\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nchunked\r\n--frontier\r\n\
        Content-Disposition: form-data; name=\"scan\"; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"
        .to_vec();
    body.extend_from_slice(&photo);
    body.extend_from_slice(b"\r\n--frontier--\r\n");
    let kind = [
        &from_input[..],
        &["Content-Type: multipart/form-data; boundary=frontier"],
    ]
    .concat();
    let answer = site.curl_with(version, &format!("{place}/form"), &kind, &body);
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    if place == "/flow" {
        // Nobody knows the length, and Django takes a form without one for empty; it does so behind every
        // server.
        assert_eq!(
            (&told["fields"], &told["files"]),
            (&json!({}), &json!({})),
            "{version}"
        );
        return;
    }
    assert_eq!(
        told["fields"],
        json!({ "note": ["chunked"] }),
        "{version} {place}"
    );
    assert_eq!(told["files"], json!({ "scan": [files[2]] }), "{version} {place}");
    assert_eq!(
        told["content_length"],
        json!(body.len().to_string()),
        "{version} {place}"
    );
}

/// Uploads everywhere, before a reload and after it.
fn everywhere(preload: bool) {
    let config = CONFIG.replace("{preload}", &preload.to_string());
    let mut site = site(&format!("multipart-preload-{preload}"), &config);
    let files = write_files(&site);
    for generation in 1..=2 {
        for version in VERSIONS {
            for place in PLACES {
                uploads(&site, &files, version, place);
            }
        }
        if generation == 1 {
            reload(&site);
        }
    }
    assert!(site.stop().success());
}

#[test]
fn everything_arrives_where_the_project_is_imported_before_the_fork() {
    everywhere(true);
}

#[test]
fn everything_arrives_where_each_worker_imports_the_project() {
    everywhere(false);
}
