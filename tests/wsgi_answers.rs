//! PEP 3333 through the whole program: what an application answers, well and badly.

use std::net::TcpStream;

use crate::harness::{Connection, Response, Site, wait_for};

fn answers(test: &str) -> (Site, String) {
    let mut site = Site::of_app(test, "answers", "workers = 1\nthreads = 2", "");
    site.expect_error(": the application").start();
    let pid = site.get("/").text();
    (site, pid)
}

/// The worker is the same one after everything.
#[track_caller]
fn alive(mut site: Site, pid: &str) {
    assert_eq!(site.get("/").text(), pid);
    assert!(site.stop().success());
}

fn send(site: &Site, method: &str, target: &str) -> (Connection, Response) {
    let mut client = site.connect();
    client
        .send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .unwrap();
    let head = client.read_head().unwrap();
    (client, head)
}

#[test]
fn every_good_way_to_answer_works() {
    let (site, pid) = answers("answers");
    let mut client = site.connect();
    for (target, body) in [
        ("/write", "one two three"),
        ("/empty-parts", "ab"),
        ("/generator", "late start"),
        ("/tuple", "atuple"),
        ("/length?5", "12345"),
        ("/file-like", "not a file"),
    ] {
        let answer = client.get(target, &[]);
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{target}");
    }
    site.lines_of("closed-file-like", 0);
    let answer = client.get("/status?299+Fine+Indeed", &[]);
    assert_eq!((answer.status, answer.reason.as_str()), (299, "Fine Indeed"));
    let cookies = client.get("/cookies", &[]);
    let values: Vec<_> = cookies
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(values, ["a=1", "b=2"]);
    assert_eq!(client.get("/field?latin", &[]).status, 200);
    let hop = client.get("/field?hop", &[]);
    assert_eq!((hop.status, hop.text().as_str()), (200, "sent"));
    drop(client);
    alive(site, &pid);
}

#[test]
fn a_second_start_response_with_exc_info_replaces_a_head_that_was_not_sent() {
    let (site, pid) = answers("replaced");
    let answer = site.get("/replaced");
    assert_eq!((answer.status, answer.reason.as_str()), (503, "Try Later"));
    assert_eq!(
        (answer.text().as_str(), answer.header("x-first")),
        ("replaced", None)
    );
    alive(site, &pid);
}

#[test]
fn an_error_after_the_head_cuts_the_answer_and_the_client_can_tell() {
    let (site, pid) = answers("cut");
    for (target, first, told) in [
        ("/too-late", "sent ", "ValueError: after the head was sent"),
        ("/raises-midway", "first ", "RuntimeError: midway in the iterable"),
    ] {
        let (mut client, head) = send(&site, "GET", target);
        assert_eq!(
            (head.status, head.header("transfer-encoding")),
            (200, Some("chunked"))
        );
        assert_eq!(
            client.read_chunk().unwrap().as_deref(),
            Some(first.as_bytes()),
            "{target}"
        );
        assert!(client.read_chunk().is_err(), "{target}: no proper end");
        site.wait_for_log(told);
    }
    // Fewer bytes than were announced.
    let mut client = site.connect();
    client
        .send("GET /length?9 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert!(client.read_response("GET").is_err());
    site.wait_for_log("4 bytes short of its Content-Length");
    for record in &site.records(4)[1..] {
        assert_eq!(
            (&record["status"], &record["outcome"]),
            (&200.into(), &"app_failed".into()),
            "{record}"
        );
    }
    drop(client);
    alive(site, &pid);
}

#[test]
fn more_than_the_content_length_is_cut_off() {
    let (site, pid) = answers("more");
    let mut client = site.connect();
    assert_eq!(client.get("/length?3", &[]).text(), "123");
    assert_eq!(client.get("/file-part", &[]).text(), "234");
    site.wait_for_log("more than its Content-Length");
    assert_eq!(client.get("/", &[]).text(), pid);
    drop(client);
    alive(site, &pid);
}

#[test]
fn parts_are_sent_as_they_are_made() {
    let (site, pid) = answers("stream");
    let (mut client, head) = send(&site, "GET", "/stream");
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"first "[..]));
    site.write("open-second", "");
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"open-second"[..]));
    assert_eq!(client.read_chunk().unwrap(), None);
    drop(client);
    alive(site, &pid);
}

