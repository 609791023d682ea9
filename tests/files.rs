//! What is ours alone about files: links, dot-files, encodings beyond gzip, sizes beyond memory, and RFC 9110 where nginx
//! leaves it. What we share with nginx is in `parity`.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use crate::harness::Site;

const MODIFIED: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
const EARLIER: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

fn site(test: &str) -> Site {
    let site = Site::new(test);
    site.write("tree/letters.txt", "abcdefghijklmnopqrstuvwxyz");
    let file = File::options()
        .append(true)
        .open(site.directory.join("tree/letters.txt"))
        .unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_767_323_045))
        .unwrap();
    site.config("[[site]]\nfiles = \"tree/\"\n");
    site
}

#[test]
fn links_out_of_the_root_are_followed() {
    let mut site = site("files-links-follow");
    site.write("collected/app.css", "css");
    site.write("data/media/photo.txt", "photo");
    let tree = site.directory.join("tree");
    symlink(site.directory.join("collected/app.css"), tree.join("app.css")).unwrap();
    symlink("../data/media", tree.join("media")).unwrap();
    site.start();
    assert_eq!(site.get("/app.css").text(), "css");
    assert_eq!(site.get("/media/photo.txt").text(), "photo");
    assert!(site.stop().success());
}

#[test]
fn links_are_followed_inside_the_root_and_not_out_of_it_where_the_site_says_so() {
    let mut site = site("files-links");
    site.config("[[site]]\nfiles = { root = \"tree/\", symlinks = \"inside\" }\n");
    site.write("tree/dir/index.html", "index");
    site.write("secret/key.txt", "secret");
    let tree = site.directory.join("tree");
    symlink("letters.txt", tree.join("inside.txt")).unwrap();
    symlink("../letters.txt", tree.join("dir/up.txt")).unwrap();
    symlink("dir", tree.join("linked")).unwrap();
    symlink("../secret/key.txt", tree.join("out.txt")).unwrap();
    symlink(site.directory.join("secret"), tree.join("outside")).unwrap();
    symlink("/etc/passwd", tree.join("absolute.txt")).unwrap();
    symlink("loop.txt", tree.join("loop.txt")).unwrap();
    symlink("nowhere", tree.join("dangling.txt")).unwrap();
    site.start();
    for inside in ["/inside.txt", "/dir/up.txt", "/linked/up.txt"] {
        assert_eq!(site.get(inside).text(), "abcdefghijklmnopqrstuvwxyz", "{inside}");
    }
    assert_eq!(site.get("/linked/").text(), "index");
    for outside in [
        "/out.txt",
        "/outside/key.txt",
        "/outside/",
        "/absolute.txt",
        "/loop.txt",
        "/dangling.txt",
    ] {
        let answer = site.get(outside);
        assert!(matches!(answer.status, 403 | 404), "{outside}: {}", answer.status);
        assert!(
            !answer.text().contains("secret") && !answer.text().contains("root:"),
            "{outside}"
        );
    }
    assert_eq!(site.get("/out.txt").status, 404);
    site.wait_for_log("tree/absolute.txt target=/etc/passwd");
    let log = site.error_log();
    for link in ["out.txt", "outside", "absolute.txt"] {
        let named = format!("link={}", tree.join(link).display());
        assert_eq!(log.matches(&format!("{named} ")).count(), 1, "{link}: {log}");
    }
    assert!(log.contains("target=../secret/key.txt"), "{log}");
    assert!(site.stop().success());
}

