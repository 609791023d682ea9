//! SIGHUP: new configuration and new code take over without a failed request, or not at all.

mod release;
mod transfers;
mod uploads;
mod without_app;

use std::{fs, net::TcpStream};

use crate::harness::{Connection, Site, app::of_app, certificate::Certificate, free_port, wait_for};

/// A site whose application answers with a word.
fn saying(test: &str, word: &str, keys: &str, more: &str) -> Site {
    let site = Site::new(test);
    site.config(&of_app("", keys, more).replace("{apps}/", "app"));
    say(&site, word);
    site
}

/// New code. Words must differ in length: Python tells its cached files by second and size.
fn say(site: &Site, word: &str) {
    let code =
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'WORD']\n";
    site.write("app/wsgi.py", code.replace("WORD", word));
}

fn serving(site: &Site, generation: u32) {
    site.wait_for_log(&format!(" serving generation={generation} "));
}

#[test]
fn new_code_takes_over_and_nothing_of_the_old_stays() {
    let mut site = saying("new-code", "one", "workers = 2", "");
    site.start();
    site.wait_for_log_times("worker ready", 2);
    let old = site.processes();
    assert_eq!(site.get("/").text(), "one");
    say(&site, "three");
    site.signal("HUP");
    wait_for("the new code", || (site.get("/").text() == "three").then_some(()));
    wait_for("the old processes are gone", || {
        let now = site.processes();
        let left = old
            .iter()
            .filter(|old| now.iter().any(|process| process.pid == old.pid))
            .count();
        // Only the supervisor stays.
        (left == 1 && now.len() == old.len()).then_some(())
    });
    assert!(site.stop().success());
    assert!(site.processes().is_empty());
}

#[test]
fn a_bad_configuration_is_reported_and_the_old_one_runs_on() {
    let mut site = saying("bad-config", "one", "workers = 1", "");
    site.expect_error("supervisor[");
    site.start();
    let good = fs::read_to_string(site.directory.join("site.toml")).unwrap();
    site.write("site.toml", good.replace("[[site]]", "[[siet]]"));
    site.signal("HUP");
    site.wait_for_log("reload refused, the old configuration keeps running");
    assert!(
        site.error_log().contains("unknown key `siet`"),
        "{}",
        site.error_log()
    );
    assert_eq!(site.get("/").text(), "one");

    // What is listened on is only known when it is tried.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    site.write(
        "site.toml",
        format!("{good}\n[[listener]]\naddress = \"{address}\"\n"),
    );
    site.signal("HUP");
    site.wait_for_log_times("reload refused", 2);
    assert!(site.error_log().contains(&format!("cannot listen on {address}")));
    assert_eq!(site.get("/").text(), "one");

    site.write("site.toml", &good);
    say(&site, "three");
    site.signal("HUP");
    wait_for("the new code", || (site.get("/").text() == "three").then_some(()));
    assert!(site.stop().success());
}

#[test]
fn code_that_does_not_boot_never_replaces_code_that_does() {
    for preload in [true, false] {
        let mut site = saying(
            "bad-code",
            "one",
            &format!("workers = 2\npreload = {preload}"),
            "",
        );
        site.expect_error("supervisor[");
        site.start();
        site.wait_for_log_times("worker ready", 2);
        let mut old: Vec<_> = site.processes().iter().map(|process| process.pid).collect();
        site.write("app/wsgi.py", "raise RuntimeError('the new code is broken')\n");
        site.signal("HUP");
        site.wait_for_log("the old configuration and the old code keep running");
        for part in ["app web failed to boot", "RuntimeError: the new code is broken"] {
            assert!(site.error_log().contains(part), "{part}");
        }
        assert_eq!(site.get("/").text(), "one");
        old.sort_unstable();
        wait_for("only the old processes run", || {
            let mut now: Vec<_> = site.processes().iter().map(|process| process.pid).collect();
            now.sort_unstable();
            (now == old).then_some(())
        });
        say(&site, "three");
        site.signal("HUP");
        wait_for("the repaired code", || {
            (site.get("/").text() == "three").then_some(())
        });
        assert!(site.stop().success());
    }
}