#[test]
fn close_is_called_whatever_happens() {
    let (site, pid) = answers("close");
    assert_eq!(site.get("/closed?well").text(), "all");
    site.lines_of("closed-well", 1);
    assert_eq!(
        site.connect().request("HEAD", "/closed?head", &[], b"").status,
        200
    );
    site.lines_of("closed-head", 1);
    send(&site, "GET", "/raises-midway");
    site.lines_of("closed-raises-midway", 1);

    // The client leaves while much is sent, and while nothing is.
    let (mut client, _) = send(&site, "GET", "/endless");
    assert!(client.read_chunk().unwrap().is_some());
    drop(client);
    site.lines_of("closed-endless", 1);
    let (mut client, _) = send(&site, "GET", "/silent");
    assert!(client.read_chunk().unwrap().is_some());
    drop(client);
    wait_for("the client's leaving is logged", || {
        site.access_log().contains("/silent").then_some(())
    });
    site.write("never-there", "");
    site.lines_of("closed-silent", 1);
    for target in ["/endless", "/silent"] {
        let log = site.access_log();
        let line = log.lines().find(|line| line.contains(target)).unwrap();
        assert!(line.contains("\"outcome\":\"client_gone\""), "{line}");
    }
    for name in ["well", "head", "raises-midway", "endless", "silent"] {
        assert_eq!(
            site.lines_of(&format!("closed-{name}"), 1).len(),
            1,
            "{name} once"
        );
    }
    alive(site, &pid);
}

#[test]
fn a_file_is_sent_by_its_descriptor_from_where_it_stands() {
    let (site, pid) = answers("file");
    let mut client = site.connect();
    let answer = client.get("/file", &[]);
    assert_eq!(answer.header("content-length"), Some("999990"));
    assert!(answer.body == b"0123456789".repeat(99_999));
    let head = client.request("HEAD", "/file", &[], b"");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("999990"))
    );
    assert_eq!(client.get("/", &[]).text(), pid);
    drop(client);
    alive(site, &pid);
}

#[test]
fn answers_without_a_body_have_none_whatever_the_application_gives() {
    let (site, pid) = answers("bodiless");
    for (method, target, status) in [
        ("HEAD", "/status?200+OK", 200),
        ("GET", "/status?204+No+Content", 204),
        ("GET", "/status?304+Not+Modified", 304),
        ("HEAD", "/write", 200),
        ("HEAD", "/stream", 200),
    ] {
        let mut client = site.connect();
        let answer = client.request(method, target, &[], b"");
        assert_eq!(answer.status, status, "{method} {target}");
        if status == 204 {
            assert_eq!(
                (
                    answer.header("content-length"),
                    answer.header("transfer-encoding")
                ),
                (None, None)
            );
        }
        if target.starts_with("/status") {
            assert_eq!(answer.header("x-kept"), Some("yes"));
        }
        // The next answer on the connection begins where it must.
        assert_eq!(client.get("/", &[]).text(), pid, "{method} {target}");
    }
    alive(site, &pid);
}

#[test]
fn heads_that_no_client_may_see_are_a_500() {
    let (site, pid) = answers("heads");
    let mut client = site.connect();
    for target in [
        "/field?cr",
        "/field?lf",
        "/field?nul",
        "/field?name",
        "/field?colon",
        "/field?wide",
        "/reason",
        "/status?abc",
        "/status?99+Low",
        "/twice",
        "/no-head",
        "/none",
        "/text",
        "/bytes",
    ] {
        let answer = client.get(target, &[]);
        assert_eq!(answer.status, 500, "{target}");
        for (name, value) in &answer.headers {
            let field = format!("{name}: {value}").to_lowercase();
            assert!(
                !field.contains("set-cookie") && !field.contains("x-bad"),
                "{target}: {field}"
            );
        }
    }
    drop(client);
    alive(site, &pid);
}

#[test]
fn an_exception_is_told_in_the_log_with_its_request_and_not_to_the_client() {
    let (site, pid) = answers("exception");
    for (target, told) in [
        ("/raise?x", "RuntimeError: the secret of the traceback"),
        ("/exit", "SystemExit: leaving"),
        ("/interrupt", "KeyboardInterrupt"),
    ] {
        let answer = site.get(target);
        assert_eq!(answer.status, 500, "{target}");
        let shown = format!("{:?}{}", answer.headers, answer.text());
        for part in ["secret", "Traceback", "wsgi.py", "leaving", "answers"] {
            assert!(!shown.contains(part), "{part} in {shown}");
        }
        site.wait_for_log(told);
    }
    let record = &site.records(4)[1];
    assert_eq!(
        (&record["status"], &record["outcome"]),
        (&500.into(), &"app_failed".into())
    );
    let id = record["request_id"].as_str().unwrap();
    let log = site.error_log();
    let raised = "GET /raise?x: the application raised RuntimeError: the secret of the traceback";
    for part in [
        &format!(" ERROR web/0[{pid}] stderr request_id={id}: {raised}\n"),
        &format!("stderr request_id={id}: Traceback (most recent call last):"),
        &format!("stderr request_id={id}: RuntimeError: the secret of the traceback"),
    ] {
        assert!(log.contains(part.as_str()), "{part}: {log}");
    }
    assert_eq!(log.matches(" ERROR ").count(), 3, "one line for each: {log}");
    alive(site, &pid);
}

