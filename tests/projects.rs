//! Other people's software is the judge: projects and clients as the package index has them, each with a few
//! lines of application below `tests/apps`, behind the real program.

mod bridges;
mod dav;
mod frameworks;
mod multipart;
mod socketio;
mod starlette;
mod tools;

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::harness::{
    Site,
    curl::VERSIONS,
    python::{PROJECT_PACKAGES, python, virtualenv},
};

/// The virtualenv that most of them share.
fn venv() -> PathBuf {
    virtualenv(python(), PROJECT_PACKAGES)
}

/// A running site of this configuration, on a plain and a TLS listener; `{venv}` stands for the virtualenv.
fn site(test: &str, config: &str) -> Site {
    let mut site = Site::certified(test, &config.replace("{venv}", &venv().display().to_string()));
    site.start();
    site
}

/// Calls `works` for each version of HTTP, and for HTTP/2 again after a reload.
fn in_two_generations(site: &Site, works: impl Fn(&str)) {
    VERSIONS.into_iter().for_each(&works);
    reload(site);
    works("--http2");
}

/// The next generation serves when this returns.
#[track_caller]
fn reload(site: &Site) {
    site.signal("HUP");
    site.wait_for_log(" serving generation=2 ");
}

/// Runs a program of a project's own client, `tests/apps/APP/FILE`, and gives what it printed.
#[track_caller]
fn client(site: &Site, app: &str, file: &str, arguments: &[&str]) -> String {
    let output = client_command(site, app, file, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{file} {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The command of [`client`].
fn client_command(site: &Site, app: &str, file: &str, arguments: &[&str]) -> Command {
    let program = crate::harness::workspace()
        .join("tests/apps")
        .join(app)
        .join(file);
    let mut command = Command::new(venv().join("bin/python"));
    command
        .arg(program)
        .args(arguments)
        .current_dir(&site.directory)
        .env("NO_PROXY", "*")
        // Each library looks for its certificates elsewhere.
        .envs(
            [
                "REQUESTS_CA_BUNDLE",
                "WEBSOCKET_CLIENT_CA_BUNDLE",
                "SSL_CERT_FILE",
            ]
            .map(|name| (name, "localhost.crt")),
        )
        .env(crate::harness::processes::MARK, site.mark())
        .stdin(Stdio::null());
    command
}

/// A body in which no piece is like another, so that a lost or doubled piece shows.
fn content(size: u32) -> Vec<u8> {
    (0..size)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

/// The digest that the applications tell of what they were sent.
fn sha256(content: &[u8]) -> String {
    let mut sum = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sum.stdin.take().unwrap().write_all(content).unwrap();
    let output = sum.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}