/// nginx says `charset=utf-8` of all of them or of none.
#[test]
fn html_declares_its_characters_itself_and_other_texts_are_utf_8() {
    let mut site = site("files-types");
    for name in ["page.html", "feed.xml", "style.css", "a.tmpl", "segment.ts"] {
        site.write(&format!("tree/{name}"), "x");
        site.write(&format!("legacy/{name}"), "x");
    }
    site.config(
        r#"
        [[site]]
        files = { "/" = "tree/", "/legacy/" = { root = "legacy", charset = "koi8-r", types = { tmpl = "text/html" } } }
        "#,
    );
    site.start();
    for (target, content_type) in [
        ("/page.html", "text/html"),
        ("/feed.xml", "text/xml"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/segment.ts", "video/mp2t"),
        ("/a.tmpl", "application/octet-stream"),
        ("/legacy/page.html", "text/html; charset=koi8-r"),
        ("/legacy/a.tmpl", "text/html; charset=koi8-r"),
        ("/legacy/segment.ts", "video/mp2t"),
    ] {
        // Answered from memory in the end.
        for _ in 0..12 {
            assert_eq!(
                site.get(target).header("content-type"),
                Some(content_type),
                "{target}"
            );
        }
    }
    assert!(site.stop().success());
}

#[test]
fn the_root_itself_may_be_a_link() {
    let mut site = Site::new("files-root-link");
    site.write("release-2/a.txt", "two");
    symlink("release-2", site.directory.join("current")).unwrap();
    site.config("[[site]]\nfiles = \"current/\"\n");
    site.start();
    assert_eq!(site.get("/a.txt").text(), "two");
    // A deployment that turns the link is seen at once.
    site.write("release-3/a.txt", "three");
    symlink("release-3", site.directory.join("next")).unwrap();
    fs::rename(site.directory.join("next"), site.directory.join("current")).unwrap();
    assert_eq!(site.get("/a.txt").text(), "three");
    assert!(site.stop().success());
}

#[test]
fn hidden_and_special_files_are_not_there() {
    let mut site = site("files-hidden");
    for hidden in [".env", ".git/config", "dir/.htpasswd"] {
        site.write(&format!("tree/{hidden}"), "secret");
    }
    site.write("tree/.well-known/security.txt", "contact");
    let fifo = site.directory.join("tree/fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    site.start();
    for hidden in [
        "/.env",
        "/.git/config",
        "/.git/",
        "/dir/.htpasswd",
        "/%2eenv",
        "/dir/%2Ehtpasswd",
    ] {
        assert_eq!(site.get(hidden).status, 404, "{hidden}");
    }
    assert_eq!(site.get("/.well-known/security.txt").text(), "contact");
    let answer = site.get("/fifo");
    assert!(matches!(answer.status, 403 | 404), "{}", answer.status);
    assert!(site.stop().success());
}

#[test]
fn the_encoding_the_client_likes_best_is_sent() {
    let mut site = site("files-encodings");
    for (suffix, text) in [("", "plain"), (".gz", "gz"), (".br", "br"), (".zst", "zst")] {
        site.write(&format!("tree/app.js{suffix}"), text);
    }
    site.write("tree/only.css", "plain");
    site.write("tree/only.css.br", "br");
    site.start();
    let mut client = site.connect();
    let mut sent = |target: &str, accepted: &str| {
        let answer = client.get(target, &[("Accept-Encoding", accepted)]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        let encoding = answer.header("content-encoding").unwrap_or("none").to_owned();
        assert!(
            answer.header("content-type").unwrap().starts_with("text/"),
            "the type of what was asked for"
        );
        (encoding, answer.text())
    };
    let pair = |encoding: &str, text: &str| (encoding.to_owned(), text.to_owned());
    assert_eq!(sent("/app.js", "gzip"), pair("gzip", "gz"));
    assert_eq!(sent("/app.js", "gzip, br;q=0.1"), pair("gzip", "gz"));
    assert_eq!(sent("/app.js", "gzip;q=0.5, br;q=0.6"), pair("br", "br"));
    assert_eq!(sent("/app.js", "zstd"), pair("zstd", "zst"));
    assert_eq!(sent("/app.js", "identity, gzip;q=0"), pair("none", "plain"));
    assert_eq!(sent("/app.js", "deflate"), pair("none", "plain"));
    assert_eq!(sent("/app.js", ""), pair("none", "plain"));
    assert_eq!(sent("/only.css", "gzip"), pair("none", "plain"));
    assert_eq!(sent("/only.css", "gzip, deflate, br"), pair("br", "br"));
    assert!(site.stop().success());
}

#[test]
fn keys_of_files_do_what_they_say() {
    let mut site = Site::new("files-keys");
    site.write("tree/app.css", "plain");
    site.write("tree/app.css.gz", "gz");
    site.write("tree/index.htm", "second");
    site.write("tree/both/home.html", "first");
    site.write("tree/both/index.htm", "second");
    site.write("robots.txt", "robots");
    site.config(
        r#"
        [[site]]
        files = { "/short/" = "tree/", "/other/" = "tree/both/" }
        respond = "home"
        [[site.route]]
        path = "/long"
        files = { root = "tree", index = ["home.html", "index.htm"], precompressed = false, cache_control = "no-cache" }
        [[site.route]]
        path = "= /robots.txt"
        files = "robots.txt"
        "#,
    );
    site.start();
    let mut client = site.connect();
    let answer = client.get("/long/app.css", &[("Accept-Encoding", "gzip")]);
    assert_eq!(answer.text(), "plain");
    assert_eq!(
        (answer.header("cache-control"), answer.header("vary")),
        (Some("no-cache"), None)
    );
    assert_eq!(client.get("/long/", &[]).text(), "second");
    assert_eq!(client.get("/long/both/", &[]).text(), "first");
    assert_eq!(
        client
            .get("/short/app.css", &[("Accept-Encoding", "gzip")])
            .text(),
        "gz"
    );
    assert_eq!(client.get("/other/home.html", &[]).text(), "first");
    assert_eq!(client.get("/robots.txt", &[]).text(), "robots");
    assert_eq!(client.get("/robots.txt/", &[]).text(), "home");
    assert_eq!(client.get("/", &[]).text(), "home");
    assert!(site.stop().success());
}

#[test]
fn the_strongest_condition_decides() {
    let mut site = site("files-precedence");
    site.start();
    let tag = "\"695735a5-1a\"";
    let mut client = site.connect();
    let mut status = |fields: &[(&str, &str)]| client.get("/letters.txt", fields).status;
    // RFC 9110 section 13.2.2: tags before dates.
    assert_eq!(
        status(&[("If-Match", tag), ("If-Unmodified-Since", EARLIER)]),
        200
    );
    assert_eq!(
        status(&[("If-None-Match", tag), ("If-Modified-Since", EARLIER)]),
        304
    );
    assert_eq!(
        status(&[("If-None-Match", "\"x\""), ("If-Modified-Since", MODIFIED)]),
        200
    );
    assert_eq!(status(&[("If-Range", tag), ("Range", "bytes=5-2")]), 200);
    let head = client.request("HEAD", "/letters.txt", &[("Range", "bytes=0-3")], b"");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("26")),
        "a range is for GET"
    );
    assert!(site.stop().success());
}

#[test]
fn many_small_ranges_do_not_make_a_large_answer() {
    let mut site = site("files-ranges");
    site.start();
    let ranges = vec!["0-"; 500].join(",");
    let answer = site
        .connect()
        .get("/letters.txt", &[("Range", &format!("bytes={ranges}"))]);
    assert!(matches!(answer.status, 200 | 206 | 416), "{}", answer.status);
    assert!(answer.body.len() < 26 * 20, "{} bytes", answer.body.len());
    assert!(site.stop().success());
}

#[test]
fn a_file_larger_than_memory_passes_through_little_of_it() {
    const SIZE: u64 = 6 << 30;
    let mut site = site("files-large");
    let file = File::create(site.directory.join("tree/sparse.bin")).unwrap();
    file.set_len(SIZE - 4).unwrap();
    (&file).write_all(b"").unwrap();
    let mut end = File::options()
        .append(true)
        .open(site.directory.join("tree/sparse.bin"))
        .unwrap();
    end.write_all(b"tail").unwrap();
    site.start();
    let mut client = site.connect();
    let answer = client.request("HEAD", "/sparse.bin", &[], b"");
    assert_eq!(answer.header("content-length"), Some("6442450944"));
    let answer = client.get("/sparse.bin", &[("Range", "bytes=-4")]);
    assert_eq!(answer.text(), "tail");
    assert_eq!(
        answer.header("content-range"),
        Some("bytes 6442450940-6442450943/6442450944")
    );

    client
        .send("GET /sparse.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=0-536870911\r\n\r\n")
        .unwrap();
    assert_eq!(
        client.read_head().unwrap().header("content-length"),
        Some("536870912")
    );
    let mut buffer = vec![0; 1 << 20];
    let mut left = 512usize << 20;
    while left > 0 {
        let room = buffer.len().min(left);
        left -= client.read(&mut buffer[..room]).unwrap();
    }
    let proxies = site.processes_named("appliance: proxy");
    assert_eq!(proxies.len(), 1, "{proxies:?}");
    let peak_kib = peak_memory_kib(proxies[0].pid);
    assert!(peak_kib < 120 << 10, "{peak_kib} KiB");
    assert!(site.stop().success());
}

/// The most memory a process has had resident.
fn peak_memory_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_file_cut_while_it_is_sent_ends_the_connection() {
    let mut site = site("files-cut");
    let path = site.write("tree/big.bin", vec![b'x'; 64 << 20]);
    site.start();
    let mut client = site.connect();
    client.send("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client.read_head().unwrap();
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    let mut received = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        // Pages go to the client uncopied, and the kernel clears what is cut of a large one while it is on its way.
        let strange = buffer[..read].iter().find(|byte| !matches!(byte, b'x' | 0));
        assert_eq!(strange, None, "after {received} bytes");
        received += read;
    }
    assert!(received < 64 << 20, "{received} bytes");
    let record = &site.records(1)[0];
    assert_eq!(record["status"], 200);
    assert_ne!(record["outcome"], "ok");
    assert_eq!(site.get("/letters.txt").status, 200);
    assert!(site.stop().success());
}