#[test]
fn an_exception_and_a_broken_answer_are_each_one_error_line_whatever_the_level_of_the_log() {
    let level = "[log.error]\nto = \"./error.log\"\nlevel = \"error\"";
    let mut site = Site::of_app("exception-level", "answers", "workers = 1", level);
    site.expect_error(": the application").spawn();
    // At this level nothing tells of the start.
    wait_for("the site listens", || {
        TcpStream::connect(("127.0.0.1", site.port)).ok()
    });
    let pid = site.get("/").text();
    for (lines, (target, told)) in (2..).zip([
        (
            "/raise?y",
            "the application raised RuntimeError: the secret of the traceback",
        ),
        (
            "/none",
            "the application raised TypeError: 'NoneType' object is not iterable",
        ),
        ("/text", "the application's iterable gave str, and not bytes"),
    ]) {
        assert_eq!(site.get(target).status, 500, "{target}");
        site.wait_for_log(&format!(": GET {target}: {told}\n"));
        let records = site.records(lines);
        let id = records.last().unwrap()["request_id"].as_str().unwrap();
        let line = format!(" ERROR web/0[{pid}] stderr request_id={id}: GET {target}: {told}\n");
        assert!(site.error_log().contains(&line), "{line}: {}", site.error_log());
    }
    assert_eq!(
        site.error_log().matches(" ERROR ").count(),
        3,
        "{}",
        site.error_log()
    );
    alive(site, &pid);
}

#[test]
fn early_hints_are_a_103_for_clients_that_can_read_it() {
    let (site, pid) = answers("answers-hints");
    let (mut client, hint) = send(&site, "GET", "/hints");
    assert_eq!(
        (hint.status, hint.header("link")),
        (103, Some("</a.css>; rel=preload; as=style"))
    );
    assert_eq!(client.read_response("GET").unwrap().text(), "hinted");
    let mut old = site.connect();
    old.send("GET /hints HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(old.read_head().unwrap().status, 200);
    alive(site, &pid);
}

#[test]
fn an_answer_without_the_body_that_it_announces_is_a_500_and_told() {
    let (site, pid) = answers("answers-announced");
    let mut client = site.connect();
    assert_eq!(client.get("/announced?5", &[]).status, 500);
    assert_eq!(client.get("/announced?0", &[]).status, 200);
    assert_eq!(client.request("HEAD", "/announced?5", &[], b"").status, 200);
    site.wait_for_log("GET /announced?5: the application's answer ended 5 bytes short of its Content-Length");
    alive(site, &pid);
}

#[test]
fn what_an_application_leaves_to_the_server_is_told_once() {
    let (mut site, _) = answers("answers-left");
    for _ in 0..3 {
        for (field, name, value) in [
            ("accel", "x-accel-redirect", "/protected/a.pdf"),
            ("sendfile", "x-sendfile", "/srv/a.pdf"),
        ] {
            let answer = site.get(&format!("/field?{field}"));
            assert_eq!(
                (answer.status, answer.header(name)),
                (200, Some(value)),
                "{field}"
            );
        }
        // Every other framework sets this one: it is the connection's, and nothing to tell for each response.
        assert_eq!(site.get("/field?hop").text(), "sent");
    }
    assert!(site.stop().success());
    let log = site.error_log();
    let told: Vec<_> = log
        .lines()
        .filter(|line| line.contains("the app leaves its response to the server"))
        .collect();
    assert_eq!(told.len(), 1, "{log}");
    for part in [
        " WARN ",
        "app=web",
        "field=X-Accel-Redirect",
        "wsgi.file_wrapper or pathsend",
    ] {
        assert!(told[0].contains(part), "{part}: {}", told[0]);
    }
    assert!(
        log.to_lowercase().matches("header field connection").count() <= 1,
        "{log}"
    );
}
