//! What clients get: answers of this server beside those of nginx with gunicorn behind it, and of uvicorn, to
//! the same thousands of requests; the page that lists the differences is kept true.
//!
//! `COMPARE=all cargo test -p appliance --test site compare` asks everything; without it every sixteenth
//! request is asked, and those that the page has as examples. `UPDATE_PAGES=1` with it writes the page anew.

use std::{
    fmt::Write as _,
    fs::{self, File},
    process::{Command, Stdio},
    time::{Duration, UNIX_EPOCH},
};

use crate::harness::{
    Site,
    certificate::Certificate,
    nginx,
    processes::MARK,
    python::{self, PEER_PACKAGES},
    workspace,
};

/// A site that runs one of the two applications.
fn site(interface: &str, route: &str) -> Site {
    let mut site = Site::new("compare");
    Certificate::new(&["localhost"]).write(&site.directory, "localhost");
    plant(&site);
    site.config(&format!(
        r#"
        [app.web]
        {interface} = "application:{interface}"
        directory = "{}"
        python = "{{python}}"
        workers = 1
        env = {{ PYTHONDONTWRITEBYTECODE = "1" }}

        [tls]
        certificates = [{{ certificate = "localhost.crt", key = "localhost.key" }}]
        [[listener]]
        address = "127.0.0.1:{{port}}"
        [[listener]]
        address = "127.0.0.1:{{tls_port}}"
        tls = true

        [[site]]
        https = "off"
        app = "web"
        body_max = "1MiB"
        {route}
        "#,
        workspace().join("tests/compare").display()
    ));
    // The application fails in every way there is.
    site.expect_error(" ERROR ");
    site.start();
    site
}

#[test]
fn answers_are_those_of_nginx_gunicorn_and_uvicorn_but_for_what_is_listed() {
    let Some(nginx) = nginx::find().filter(|_| !nginx::is_under_test()) else {
        println!("not compared: nginx is not installed, or is itself under test");
        return;
    };
    let venv = python::virtualenv(python::python(), PEER_PACKAGES);
    let files = "[[site.route]]\npath = \"/static/\"\nfiles = { root = \"static\", precompressed = true }";
    let (mut wsgi, mut asgi) = (site("wsgi", files), site("asgi", ""));
    let path = workspace().join("tests/compare/README.md");
    let output = Command::new(venv.join("bin/python"))
        .arg(workspace().join("tests/compare/compare.py"))
        .args([&path, &nginx, &wsgi.directory])
        .args(["localhost.crt", "localhost.key"].map(|name| wsgi.directory.join(name)))
        .args([wsgi.port, wsgi.tls_port, asgi.port, asgi.tls_port].map(|port| port.to_string()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // The peers are killed with the site, should they be left behind.
        .env(MARK, wsgi.mark())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(wsgi.stop().success());
    assert!(asgi.stop().success());

    let found = fs::read_to_string(&path).unwrap();
    let page = page(&String::from_utf8_lossy(&output.stdout), &told);
    if std::env::var_os("UPDATE_PAGES").is_some() {
        assert!(output.status.success(), "{told}");
        fs::write(&path, page).unwrap();
        return;
    }
    // What is recorded of a peer is true for one version, and this one is not pinned.
    let version = |page: &str| {
        page.lines()
            .find_map(|line| Some(line.strip_prefix(VERSIONS)?.split_once(',')?.0.to_owned()))
    };
    if version(&found) != version(&page) {
        println!("compared with another nginx than that of the page, which may differ on its own:\n{told}");
        return;
    }
    assert!(output.status.success(), "{told}");
    assert_eq!(
        found,
        page,
        "{} is not true any more: COMPARE=all UPDATE_PAGES=1 writes it",
        path.display()
    );
}

/// Beginning of the line of the page that has the versions.
const VERSIONS: &str = "The peers are nginx ";

/// The page, from what the comparison prints: the version of nginx, how many requests there are, and the rows
/// of the table.
fn page(printed: &str, told: &str) -> String {
    let mut lines = printed.splitn(3, '\n');
    let (Some(nginx), Some(requests), Some(rows)) = (lines.next(), lines.next(), lines.next()) else {
        panic!("the comparison ended early: {told}");
    };
    let peers: Vec<_> = PEER_PACKAGES
        .iter()
        .filter_map(|package| package.split_once("=="))
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let mut page = String::from("# What clients get, beside nginx, gunicorn and uvicorn\n\n");
    write!(
        page,
        "{VERSIONS}{nginx}, {}.\n\n\
         The test `answers_are_those_of_nginx_gunicorn_and_uvicorn_but_for_what_is_listed` asks appliance and nginx with gunicorn behind\n\
         it, then appliance and uvicorn, the same: {requests} of HTTP/1.0, 1.1 and 2 (uvicorn has no HTTP/2 and is asked over HTTP/1.1),\n\
         made of lists of targets, methods, fields, bodies, conditions, ranges and answers (`parts.py`, `shapes.py`) and always the same.\n\
         Compared are the number of answers and, of each, status, reason, every header field, body, trailers, how it ends, interim\n\
         answers, what the application was told, and whether the connection is still good behind it. Of Date, Server, entity tags and\n\
         ids it is the form. Conditions and ranges are held against RFC 9110 itself, too (`decision.py`), and what is refused of HTTP/1\n\
         against its grammar (`grammar.py`); rules that hold for every answer are `lawful.py`.\n\n\
         What differs stands here with the reason why appliance does as it does (`differences.py`), or the test fails; so it does for a\n\
         row that no request shows any more. Each row has the first request that shows it.\n\n\
         | beside | why | for example | what | appliance | the other |\n|---|---|---|---|---|---|\n",
        peers.join(" and ")
    )
    .unwrap();
    page.push_str(rows);
    page
}

/// The files below `/static/`, all of one date.
fn plant(site: &Site) {
    let big = [b'x'; 300_000];
    let files: &[(&str, &[u8])] = &[
        ("letters.txt", b"abcdefghijklmnopqrstuvwxyz"),
        ("empty.txt", b""),
        ("big.bin", &big),
        ("page.html", b"<p>page</p>"),
        ("style.css", b"p {}"),
        ("code.js", b"1"),
        ("data.json", b"{}"),
        ("feed.xml", b"<a/>"),
        ("image.png", b"\x89PNG"),
        ("image.svg", b"<svg/>"),
        ("module.wasm", b"\0asm"),
        ("font.woff2", b"wOF2"),
        ("unknown.qqq", b"?"),
        ("no-extension", b"?"),
        ("UPPER.TXT", b"upper"),
        ("two words.txt", b"two words"),
        ("grüße.txt", b"greetings"),
        ("100%.txt", b"percent"),
        ("a+b.txt", b"plus"),
        ("two.tar.gz", b"tar"),
        ("packed.css", b"body { margin: 0 }\n"),
        ("packed.css.gz", b"gzip bytes\n"),
        ("dir/index.html", b"<p>index</p>"),
        ("bare/file.txt", b"?"),
        ("deep/a/b/c.txt", b"deep"),
        (".secret", b"secret"),
        (".git/config", b"secret"),
    ];
    let modified = UNIX_EPOCH + Duration::from_secs(MODIFIED_S);
    for (name, content) in files {
        let path = site.write(&format!("static/{name}"), content);
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(modified).unwrap();
    }
}

/// Fri, 02 Jan 2026 03:04:05 GMT.
const MODIFIED_S: u64 = 1_767_323_045;
