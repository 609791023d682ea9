//! Requests that wait for a free worker.

use std::thread::JoinHandle;

use crate::harness::{Response, Site, wait_for};

/// One worker with one thread, and a request in it.
fn occupied(test: &str, queue: &str) -> (Site, JoinHandle<Response>) {
    let keys = format!("workers = 1\nthreads = 1\n[app.web.queue]\n{queue}");
    let mut site = Site::of_app(test, "gate", &keys, "");
    site.start();
    let running = site.beside("/running");
    site.lines_of("began-running", 1);
    (site, running)
}

#[test]
fn a_full_queue_is_a_503_at_once_that_says_when_to_come_back() {
    let (mut site, running) = occupied("full", "length = 1");
    let mut waiting = vec![site.beside("/a"), site.beside("/b")];
    // One of them waits, the other one finds the queue full.
    let refused = wait_for("one is refused", || {
        waiting.iter().position(JoinHandle::is_finished)
    });
    let refused = waiting.swap_remove(refused).join().unwrap();
    assert_eq!(refused.status, 503);
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    for name in ["open-running", "open-a", "open-b"] {
        site.write(name, "");
    }
    assert_eq!(running.join().unwrap().status, 200);
    assert_eq!(waiting.remove(0).join().unwrap().status, 200);

    let records = site.records(3);
    assert_eq!(records[0]["outcome"], "overload");
    assert_eq!(records[0]["worker"], serde_json::Value::Null);
    assert!(records[2]["queue_us"].as_u64().unwrap() > 0);
    assert!(site.stop().success());
}

#[test]
fn who_waits_too_long_gets_a_503_and_is_never_run() {
    let (mut site, running) = occupied("too-long", "timeout = \"200ms\"");
    let late = site.get("/late");
    assert_eq!(late.status, 503);
    assert!(late.header("retry-after").is_some());
    site.write("open-running", "");
    assert_eq!(running.join().unwrap().status, 200);
    assert_eq!(site.get("/").status, 200);
    assert!(!site.directory.join("began-late").exists());
    assert!(site.stop().success());
}

#[test]
fn a_client_that_leaves_the_queue_is_never_run() {
    let (mut site, running) = occupied("left", "length = 10");
    let mut client = site.connect();
    client
        .send("GET /left HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    drop(client);
    // Its access line says that the server knows.
    site.access_lines(1);
    site.write("open-running", "");
    assert_eq!(running.join().unwrap().status, 200);
    assert_eq!(site.get("/").status, 200);
    let records = site.records(3);
    assert_eq!(
        (&records[0]["target"], &records[0]["outcome"]),
        (&"/left".into(), &"client_gone".into())
    );
    assert!(!site.directory.join("began-left").exists());
    assert!(site.stop().success());
}

fn stands_still(pid: i32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.contains("State:\tT")
    })
}

#[test]
fn a_worker_that_does_nothing_hides_no_request_from_the_others() {
    let mut site = Site::of_app("stopped", "gate", "workers = 2\nthreads = 2", "");
    site.start();
    site.wait_for_log_times("worker ready", 2);
    let stopped = site.processes_named("worker web/0")[0].clone();
    stopped.signal("STOP");
    // A thread that still runs may begin a request, and what has begun is not taken back.
    wait_for("every thread of it to stop", || {
        stands_still(stopped.pid).then_some(())
    });
    let guests: Vec<_> = (0..50).map(|_| site.beside("/")).collect();
    for guest in guests {
        let answer = guest.join().unwrap();
        assert_eq!(answer.status, 200);
        assert_ne!(answer.text().trim(), stopped.pid.to_string());
    }
    stopped.signal("CONT");
    assert!(site.stop().success());
}
