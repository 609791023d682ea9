//! Requests that run too long.

use std::time::Duration;

use crate::harness::{Site, wait_for};

const LIMIT: &str = r#"
    workers = 1
    threads = 2
    [app.web.timeout]
    request = "2s"
    drain = "10s"
"#;

fn pid_of(text: &str) -> i32 {
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_request_past_its_time_is_a_504_with_stacks_and_a_new_worker() {
    let mut site = Site::of_app("past", "crash", LIMIT, "");
    site.expect_error("request ran past timeout.request");
    site.start();
    let before = site.processes_named("worker web/0")[0].pid;
    let hanging = site.beside("/hang?x=1");
    site.lines_of("hanging", 1);
    // The second request of the same worker begins later, so that its own time is not over when that of the first one is.
    std::thread::sleep(Duration::from_secs(1));
    let beside = site.beside("/wait/go");
    site.lines_of("waiting", 1);

    let answer = hanging.join().unwrap();
    assert_eq!(answer.status, 504);
    site.write("go", "");
    let finished = beside.join().unwrap();
    assert_eq!(
        (finished.status, pid_of(&finished.text())),
        (200, before),
        "{}",
        site.error_log()
    );

    let records = site.records(2);
    assert_eq!(
        (&records[0]["status"], &records[0]["outcome"]),
        (&504.into(), &"timeout".into())
    );
    let log = site.error_log();
    let told = log
        .lines()
        .find(|line| line.contains("request ran past timeout.request"))
        .unwrap();
    let id = records[0]["request_id"].as_str().unwrap();
    for part in [
        &format!("request_id={id}"),
        "method=GET",
        "/hang?x=1",
        "client=127.0.0.1",
        "slot=0",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    site.wait_for_log("crash/wsgi.py\", line ");

    let after = pid_of(&site.get("/").text());
    assert_ne!(before, after);
    wait_for("the old worker is gone", || {
        let workers = site.processes_named("worker web/");
        (workers.len() == 1 && workers[0].pid == after).then_some(())
    });
    assert!(site.stop().success());
}

#[test]
fn a_thread_that_hangs_in_c_code_with_the_gil_held_does_not_outlive_its_request() {
    let mut site = Site::of_app("stuck", "crash", LIMIT, "");
    site.expect_error("request ran past timeout.request");
    site.start();
    let before = site.processes_named("worker web/0")[0].pid;
    assert_eq!(site.get("/stuck").status, 504);
    assert_ne!(pid_of(&site.get("/").text()), before);
    site.wait_for_log("crash/wsgi.py\", line ");
    wait_for("the old worker is killed", || {
        let workers = site.processes_named("worker web/");
        workers.iter().all(|worker| worker.pid != before).then_some(())
    });
    assert_eq!(site.records(2)[0]["status"], 504);
    assert!(site.stop().success());
}

#[test]
fn an_answer_that_has_begun_is_cut_when_its_time_is_over() {
    let mut site = Site::of_app("half", "crash", LIMIT, "");
    site.expect_error("request ran past timeout.request");
    site.start();
    let before = site.processes_named("worker web/0")[0].pid;
    let mut client = site.connect();
    client
        .send("GET /half/hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"half "[..]));
    assert!(client.read_chunk().is_err(), "no proper end");
    let record = &site.records(1)[0];
    assert_eq!(
        (&record["status"], &record["outcome"]),
        (&200.into(), &"timeout".into())
    );
    assert_ne!(pid_of(&site.get("/").text()), before);
    assert!(site.stop().success());
}
