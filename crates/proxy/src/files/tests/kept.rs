//! Files that are asked for so often that they are answered from memory.

use std::time::Instant;

use super::*;

type Lines<'a> = &'a [(&'a str, &'a str)];

const OFTEN: usize = 40;
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn an_answer_from_memory_is_the_same_as_one_from_the_disk() {
    let site = Site::new();
    for (name, text) in [("b.css", "plain"), ("b.css.gz", "gz"), ("index.html", "<p>")] {
        site.write(name, text);
    }
    let requests: [(_, _, Lines<'_>); 11] = [
        ("GET", "/static/a.txt", &[]),
        ("HEAD", "/static/a.txt", &[]),
        ("GET", "/static/a.txt", &[("Range", "bytes=10-19")]),
        (
            "GET",
            "/static/a.txt",
            &[("Range", "bytes=-3"), ("If-Range", ETAG)],
        ),
        ("GET", "/static/a.txt", &[("Range", "bytes=900-")]),
        ("GET", "/static/a.txt", &[("If-None-Match", ETAG)]),
        ("GET", "/static/a.txt", &[("If-Modified-Since", MODIFIED)]),
        ("GET", "/static/b.css", &[]),
        ("GET", "/static/b.css", &[("Accept-Encoding", "gzip, br")]),
        ("GET", "/static/b.css.gz", &[]),
        ("GET", "/static/", &[]),
    ];
    for (method, target, lines) in requests {
        let (first, told) = site.ask(method, target, lines);
        for _ in 0..OFTEN {
            let (served, again) = site.ask(method, target, lines);
            assert_eq!(served, first, "{method} {target} {lines:?}");
            assert_eq!(again.answer, told.answer, "{method} {target} {lines:?}");
            assert_eq!(again.body_out, told.body_out, "{method} {target} {lines:?}");
        }
    }
}

#[test]
fn a_file_that_changes_is_seen_soon_however_often_it_is_asked_for() {
    let site = Site::new();
    site.write("d.css", "old");
    let gzip = &[("Accept-Encoding", "gzip")];
    let until = |done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < PATIENCE, "the old file is served for ever");
        }
    };
    for _ in 0..OFTEN {
        assert_eq!(site.get("/static/d.css", gzip).body_out, b"old");
    }
    site.write("d.css", "newer");
    until(&|| site.get("/static/d.css", gzip).body_out == b"newer");
    site.write("d.css.gz", "packed");
    until(&|| site.get("/static/d.css", gzip).body_out == b"packed");
    fs::remove_file(site.path("d.css.gz")).unwrap();
    until(&|| site.get("/static/d.css", gzip).body_out == b"newer");
    fs::remove_file(site.path("d.css")).unwrap();
    std::os::unix::fs::symlink(site.base.path().join("secret"), site.path("d.css")).unwrap();
    until(&|| {
        matches!(
            site.ask("GET", "/static/d.css", gzip).0,
            Served::Refused { status: 404, .. }
        )
    });
}

#[test]
fn a_route_that_is_one_file_and_an_index_are_kept_apart() {
    let mut site = Site::new();
    site.write("index.html", "the index");
    site.files.strip = "/".into();
    let directory = site.files.clone();
    let file = Files {
        root: site.path("a.txt"),
        strip: "/a".into(),
        ..site.files.clone()
    };
    for _ in 0..OFTEN {
        site.files = directory.clone();
        assert_eq!(site.get("/", &[]).body_out, b"the index");
        site.files = file.clone();
        assert_eq!(site.get("/a", &[]).body_out, digits().as_bytes());
    }
}
