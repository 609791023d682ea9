//! A real browser holds a WebSocket and an EventSource through a reload.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Site, processes::MARK, wait_for};

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
    fn open(binary: &PathBuf, site: &Site, target: &str) -> Self {
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
            .arg(format!(
                "--user-data-dir={}",
                site.directory.join("browser").display()
            ))
            .arg(format!("http://127.0.0.1:{}{target}", site.port))
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
    let keys = "asgi = \"main:app\"\nworkers = 1";
    let mut site = Site::of_app("browser", "browser_page", keys, "[server]\ngrace = \"1s\"");
    site.start();
    let _browser = Browser::open(&chromium, &site, "/");
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
