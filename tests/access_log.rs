//! Exactly one line for each request, whatever became of it, and nothing a client sends can make another.

use std::{collections::HashMap, fs};

use serde_json::Value;

use crate::harness::{Connection, Site, upstream::Upstream, wait_for};

fn site(test: &str, more: &str) -> Site {
    let mut site = Site::new(test);
    site.write("static/hello.txt", "hello\n");
    site.config(&format!(
        r#"
        [app.barrier]
        wsgi = "wsgi:application"
        directory = "{{apps}}/barrier"
        python = "{{python}}"
        workers = 1
        threads = 1
        env = {{ BARRIER = "{{dir}}" }}
        [app.speak]
        wsgi = "wsgi:application"
        directory = "{{apps}}/speak"
        python = "{{python}}"
        workers = 1

        [[site]]
        body_max = "1k"
        app = "barrier"
        [[site.route]]
        path = "/speak"
        app = "speak"
        [[site.route]]
        path = "/static/"
        files = "static/"
        [[site.route]]
        path = "/old"
        redirect = "/new"
        [[site.route]]
        path = "/fixed"
        respond = "fixed"
        {more}
        "#
    ));
    site.start();
    site
}

/// Records by target.
fn by_target(records: Vec<Value>) -> HashMap<String, Value> {
    records
        .into_iter()
        .map(|record| (record["target"].as_str().unwrap_or_default().to_owned(), record))
        .collect()
}

#[test]
fn every_way_of_answering_leaves_one_line() {
    let upstream = Upstream::tcp("back");
    let route = format!(
        "[[site.route]]\npath = \"/up\"\nupstream = \"back\"\n[upstream.back]\nservers = [\"{}\"]\n",
        upstream.url
    );
    let mut site = site("log-ways", &route);
    let mut client = site.connect();
    let fields = [
        ("Host", "Example.org:81"),
        ("Referer", "http://a/"),
        ("User-Agent", "tester/1"),
    ];
    for target in [
        "/static/hello.txt?q=1",
        "/static/missing",
        "/old",
        "/fixed",
        "/app?x=%20y",
        "/up",
    ] {
        client.get(target, &fields);
    }
    client.request("POST", "/app/large", &[], &[b'x'; 2000]);
    let mut client = site.connect();
    client.send("BAD\r\n\r\n").unwrap();
    client.read_response("GET").unwrap();

    let records = by_target(site.records(8));
    let expected = [
        ("/static/hello.txt?q=1", 200, 6, "/static/", "ok"),
        ("/old", 308, 0, "/old", "ok"),
        ("/fixed", 200, 5, "/fixed", "ok"),
        ("/app?x=%20y", 200, 8, "/", "ok"),
        ("/up", 200, 4, "/up", "ok"),
    ];
    for (target, status, bytes_out, route, outcome) in expected {
        let record = &records[target];
        assert_eq!(record["status"], status, "{record}");
        if status == 200 {
            assert_eq!(record["bytes_out"], bytes_out, "{record}");
        }
        assert_eq!(
            (&record["route"], &record["outcome"]),
            (&route.into(), &outcome.into()),
            "{record}"
        );
        assert_eq!(
            (&record["method"], &record["protocol"]),
            (&"GET".into(), &"HTTP/1.1".into()),
            "{record}"
        );
        assert_eq!(
            (&record["client"], &record["host"]),
            (&"127.0.0.1".into(), &"Example.org:81".into()),
            "{record}"
        );
        assert_eq!(
            (&record["referer"], &record["user_agent"]),
            (&"http://a/".into(), &"tester/1".into()),
            "{record}"
        );
        assert!(
            record["total_us"].as_u64().is_some_and(|total_us| total_us > 0),
            "{record}"
        );
        assert_eq!(record["request_id"].as_str().map(str::len), Some(32), "{record}");
    }
    assert_eq!(records["/static/missing"]["status"], 404);
    assert_eq!(records["/app/large"]["status"], 413);
    assert_eq!(records["BAD"]["status"], 400);
    let app = &records["/app?x=%20y"];
    assert_eq!(
        (&app["app"], &app["worker"]),
        (&"barrier".into(), &0.into()),
        "{app}"
    );
    assert!(
        app["queue_us"].is_u64() && app["app_us"].is_u64() && app["pid"].is_u64(),
        "{app}"
    );
    assert_eq!(records["/up"]["upstream"], upstream.url.as_str());
    assert_eq!(records["/fixed"]["app"], Value::Null);
    assert!(site.stop().success());
    assert_eq!(site.records(8).len(), 8);
}

