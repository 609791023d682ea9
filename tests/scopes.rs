//! What applications are told of a request: whole scopes and environs against those of uvicorn and gunicorn,
//! for every shape that a request can have; the page that lists the differences is kept true.
//!
//! `UPDATE_PAGES=1 cargo test -p appliance --test site scopes` writes the page anew.

use std::{
    fmt::Write as _,
    fs,
    process::{Command, Stdio},
};

use crate::harness::{
    Site,
    certificate::Certificate,
    processes::MARK,
    python::{self, PEER_PACKAGES},
    workspace,
};

/// A site whose application, at the root and below `/mounted`, answers with all that it is told.
fn site(interface: &str, keys: &str) -> Site {
    let mut site = Site::new("scopes");
    Certificate::new(&["localhost"]).write(&site.directory, "localhost");
    site.config(&format!(
        r#"
        [app.web]
        {interface} = "told:{interface}"
        directory = "{}"
        python = "{{python}}"
        workers = 1
        env = {{ PYTHONDONTWRITEBYTECODE = "1" }}
        {keys}

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
        [[site.route]]
        path = "/mounted"
        mount = "/mounted"
        app = "web"
        "#,
        workspace().join("tests/scopes").display()
    ));
    site.start();
    site
}

#[test]
fn applications_are_told_what_uvicorn_and_gunicorn_tell_them() {
    let venv = python::virtualenv(python::python(), PEER_PACKAGES);
    let (mut asgi, mut wsgi) = (site("asgi", ""), site("wsgi", "threads = 1"));
    let output = Command::new(venv.join("bin/python"))
        .arg(workspace().join("tests/scopes/compare.py"))
        .args([asgi.port, asgi.tls_port, wsgi.port, wsgi.tls_port].map(|port| port.to_string()))
        .args(["localhost.crt", "localhost.key"].map(|name| asgi.directory.join(name)))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // The peers are killed with the site, should they be left behind.
        .env(MARK, asgi.mark())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(asgi.stop().success());
    assert!(wsgi.stop().success());

    let page = page(&String::from_utf8_lossy(&output.stdout));
    let path = workspace().join("tests/scopes/README.md");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        fs::write(&path, page).unwrap();
        return;
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        page,
        "{} is not true any more: UPDATE_PAGES=1 writes it",
        path.display()
    );
}

/// The page, from what the comparison prints: how many requests, and the rows of the table.
fn page(printed: &str) -> String {
    let (asked, rows) = printed.split_once('\n').unwrap();
    let peers: Vec<_> = PEER_PACKAGES
        .iter()
        .filter_map(|package| package.split_once("=="))
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let mut page = String::from("# What applications are told, beside uvicorn and gunicorn\n\n");
    write!(
        page,
        "The test `applications_are_told_what_uvicorn_and_gunicorn_tell_them` asks appliance and\n\
         {} the same: {asked} of HTTP/1.0, 1.1 and 2\n\
         (the peers over HTTP/1.1 with TLS), with every kind of method, target, header field and body, at the root and below a path, and\n\
         WebSockets. Every key of the scope or environ and every header field is compared, in its order; `shapes.py` has the requests. What\n\
         differs stands here (`differences.py`), or the test fails: a key that is missing without a row that leaves it out, and a row that\n\
         no request shows any more.\n\n\
         | beside | appliance | what | why |\n|---|---|---|---|\n",
        peers.join(" and ")
    )
    .unwrap();
    page.push_str(rows);
    page
}
