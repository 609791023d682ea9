//! A real browser: its WebSockets and its EventSource through a reload, and to a server behind the proxy over
//! HTTP/2.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::harness::{
    Site,
    certificate::Certificate,
    free_port,
    processes::MARK,
    python::{ASGI_PACKAGES, python, virtualenv},
    wait_for, workspace,
};

/// Chromium under any of its names.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|directory| names.map(|name| directory.join(name)))
        .find(|file| file.is_file())
}

/// A program beside the site. The site's mark has the processes that it starts killed with the site's.
struct Beside(Child);

impl Beside {
    /// A browser without a window, at one page.
    fn browser(binary: &PathBuf, site: &Site, url: &str) -> Self {
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

    /// uvicorn with an application of tests/apps, over TLS.
    fn uvicorn(site: &Site, app: &str, port: u16) -> Self {
        let output = fs::File::create(site.directory.join("uvicorn.log")).unwrap();
        let venv = virtualenv(python(), ASGI_PACKAGES);
        let child = Command::new(venv.join("bin/python"))
            .args([
                "-m",
                "uvicorn",
                "main:app",
                "--lifespan=off",
                "--host=127.0.0.1",
                "--port",
            ])
            .arg(port.to_string())
            .args([
                "--ssl-certfile=localhost.crt",
                "--ssl-keyfile=localhost.key",
                "--app-dir",
            ])
            .arg(workspace().join("tests/apps").join(app))
            .current_dir(&site.directory)
            .env(MARK, site.mark())
            .env("GATE", &site.directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        wait_for("uvicorn listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self(child)
    }
}

impl Drop for Beside {
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
    let _browser = Beside::browser(&chromium, &site, &format!("http://127.0.0.1:{}/", site.port));
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
    let _browser = Beside::browser(&chromium, &site, &format!("https://localhost:{}/", site.tls_port));
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
fn a_browser_talks_with_uvicorn_behind_over_http2_and_tls_through_a_reload() {
    let Some(chromium) = find() else {
        println!("skipped: needs chromium (apt-get install --no-install-recommends chromium)");
        return;
    };
    let mut site = Site::new("browser-through");
    let port = free_port();
    site.config(&format!(
        r#"
        [tls]
        certificates = [{{ certificate = "localhost.crt", key = "localhost.key" }}]
        [[listener]]
        address = "127.0.0.1:{{tls_port}}"
        tls = true
        [upstream.back]
        servers = ["https://localhost:{port}"]
        tls = {{ ca = "localhost.crt" }}
        [[site]]
        upstream = "back"
        "#
    ));
    Certificate::new(&["localhost"]).write(&site.directory, "localhost");
    let _uvicorn = Beside::uvicorn(&site, "browser_through", port);
    site.start();
    let _browser = Beside::browser(&chromium, &site, &format!("https://localhost:{}/", site.tls_port));
    told(&site, "open");

    site.signal("HUP");
    site.wait_for_log("proxy drains");
    site.write("finish", "");
    let seen = told(&site, "through");
    assert_eq!(seen["protocol"], "h2", "{seen}");
    assert_eq!(seen["got"], seen["sent"], "nothing is lost: {seen}");
    assert_eq!(
        seen["closes"],
        serde_json::json!([[4000, "finished", true, "chat"]]),
        "{seen}"
    );
    assert!(site.stop().success());
    let log = site.access_log();
    let records = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let through: Vec<_> = records.filter(|record| record["target"] == "/talk").collect();
    let [record] = &through[..] else { panic!("{log}") };
    assert_eq!(
        [&record["protocol"], &record["status"], &record["outcome"]],
        [&Value::from("HTTP/2.0"), &200.into(), &"ok".into()],
        "{record}"
    );
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
    let _browser = Beside::browser(&chromium, &site, &format!("https://localhost:{}/", site.tls_port));
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