/// Waits until the application has begun a request for this path.
#[track_caller]
fn wait_until_seen(site: &Site, path: &str) {
    wait_for(&format!("the application sees {path}"), || {
        fs::read_to_string(site.directory.join("seen"))
            .ok()
            .filter(|seen| seen.lines().any(|line| line == path))
    });
}

fn ask(site: &Site, target: &str) -> Connection {
    let mut client = site.connect();
    client
        .send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .unwrap();
    client
}

#[test]
fn clients_that_leave_are_logged_whether_they_waited_or_ran() {
    let mut site = site("log-gone", "");
    let mut stays = ask(&site, "/held/stays");
    wait_until_seen(&site, "/held/stays");
    let queued = ask(&site, "/queued");
    let waits = ask(&site, "/waits");
    drop(queued);
    let record = &site.records(1)[0];
    assert_eq!(
        (&record["target"], &record["outcome"]),
        (&"/queued".into(), &"client_gone".into()),
        "{record}"
    );
    assert_eq!(record["worker"], Value::Null, "never given to a worker: {record}");
    site.write("open", "");
    assert_eq!(stays.read_response("GET").unwrap().status, 200);
    let mut waits = waits;
    assert_eq!(waits.read_response("GET").unwrap().status, 200);
    let seen = fs::read_to_string(site.directory.join("seen")).unwrap();
    assert!(!seen.contains("/queued"), "one who left is not run: {seen}");

    fs::remove_file(site.directory.join("open")).unwrap();
    let running = ask(&site, "/held/running");
    wait_until_seen(&site, "/held/running");
    drop(running);
    let records = by_target(site.records(4));
    assert_eq!(
        records["/held/running"]["outcome"], "client_gone",
        "{}",
        records["/held/running"]
    );
    assert_eq!(records["/held/running"]["worker"], 0);
    site.write("open", "");
    assert_eq!(site.get("/after").status, 200);
    assert!(site.stop().success());
    assert_eq!(site.records(5).len(), 5);
}