#[test]
fn a_new_certificate_is_served_after_a_reload_and_a_broken_one_never() {
    let tls = r#"
        https = "off"
        [tls]
        certificates = [{ certificate = "site.crt", key = "site.key" }]
        [[listener]]
        address = "127.0.0.1:{tls_port}"
        tls = true
    "#;
    let mut site = saying("certificate", "one", "workers = 1", tls);
    site.expect_error("supervisor[").expect_error("proxy[");
    let (old, new) = (Certificate::new(&["localhost"]), Certificate::new(&["localhost"]));
    old.write(&site.directory, "site");
    site.start();
    let trusted = |certificate: &Certificate| {
        let mut client = Connection::open_tls(site.tls_port, certificate.client(), "localhost");
        let sent = client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        sent.is_ok()
            && client
                .read_response("GET")
                .is_ok_and(|answer| answer.text() == "one")
    };
    assert!(trusted(&old) && !trusted(&new));

    site.write("site.key", &new.key);
    site.signal("HUP");
    site.wait_for_log("the old configuration and the old code keep running");
    assert!(
        site.error_log()
            .contains("this key does not belong to the certificate")
    );
    assert!(trusted(&old));

    site.write("site.crt", &new.certificate);
    site.signal("HUP");
    wait_for("the new certificate", || trusted(&new).then_some(()));
    assert!(!trusted(&old));
    assert!(site.stop().success());
}

#[test]
fn listeners_come_and_go() {
    let (first, second) = (free_port(), free_port());
    let listen = |port: u16| format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n");
    let mut site = saying("listeners", "one", "workers = 1", &listen(first));
    site.start();
    let text = fs::read_to_string(site.directory.join("site.toml")).unwrap();
    let get = |port| Connection::open(port).get("/", &[]).text();
    assert_eq!(get(first), "one");

    site.write("site.toml", format!("{text}\n{}", listen(second)));
    site.signal("HUP");
    serving(&site, 2);
    assert_eq!((get(first), get(second)), ("one".to_owned(), "one".to_owned()));

    site.write("site.toml", text.replace(&first.to_string(), &second.to_string()));
    site.signal("HUP");
    serving(&site, 3);
    wait_for("nobody listens there any more", || {
        TcpStream::connect(("127.0.0.1", first)).is_err().then_some(())
    });
    assert_eq!(get(second), "one");
    assert!(site.stop().success());
}

#[test]
fn a_request_that_runs_during_a_reload_is_finished_by_its_worker() {
    let mut site = Site::of_app("running", "gate", "workers = 1", "");
    site.start();
    let running = site.beside("/a");
    let old = site.lines_of("began-a", 1)[0].clone();
    site.signal("HUP");
    serving(&site, 2);
    let new = wait_for("the new worker answers", || {
        let pid = site.get("/").text();
        (pid.trim() != old).then_some(pid)
    });
    site.write("open-a", "");
    let answer = running.join().unwrap();
    assert_eq!((answer.status, answer.text().trim()), (200, old.as_str()));
    assert_eq!(site.lines_of("began-a", 1).len(), 1, "once");
    wait_for("the old worker is gone", || {
        let workers = site.processes_named("worker web/");
        let pids: Vec<_> = workers.iter().map(|worker| worker.pid.to_string()).collect();
        (pids == [new.trim()]).then_some(())
    });
    assert!(site.stop().success());
}

#[test]
fn a_kept_alive_connection_is_closed_after_an_answer_that_says_so_and_never_before() {
    let mut site = saying("keep-alive", "one", "workers = 1", "");
    site.start();
    let mut client = site.connect();
    assert_eq!(client.get("/", &[]).text(), "one");
    say(&site, "three");
    site.signal("HUP");
    serving(&site, 2);
    // The connection is idle while its proxy is told to drain; the request that follows is answered all the same.
    let last = loop {
        let answer = client.get("/", &[]);
        assert_eq!(answer.status, 200);
        if answer.header("connection") == Some("close") {
            break answer;
        }
    };
    assert_eq!(last.text(), "one");
    assert!(client.closed());
    assert_eq!(site.get("/").text(), "three");
    drop(client);
    assert!(site.stop().success());
}

#[test]
fn a_reload_that_is_asked_for_during_a_reload_follows_it() {
    let mut site = saying("twice", "one", "workers = 2", "");
    site.start();
    say(&site, "three");
    site.signal("HUP");
    site.wait_for_log(" booting generation=2 ");
    say(&site, "number five");
    for _ in 0..5 {
        site.signal("HUP");
    }
    wait_for("the newest code", || {
        (site.get("/").text() == "number five").then_some(())
    });
    wait_for("one generation is left", || {
        let titles = |title| site.processes_named(title).len();
        (titles("proxy") == 1 && titles("zygote") == 1 && titles("worker") == 2).then_some(())
    });
    assert!(site.stop().success());
}
