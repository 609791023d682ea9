//! What applications print, and their threads.

use std::collections::HashSet;

use crate::harness::{Site, app::of_app};

#[test]
fn so_many_requests_run_at_once_as_there_are_threads() {
    let mut site = Site::of_app("meeting", "meeting", "workers = 1\nthreads = 4", "");
    site.start();
    let guests: Vec<_> = (0..4).map(|_| site.beside("/")).collect();
    let answers: Vec<_> = guests.into_iter().map(|guest| guest.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let threads: HashSet<_> = answers.iter().map(|answer| answer.text()).collect();
    assert_eq!(threads.len(), 4, "{threads:?}");
    assert!(site.stop().success());
}

#[test]
fn every_line_an_application_prints_is_logged_with_its_worker_and_its_request() {
    let mut site = Site::of_app("talk", "talk", "workers = 2\nthreads = 4", "");
    site.start();
    site.wait_for_log("talk is imported");
    assert_eq!(site.error_log().matches("stdout: talk is imported").count(), 1);
    assert!(site.error_log().contains(" INFO web/zygote["));

    let guests: Vec<_> = (0..40)
        .map(|number| (number, site.beside(&format!("/?{number}"))))
        .collect();
    let ids: Vec<_> = guests
        .into_iter()
        .map(|(number, guest)| (number, guest.join().unwrap().text()))
        .collect();
    assert_eq!(ids.iter().map(|(_, id)| id).collect::<HashSet<_>>().len(), 40);
    for (number, id) in &ids {
        for (stream, line) in [
            ("stdout", format!("print-{number} of {id}")),
            ("stderr", format!("WARNING log-{number} of {id}")),
            ("stderr", format!("errors-{number} of {id}")),
            // The end of the request is the end of the line.
            ("stdout", format!("unended-{number} of {id}")),
        ] {
            site.wait_for_log(&format!("{stream} request_id={id}: {line}\n"));
        }
    }
    let records = site.records(40);
    let log = site.error_log();
    for line in log.lines().filter(|line| line.contains(": print-")) {
        let id = line.rsplit(' ').next().unwrap();
        let record = records.iter().find(|record| record["request_id"] == id).unwrap();
        let printer = format!(" INFO web/{}[{}] stdout ", record["worker"], record["pid"]);
        assert!(line.contains(&printer), "{printer}: {line}");
    }
    assert!(site.stop().success());
}

#[test]
fn programs_without_an_end_of_line_tear_no_line_and_long_lines_stay_whole() {
    let mut site = Site::new("torn");
    site.write("app/wsgi.py", TORN);
    site.config(&of_app("", "workers = 1\nthreads = 2", "").replace("{apps}/", "app"));
    site.start();
    let id = site.get("/progress").text();
    for line in ["said while it ran", "said by a program that Python forked"] {
        site.wait_for_log(&format!("stdout request_id={id}: {line}\n"));
    }
    site.wait_for_log("stdout: 10% 20% done\n");
    let id = site.get("/long").text();
    site.wait_for_log(&format!("stdout request_id={id}: {{{}}}\n", "x".repeat(20_000)));
    let id = site.get("/endless").text();
    site.wait_for_log(&format!("stdout request_id={id}: end of it\n"));
    let log = site.error_log();
    let cut = log.lines().filter(|line| line.ends_with("x [line cut]"));
    assert!(cut.count() >= 3, "200 KB in lines of 64 KiB");
    assert!(!log.contains('\u{1e}') && !log.contains("\\u001e") && !log.contains("\\x1e"));
    assert!(site.stop().success());
}

/// It is what says where the application stood.
#[test]
fn what_was_flushed_without_an_end_of_line_outlives_its_worker_and_is_one_line() {
    let mut site = Site::new("flushed");
    site.write("app/wsgi.py", FLUSHED);
    site.config(&of_app("", "workers = 1\nthreads = 2", "").replace("{apps}/", "app"));
    site.expect_error("worker died").start();
    let id = site.get("/whole").text();
    site.wait_for_log(&format!("stdout request_id={id}: one two three\n"));
    site.wait_for_log(&format!("stderr request_id={id}: left by its request\n"));
    for end in ["exit", "kill", "abort"] {
        let answer = site.connect().request("POST", &format!("/{end}"), &[], b"");
        assert_eq!(answer.status, 502);
        for stream in ["stdout", "stderr"] {
            site.wait_for_log(&format!("connecting by {stream} to {end}..."));
        }
    }
    assert!(site.stop().success());
}

/// Flushes lines before their end.
const FLUSHED: &str = r#"
import os
import signal
import sys


def application(environ, start_response):
    end = environ["PATH_INFO"][1:]
    if end == "whole":
        print("one", end=" ", flush=True)
        print("two", end=" ", flush=True)
        print("three")
        print("left by its request", end="", flush=True, file=sys.stderr)
    else:
        print(f"connecting by stdout to {end}... ", end="", flush=True)
        sys.stderr.write(f"connecting by stderr to {end}... ")
        sys.stderr.flush()
        if end == "exit":
            os._exit(1)
        elif end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os.abort()
    start_response("200 OK", [])
    return [environ["HTTP_X_REQUEST_ID"].encode()]
"#;

/// Prints beside programs that leave lines without an end, and prints long lines.
const TORN: &str = r#"
import multiprocessing
import subprocess


def application(environ, start_response):
    if environ["PATH_INFO"] == "/progress":
        subprocess.run(["printf", "10%%"])
        print("said while it ran")
        subprocess.run(["printf", " 20%%"])
        child = multiprocessing.get_context("fork").Process(target=print, args=("said by a program that Python forked",))
        child.start()
        child.join()
        subprocess.run(["echo", " done"])
    elif environ["PATH_INFO"] == "/long":
        print("{%s}" % ("x" * 20000))
    else:
        print("x" * 200000)
        print("end of it")
    start_response("200 OK", [])
    return [environ["HTTP_X_REQUEST_ID"].encode()]
"#;