#[test]
fn a_worker_killed_in_a_request_leaves_a_502_and_a_line() {
    let mut site = site("log-killed", "");
    site.expect_error("worker died");
    let mut client = site.connect();
    client
        .send("POST /held/killed HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        .unwrap();
    wait_until_seen(&site, "/held/killed");
    site.processes_named("worker barrier/0")[0].signal("KILL");
    assert_eq!(client.read_response("POST").unwrap().status, 502);
    let record = &site.records(1)[0];
    assert_eq!(
        (&record["status"], &record["outcome"]),
        (&502.into(), &"worker_died".into()),
        "{record}"
    );
    assert_eq!(record["worker"], 0, "{record}");
    site.write("open", "");
    assert_eq!(site.get("/after").status, 200);
    assert!(site.stop().success());
    assert_eq!(site.records(2).len(), 2);
}

#[test]
fn an_id_joins_the_access_line_the_environ_and_what_the_application_says() {
    let mut site = site("log-id", "");
    let id = site.get("/speak").text();
    assert_eq!(site.records(1)[0]["request_id"], id.as_str());
    site.wait_for_log(&format!("spoken for {id}"));
    let log = site.error_log();
    let line = log.lines().find(|line| line.contains("spoken for")).unwrap();
    assert!(line.contains(&format!("request_id={id}")), "{line}");
    assert!(line.contains("speak/0["), "{line}");
    assert!(site.stop().success());
}

/// Things a client may send where the log will show them.
const NASTY: &[&[u8]] = &[
    b"\"}\n{\"status\":200",
    b"\" 200 5 \"-\" \"forged\"",
    b"\\\" \\x22 \\n",
    b"\x1b[2J\x07",
    b"\xff\xfe\x80 bytes",
    b"tab\tand\x7fdel",
    "\u{2028}\u{85}\u{202e}".as_bytes(),
    b"%0d%0a%22%00",
];

/// Sends each nasty text as target, referer, agent and host of a request of its own.
fn send_nasty(site: &Site) -> usize {
    let mut count = 0;
    for text in NASTY {
        for (before, after) in [
            (&b"GET /"[..], &b" HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
            (b"GET /fixed HTTP/1.1\r\nHost: a\r\nReferer: ", b"\r\n\r\n"),
            (b"GET /fixed HTTP/1.1\r\nHost: a\r\nUser-Agent: ", b"\r\n\r\n"),
            (b"GET /fixed HTTP/1.1\r\nHost: ", b"\r\n\r\n"),
            (b"", b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ] {
            let mut client = site.connect();
            client.send([before, text, after].concat()).unwrap();
            assert!(client.read_response("GET").is_ok(), "{text:?}");
            count += 1;
        }
    }
    count
}

/// No byte in the log but printable ASCII, UTF-8 text without controls, and the ends of its lines.
fn assert_tame(site: &Site) {
    let log = fs::read(site.directory.join("access.log")).unwrap();
    let log = String::from_utf8(log).expect("the log is UTF-8");
    let wild: Vec<_> = log
        .chars()
        .filter(|char| {
            char.is_control() && *char != '\n' || matches!(char, '\u{2028}' | '\u{2029}' | '\u{85}')
        })
        .collect();
    assert!(wild.is_empty(), "{wild:?}");
}

#[test]
fn json_lines_can_not_be_forged() {
    let mut site = site("log-forged-json", "");
    let count = send_nasty(&site);
    let records = site.records(count);
    assert_tame(&site);
    assert!(
        records
            .iter()
            .all(|record| record["status"].is_u64() && record["total_us"].is_u64())
    );
    let agents: Vec<_> = records
        .iter()
        .filter_map(|record| record["user_agent"].as_str())
        .collect();
    assert!(
        agents.contains(&"\" 200 5 \"-\" \"forged\""),
        "kept as it came: {agents:?}"
    );
    assert!(site.stop().success());
}

#[test]
fn combined_lines_can_not_be_forged() {
    let mut site = site(
        "log-forged-combined",
        "[log.access]\nto = \"./access.log\"\nformat = \"combined\"\n",
    );
    let count = send_nasty(&site);
    let mut client = site.connect();
    client.get(
        "/fixed?a=b",
        &[("User-Agent", "tester/1"), ("Referer", "http://a/")],
    );
    let lines = site.access_lines(count + 1);
    assert_eq!(lines.len(), count + 1);
    assert_tame(&site);
    for line in &lines {
        assert!(line.is_ascii(), "{line}");
        // Address, two dashes, [time], "request", status, bytes, "referer", "agent".
        let quoted: Vec<_> = line.split('"').collect();
        assert_eq!(quoted.len(), 7, "{line}");
        assert!(
            quoted[0].starts_with("127.0.0.1 - - [") && quoted[0].ends_with("] "),
            "{line}"
        );
        let mut numbers = quoted[2]
            .split_whitespace()
            .map(|number| number.parse::<u64>().unwrap());
        assert!(
            numbers.next().is_some_and(|status| (200..600).contains(&status)),
            "{line}"
        );
        assert!(numbers.next().is_some() && numbers.next().is_none(), "{line}");
    }
    let last = lines.last().unwrap();
    assert!(
        last.ends_with("\"GET /fixed?a=b HTTP/1.1\" 200 5 \"http://a/\" \"tester/1\""),
        "{last}"
    );
    assert!(site.stop().success());
}

#[test]
fn the_log_is_opened_again_after_it_was_moved() {
    let mut site = site("log-reopen", "");
    assert_eq!(site.get("/fixed?1").status, 200);
    site.records(1);
    let moved = site.directory.join("access.log.1");
    fs::rename(site.directory.join("access.log"), &moved).unwrap();
    assert_eq!(site.get("/fixed?2").status, 200);
    wait_for("the moved file is still written", || {
        (fs::read_to_string(&moved).unwrap().lines().count() == 2).then_some(())
    });
    site.signal("USR1");
    wait_for("the file is there again", || {
        site.directory.join("access.log").exists().then_some(())
    });
    // The proxy has the new file a moment after the supervisor made it.
    let mut number = 3;
    wait_for("new lines are in the new file", || {
        assert_eq!(site.get(&format!("/fixed?{number}")).status, 200);
        number += 1;
        site.access_log().contains("/fixed?").then_some(())
    });
    assert!(site.stop().success());
    let mut lines = fs::read_to_string(&moved).unwrap();
    lines.push_str(&site.access_log());
    assert_eq!(
        lines.lines().count(),
        number - 1,
        "none lost, none twice: {lines}"
    );
}

#[test]
fn the_log_can_go_to_standard_output_or_nowhere() {
    let mut site = site("log-stdout", "[log.access]\nto = \"stdout\"\n");
    assert_eq!(site.get("/fixed?out").status, 200);
    wait_for("a line on standard output", || {
        site.output()
            .contains("\"GET /fixed?out HTTP/1.1\" 200 5 \"-\" \"-\"")
            .then_some(())
    });
    assert!(site.stop().success());

    let mut site = self::site("log-off", "[log.access]\nto = \"off\"\n");
    assert_eq!(site.get("/fixed?off").status, 200);
    assert!(site.stop().success());
    assert!(!site.output().contains("/fixed?off") && site.access_log().is_empty());
}
