//! A real browser: its WebSockets and its EventSource through a reload, and to a server behind the proxy over
//! HTTP/2.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Site, certificate::Certificate, processes::MARK, wait_for};

/// Chromium under any of its names.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|directory| names.map(|name| directory.join(name)))
        .find(|file| file.is_file())
}

/// A browser without a window, at one page. The site's mark has its processes killed with the site's.
struct Browser(Child);

impl Browser {
    fn open(binary: &PathBuf, site: &Site, url: &str) -> Self {
        let output = fs::File::create(site.directory.join("browser.log")).unwrap();
        let child = Command::new(binary)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                // Without it some versions end as soon as the page is there.
                "--remote-debugging-port=0",
            ])
            // The certificates of tests are their own.
            .arg("--ignore-certificate-errors")
            .arg(format!(
                "--user-data-dir={}",
                site.directory.join("browser").display()
            ))
            .arg(url)
            .env(MARK, site.mark())
            .env("HOME", &site.directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the page told at a certain point of its life.
fn told(site: &Site, what: &str) -> Value {
    let path = site.directory.join(what);
    let text = wait_for(&format!("the page tells {what:?}"), || {
        fs::read_to_string(&path).ok()
    });
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_browser_is_through_a_reload_with_its_websocket_and_its_events() {
    let Some(chromium) = find() else {
        println!("skipped: needs chromium (apt-get install --no-install-recommends chromium)");
        return;
    };
    let keys = "asgi = \"main:app\"\nworkers = 1\ntimeout = { drain = \"1s\" }";
    let mut site = Site::of_app("browser", "browser_page", keys, "");
    site.start();
    let _browser = Browser::open(&chromium, &site, &format!("http://127.0.0.1:{}/", site.port));
    let before = told(&site, "open");
    assert_eq!(
        (
            before["opens"].as_u64(),
            before["closes"].as_array().map(Vec::len)
        ),
        (Some(1), Some(0))
    );

    site.signal("HUP");
    let after = told(&site, "open-again");
    assert_eq!(
        after["closes"],
        serde_json::json!([[1012, true]]),
        "the socket was closed cleanly: {after}"
    );
    assert_eq!(
        after["sockets"][1], after["workers"][1],
        "both are with the new worker: {after}"
    );
    assert_eq!(after["errors"].as_u64(), Some(1), "{after}");
    let ids: Vec<u64> = after["ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap())
        .collect();
    assert!(
        ids.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "no event is lost and none comes twice: {ids:?}"
    );
    assert!(site.stop().success());
}

#[test]
fn a_browser_reaches_the_websockets_of_an_upstream_over_http2() {
    let Some(chromium) = find() else {
        println!("skipped: needs chromium (apt-get install --no-install-recommends chromium)");
        return;
    };
    let keys = "asgi = \"main:app\"\nworkers = 1";
    // The server behind the proxy is the same one's plain listener.
    let more = "https = \"off\"\n[[site.route]]\npath = \"/behind/\"\nupstream = \"self\"\nstrip = true\n\
        [tls]\ncertificates = [{ certificate = \"localhost.crt\", key = \"localhost.key\" }]\n\
        [[listener]]\naddress = \"127.0.0.1:{port}\"\n\
        [[listener]]\naddress = \"127.0.0.1:{tls_port}\"\ntls = true\n\
        [upstream.self]\nservers = [\"http://127.0.0.1:{port}\"]\n";
    let mut site = Site::of_app("browser-behind", "browser_behind", keys, more);
    Certificate::new(&["localhost"]).write(&site.directory, "localhost");
    site.start();
    let _browser = Browser::open(&chromium, &site, &format!("https://localhost:{}/", site.tls_port));
    let seen = told(&site, "through");
    assert_eq!(seen["protocol"], "h2", "{seen}");
    assert_eq!(seen["messages"], serde_json::json!([5, 300_000, 0]), "{seen}");
    assert_eq!(
        seen["closes"],
        serde_json::json!([[1000, "chat"], [1006, ""]]),
        "{seen}"
    );
    assert!(site.stop().success());
    let log = site.access_log();
    let records = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let passed_on = records.filter(|record| record["upstream"].is_string());
    let facts = ["protocol", "method", "status"];
    let lines: Vec<_> = passed_on
        .map(|record| facts.map(|fact| record[fact].to_string()).join(" "))
        .collect();
    let line = |status| format!("\"HTTP/2.0\" \"CONNECT\" {status}");
    assert_eq!(lines, [line(200), line(403)], "{log}");
}

#[test]
fn a_browser_speaks_with_flask_sock_over_http2() {
    let Some(chromium) = find() else {
        println!("skipped: needs chromium (apt-get install --no-install-recommends chromium)");
        return;
    };
    let venv = crate::wsgi_websockets::virtualenv();
    let keys = format!(
        "wsgi = \"browser_app:app\"\nworkers = 1\nvenv = \"{}\"",
        venv.display()
    );
    let more = "[tls]\ncertificates = [{ certificate = \"localhost.crt\", key = \"localhost.key\" }]\n\
        [[listener]]\naddress = \"127.0.0.1:{tls_port}\"\ntls = true\n";
    let mut site = Site::of_app("browser-sock", "wsgi_sockets", &keys, more);
    Certificate::new(&["localhost"]).write(&site.directory, "localhost");
    site.start();
    let _browser = Browser::open(&chromium, &site, &format!("https://localhost:{}/", site.tls_port));
    let seen = told(&site, "through");
    assert_eq!(seen["protocol"], "h2", "{seen}");
    assert_eq!(seen["messages"], serde_json::json!([5, 300_000, 3]), "{seen}");
    assert_eq!(
        seen["closes"],
        serde_json::json!([[1000, "chat"], [1006, ""]]),
        "{seen}"
    );
    assert!(site.stop().success());
    let log = site.access_log();
    let line = |status: u16| {
        log.lines()
            .any(|line| line.contains("\"CONNECT\"") && line.contains(&format!("\"status\":{status},")))
    };
    assert!(line(200) && line(403), "{log}");
}
