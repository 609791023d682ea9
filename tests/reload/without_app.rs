//! Sites that no worker serves, and the way from an application to none and back.

use std::time::{Duration, Instant};

use crate::harness::{Connection, Site, app::of_app, certificate::Certificate, wait_for};

/// A reload that waits for nothing is over long before the supervisor looks around by itself.
const SOON: Duration = Duration::from_secs(5);

/// Asks for a reload; the new generation serves soon.
#[track_caller]
fn reload(site: &Site, generation: u32) {
    let began = Instant::now();
    site.signal("HUP");
    site.wait_for_log(&format!(" serving generation={generation} "));
    assert!(
        began.elapsed() < SOON,
        "a reload took {:?}:\n{}",
        began.elapsed(),
        site.error_log()
    );
}

/// The old generation leaves soon as well.
fn old_proxy_leaves(site: &Site, generation: u32) {
    site.wait_for_log(&format!("proxy left generation={generation} "));
}

const RESPOND: &str = "[[site]]\nrespond = \"WORD\"\n";

#[test]
fn a_site_that_only_responds_reloads() {
    let mut site = Site::new("respond-reload");
    site.config(&RESPOND.replace("WORD", "one"));
    site.start();
    for (generation, word) in [(2, "two"), (3, "three"), (4, "four")] {
        site.config(&RESPOND.replace("WORD", word));
        reload(&site, generation);
        assert_eq!(site.get("/").text(), word);
        old_proxy_leaves(&site, generation - 1);
    }
    assert!(site.stop().success());
}

#[test]
fn a_site_of_files_and_servers_behind_it_reloads() {
    let mut site = Site::new("files-reload");
    let text = |word: &str| {
        format!(
            "[upstream.api]\nservers = [\"http://127.0.0.1:9\"]\n[[site]]\nfiles = \"{word}/\"\n\
             [[site.route]]\npath = \"/api/\"\nupstream = \"api\"\n"
        )
    };
    site.write("old/word", "old");
    site.write("new/word", "new");
    site.config(&text("old"));
    site.start();
    assert_eq!(site.get("/word").text(), "old");
    site.config(&text("new"));
    reload(&site, 2);
    assert_eq!(site.get("/word").text(), "new");
    assert!(site.stop().success());
}

#[test]
fn a_site_with_an_app_becomes_one_without_and_has_it_again() {
    let mut site = Site::new("app-comes-and-goes");
    let with_app = of_app("hello", "workers = 1", "");
    site.config(&with_app);
    site.start();
    let hello = site.get("/").text();
    for generation in [2, 4] {
        site.config(&RESPOND.replace("WORD", "none"));
        reload(&site, generation);
        assert_eq!(site.get("/").text(), "none");
        wait_for("the app's processes are gone", || {
            (site.processes_named("worker").len() + site.processes_named("zygote").len() == 0).then_some(())
        });
        site.config(&with_app);
        reload(&site, generation + 1);
        assert_eq!(site.get("/").text(), hello);
    }
    assert!(site.stop().success());
}

#[test]
fn a_new_certificate_of_a_site_without_an_app_is_served_at_once() {
    let mut site = Site::new("certificate-without-app");
    site.config(
        r#"
        [tls]
        certificates = [{ certificate = "site.crt", key = "site.key" }]
        [[listener]]
        address = "127.0.0.1:{tls_port}"
        tls = true
        [[site]]
        respond = "one"
        "#,
    );
    let (old, new) = (Certificate::new(&["localhost"]), Certificate::new(&["localhost"]));
    old.write(&site.directory, "site");
    site.start();
    let trusted = |certificate: &Certificate| {
        let mut client = Connection::open_tls(site.tls_port, certificate.client(), "localhost");
        client
            .send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .and_then(|()| client.read_response("GET"))
            .is_ok_and(|answer| answer.text() == "one")
    };
    assert!(trusted(&old) && !trusted(&new));
    new.write(&site.directory, "site");
    reload(&site, 2);
    assert!(trusted(&new) && !trusted(&old));
    assert!(site.stop().success());
}

#[test]
fn a_reload_that_is_asked_for_while_one_runs_follows_without_an_app_as_well() {
    let mut site = Site::new("respond-twice");
    site.config(&RESPOND.replace("WORD", "one"));
    site.start();
    let began = Instant::now();
    site.signal("HUP");
    site.wait_for_log(" booting generation=2 ");
    site.config(&RESPOND.replace("WORD", "two"));
    site.signal("HUP");
    wait_for("the newest text", || {
        (site.get("/").text() == "two").then_some(())
    });
    assert!(began.elapsed() < 2 * SOON, "{:?}", began.elapsed());
    assert!(site.stop().success());
}
