//! Workers that die, or never come to life: who is told, and what becomes of the requests.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::harness::{Connection, Response, Site, memory::LittleMemory, processes::signal_pid, wait_for};

fn post(site: &Site, target: &str) -> Response {
    site.connect()
        .request("POST", target, &[("Content-Length", "0")], b"")
}

#[test]
fn a_worker_killed_in_a_view_is_a_502_for_its_request_and_nobody_else() {
    for (target, cause) in [
        ("/signal/SIGSEGV", "killed by SIGSEGV"),
        ("/signal/SIGKILL", "killed by SIGKILL from outside"),
        ("/exit/7", "exited with code 7"),
        ("/exit/0", "exited with code 0"),
    ] {
        let mut site = Site::of_app("killed", "crash", "workers = 1", "");
        site.expect_error("worker died");
        site.start();
        let died = post(&site, target);
        assert_eq!(died.status, 502, "{target}");
        site.wait_for_log(&format!("cause=\"{cause}"));
        assert_eq!(site.get("/").status, 200, "{target}");

        let records = site.records(2);
        assert_eq!(records[0]["status"], 502, "{target}");
        assert_eq!(records[0]["target"], target);
        assert_eq!(records[0]["outcome"], "worker_died", "{target}");
        assert_eq!(records[0]["worker"], 0);
        assert_ne!(records[0]["pid"], records[1]["pid"]);
        // What is not idempotent runs once.
        let file = if target.starts_with("/exit") {
            "exited"
        } else {
            "killed"
        };
        assert_eq!(site.lines_of(file, 1).len(), 1);
        assert!(site.stop().success());
    }
}

#[test]
fn a_worker_that_the_kernel_kills_for_memory_is_told_as_such() {
    let Some(group) = LittleMemory::new("eaten", 150 << 20) else {
        return;
    };
    let mut site = Site::of_app("eaten", "crash", "workers = 1", "");
    site.expect_error("worker died");
    let program = site.command(&[]);
    site.start_by(group.inside(&program));
    assert_eq!(post(&site, "/eat/600").status, 502);
    site.wait_for_log("cause=\"killed by the kernel, out of memory");
    assert_eq!(site.get("/").status, 200);
    assert!(site.stop().success());
}

#[test]
fn a_worker_that_no_request_can_reach_any_more_is_replaced() {
    let mut site = Site::of_app("unreachable", "crash", "workers = 1", "");
    site.expect_error("worker died");
    site.start();
    assert_eq!(post(&site, "/close").status, 502);
    site.wait_for_log("worker died");
    site.wait_for_log("killed by us (SIGKILL): its link was closed, and not by its end");
    assert_eq!(site.get("/").status, 200);
    assert!(site.stop().success());
}

#[test]
fn a_death_is_noticed_even_if_whoever_started_us_ignored_such_news() {
    let mut site = Site::of_app("ignored", "crash", "workers = 1", "");
    site.expect_error("worker died");
    let ignoring = site.command_by("env", &["--ignore-signal=CHLD"]);
    site.start_by(ignoring);
    assert_eq!(post(&site, "/signal/SIGKILL").status, 502);
    site.wait_for_log("worker died");
    assert_eq!(site.get("/").status, 200);
    assert!(site.stop().success());
}

#[test]
fn an_idempotent_request_is_run_once_more_and_then_given_up() {
    let mut site = Site::of_app("once-more", "crash", "workers = 2", "");
    site.expect_error("worker died");
    site.start();
    assert_eq!(site.get("/exit/1").status, 502);
    assert_eq!(site.lines_of("exited", 2).len(), 2);
    assert_eq!(site.records(1)[0]["status"], 502);
    assert!(site.stop().success());
}

#[test]
fn a_request_interrupted_by_a_crash_beside_it_is_run_again() {
    let mut site = Site::of_app("beside", "crash", "workers = 1\nthreads = 2", "");
    site.expect_error("worker died");
    site.start();
    let waiting = site.beside("/wait/go");
    let first = site.lines_of("waiting", 1);
    assert_eq!(post(&site, "/signal/SIGKILL").status, 502);
    let both = site.lines_of("waiting", 2);
    assert_ne!(first[0], both[1], "by another worker");
    site.write("go", "");
    let answer = waiting.join().unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.text().starts_with(&both[1]));
    assert!(site.stop().success());
}

#[test]
fn a_request_that_is_not_idempotent_is_not_run_again_when_its_worker_is_killed() {
    let mut site = Site::of_app("not-again", "crash", "workers = 2\nthreads = 2", "");
    site.expect_error("worker died");
    site.start();
    let port = site.port;
    let waiting = std::thread::spawn(move || {
        Connection::open(port).request("POST", "/wait/go", &[("Content-Length", "0")], b"")
    });
    let pid = site.lines_of("waiting", 1)[0].parse().unwrap();
    signal_pid(pid, "KILL");
    assert_eq!(waiting.join().unwrap().status, 502);
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.lines_of("waiting", 1).len(), 1);
    assert!(site.stop().success());
}

#[test]
fn an_answer_that_has_begun_is_cut_when_its_worker_dies() {
    let mut site = Site::of_app("half", "crash", "workers = 1", "");
    site.expect_error("worker died");
    site.start();
    let mut client = site.connect();
    client
        .send("GET /half/die HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"half "[..]));
    assert!(client.read_chunk().is_err(), "no proper end");
    let record = &site.records(1)[0];
    assert_eq!(
        (&record["status"], &record["outcome"]),
        (&200.into(), &"worker_died".into())
    );
    assert_eq!(site.lines_of("halfway", 1).len(), 1);
    assert_eq!(site.get("/").status, 200);
    assert!(site.stop().success());
}

#[test]
fn a_zygote_that_dies_is_replaced_and_its_workers_serve_on() {
    let mut site = Site::of_app("zygote", "crash", "workers = 1", "");
    site.expect_error("zygote died")
        .expect_error("boot failed")
        .expect_error("worker died");
    site.start();
    let worker = site.processes_named("worker web/0")[0].pid;
    site.processes_named("zygote web")[0].signal("KILL");
    site.wait_for_log("zygote died");
    assert!(site.get("/").text().starts_with(&worker.to_string()));
    site.wait_for_log_times("zygote ready", 2);
    signal_pid(worker, "KILL");
    site.wait_for_log_times("worker ready", 2);
    assert_eq!(site.get("/").status, 200);
    assert!(site.stop().success());
}

#[test]
fn a_proxy_that_dies_is_replaced_and_the_workers_stay() {
    let mut site = Site::of_app("proxy", "crash", "workers = 2", "");
    site.expect_error("proxy died");
    site.start();
    site.wait_for_log_times("worker ready", 2);
    let workers: Vec<_> = site
        .processes_named("worker web/")
        .iter()
        .map(|worker| worker.pid)
        .collect();
    site.processes_named("appliance: proxy")[0].signal("KILL");
    // The listening sockets are the supervisor's: who comes meanwhile waits.
    assert_eq!(site.get("/").status, 200);
    site.wait_for_log("proxy died, it is started again");
    let left: Vec<_> = site
        .processes_named("worker web/")
        .iter()
        .map(|worker| worker.pid)
        .collect();
    assert_eq!(workers, left);
    assert!(site.stop().success());
}

#[test]
fn a_slot_whose_workers_die_young_is_tried_again_while_the_others_serve() {
    let mut site = Site::of_app("loop", "crash", "workers = 2\npreload = false", "");
    site.expect_error("worker died").expect_error("boot failed");
    site.start();
    site.wait_for_log_times("worker ready", 2);
    site.write("poison", "");
    site.processes_named("worker web/1")[0].signal("KILL");
    wait_for("the slot has failed often", || {
        assert_eq!(site.get("/").status, 200);
        site.error_log()
            .contains("slot=1 wait_ms=5000 deaths=7 left=1")
            .then_some(())
    });

    // Nothing is asked of anybody once the cause is gone.
    std::fs::remove_file(site.directory.join("poison")).unwrap();
    site.wait_for_log_times("worker ready", 3);
    assert!(site.stop().success());
}

#[test]
fn while_no_worker_gets_ready_the_answer_is_503() {
    let mut site = Site::of_app("down", "crash", "workers = 1\npreload = false", "");
    site.expect_error("worker died").expect_error("boot failed");
    site.start();
    site.write("poison", "");
    site.processes_named("worker web/0")[0].signal("KILL");
    site.wait_for_log("deaths=6 left=0");
    let answer = wait_for("the app is down", || {
        Some(site.get("/")).filter(|answer| answer.status == 503)
    });
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    std::fs::remove_file(site.directory.join("poison")).unwrap();
    wait_for("it serves again", || (site.get("/").status == 200).then_some(()));
    assert!(site.stop().success());
}

#[test]
fn a_client_whose_requests_kill_their_workers_harms_nobody_else_and_is_named() {
    let mut site = Site::of_app("killer", "crash", "workers = 2", "");
    site.expect_error("worker died");
    site.start();
    for number in 0..14 {
        let target = format!("/exit/{number}");
        let killed = match number % 2 {
            0 => post(&site, &target),
            _ => site.get(&target),
        };
        assert_eq!(killed.status, 502, "{target}");
        assert_eq!(site.get("/").status, 200, "behind {target}");
    }
    let log = site.error_log();
    let named = log
        .lines()
        .find(|line| {
            line.contains("request was running when its worker died") && line.contains("target=/exit/4")
        })
        .unwrap_or_else(|| panic!("not named: {log}"));
    for part in [
        " WARN ",
        "method=POST",
        "client=127.0.0.1",
        "request_id=",
        "app=web",
    ] {
        assert!(named.contains(part), "{part}: {named}");
    }
    assert!(site.stop().success());
}

#[test]
fn clients_that_kill_one_worker_after_the_other_cost_nobody_else_a_request() {
    let mut site = Site::of_app("killers", "crash", "workers = 2\nthreads = 4", "");
    site.expect_error("worker died").start();
    let over = AtomicBool::new(false);
    let killed = thread::scope(|scope| {
        let killer = |method: &'static str| {
            let (site, over) = (&site, &over);
            scope.spawn(move || {
                let mut killed = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = site.connect().request(method, "/exit/3", &[], b"");
                    assert_eq!(answer.status, 502);
                    killed += 1;
                }
                killed
            })
        };
        let killers = [killer("POST"), killer("GET")];
        for number in 0..5 {
            assert_eq!(site.get("/").status, 200, "{number}");
        }
        over.store(true, Ordering::Relaxed);
        killers.map(|killer| killer.join().unwrap())
    });
    assert!(killed.iter().all(|killed| *killed > 0), "{killed:?}");
    assert!(site.stop().success());
}

#[test]
fn a_zygote_that_dies_young_is_tried_again_for_ever() {
    let mut site = Site::of_app("zygotes", "crash", "workers = 1", "");
    site.expect_error("zygote died")
        .expect_error("boot failed")
        .expect_error("worker died");
    site.start();
    site.write("poison", "");
    site.processes_named("zygote web")[0].signal("KILL");
    site.wait_for_log("wait_ms=5000 deaths=7 left=1");
    // Its worker serves on.
    assert_eq!(site.get("/").status, 200);
    std::fs::remove_file(site.directory.join("poison")).unwrap();
    site.wait_for_log_times("zygote ready", 2);
    assert_eq!(post(&site, "/exit/1").status, 502);
    assert_eq!(site.get("/").status, 200);
    assert!(site.stop().success());
}

#[test]
fn an_app_that_does_not_boot_keeps_nobody_else_down_and_is_tried_again() {
    for preload in [true, false] {
        for beside in ["files", "upstream", "app"] {
            let mut site = Site::new("boots-later");
            site.expect_error("zygote died")
                .expect_error("worker died")
                .expect_error("boot failed")
                .expect_error("supervisor[");
            site.write("files/word", "here");
            site.write(
                "broken/wsgi.py",
                "raise RuntimeError('the database is not there')\n",
            );
            site.write("broken/word/wsgi.py", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'here']\n");
            let (more, route) = match beside {
                "files" => ("", "files = \"files/\""),
                "upstream" => (
                    "[upstream.back]\nservers = [\"http://127.0.0.1:9\"]\n",
                    "upstream = \"back\"",
                ),
                _ => (
                    "[app.other]\nwsgi = \"wsgi\"\ndirectory = \"broken/word\"\npython = \"{python}\"\nworkers = 1\n",
                    "app = \"other\"",
                ),
            };
            let keys = format!("workers = 1\npreload = {preload}");
            let of_app = crate::harness::app::of_app("", &keys, "").replace("{apps}/", "broken");
            site.config(&format!(
                "{more}{of_app}\n[[site.route]]\npath = \"/beside/\"\n{route}\n"
            ));
            site.start();
            let expected = if beside == "upstream" { 502 } else { 200 };
            assert_eq!(site.get("/beside/word").status, expected, "{beside}");
            let answer = site.get("/");
            assert_eq!(answer.status, 503, "{beside}");
            assert!(answer.header("retry-after").is_some());
            for part in [
                "app failed to boot: the others serve",
                "RuntimeError: the database is not there",
            ] {
                site.wait_for_log(part);
            }
            site.write("broken/wsgi.py", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'at last']\n");
            wait_for("it is tried again", || {
                (site.get("/").text() == "at last").then_some(())
            });
            assert!(site.stop().success());
        }
    }
}

#[test]
fn whatever_can_be_served_without_it_is_served_beside_an_app_that_does_not_boot() {
    for (route, target, status) in [
        ("path = \"= /health\"\nrespond = \"ok\"", "/health", 200),
        (
            "path = \"/old/\"\nredirect = \"https://example.com{path}\"",
            "/old/page",
            308,
        ),
        (
            "path = \"/later/\"\nrespond = { status = 503, body = \"tomorrow\" }",
            "/later/",
            503,
        ),
    ] {
        let more = format!("[[site.route]]\n{route}\n");
        let mut site = Site::of_app("beside-fixed", "forms", "wsgi = \"broken\"\nworkers = 1", &more);
        site.expect_error("supervisor[");
        site.start();
        assert_eq!(site.get(target).status, status, "{route}");
        assert_eq!(site.get("/").status, 503, "{route}");
        site.wait_for_log("app failed to boot: the others serve");
        assert!(site.stop().success());
    }
}

#[test]
fn an_app_that_does_not_boot_ends_the_start_where_all_else_is_denied() {
    let more = "[[site.route]]\npath = \"/private/\"\nrespond = { status = 403 }\n";
    let mut site = Site::of_app("denied", "forms", "wsgi = \"broken\"", more);
    site.expect_error("supervisor[");
    assert_eq!(site.spawn().wait().code(), Some(3));
}

#[test]
fn an_application_that_does_not_import_ends_the_start_with_its_story() {
    for preload in [true, false] {
        let keys = format!("wsgi = \"broken\"\npreload = {preload}");
        let mut site = Site::of_app("broken", "forms", &keys, "");
        site.expect_error("supervisor[");
        let status = site.spawn().wait();
        assert_eq!(status.code(), Some(3));
        for told in [site.output(), site.error_log()] {
            for part in [
                "app web failed to boot",
                "done    exec ",
                "FAILED  import",
                "RuntimeError: the database is not there",
            ] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
        assert!(site.processes().is_empty(), "{:?}", site.processes());
    }
}

#[test]
fn an_application_that_never_gets_ready_ends_the_start_with_its_stack() {
    for preload in [true, false] {
        let keys = format!(
            r#"
            preload = {preload}
            workers = 1
            env = {{ GATE = "{{dir}}", IMPORT = "slow" }}
            [app.web.timeout]
            boot = "1s""#
        );
        let mut site = Site::of_app("never-ready", "crash", &keys, "");
        site.expect_error("supervisor[");
        let status = site.spawn().wait();
        assert_eq!(status.code(), Some(3), "{}", site.output());
        let told = site.output();
        for part in ["not ready within timeout.boot (1s)", "crash/wsgi.py\", line "] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(site.processes().is_empty(), "{:?}", site.processes());
    }
}

#[test]
fn a_worker_that_terminates_itself_drains_and_is_replaced() {
    for keys in [
        "workers = 1\nthreads = 2",
        "workers = 1\nthreads = 1",
        "workers = 2\npreload = false",
    ] {
        let mut site = Site::of_app("sigterm", "crash", keys, "");
        site.start();
        let waiting = site.beside("/wait/go");
        site.lines_of("waiting", 1);
        let old: Vec<i32> = site
            .processes_named("worker web/")
            .iter()
            .map(|worker| worker.pid)
            .collect();
        // A worker with one thread hears of it from outside.
        if keys.contains("threads = 1") {
            signal_pid(old[0], "TERM");
        } else {
            assert_eq!(site.get("/term").status, 200, "{keys}");
        }
        site.wait_for_log("worker was sent SIGTERM: it is replaced when its requests have ended");
        // There is one that takes new requests before the old one is gone.
        assert_eq!(site.get("/").status, 200, "{keys}");
        site.write("go", "");
        assert_eq!(waiting.join().unwrap().status, 200, "{keys}");
        site.wait_for_log("worker left");
        wait_for("one of the old is gone", || {
            let now = site.processes_named("worker web/");
            (old.iter().any(|old| now.iter().all(|worker| worker.pid != *old)) && now.len() == old.len())
                .then_some(())
        });
        assert_eq!(site.get("/").status, 200, "{keys}");
        assert!(site.stop().success());
    }
}

#[test]
fn signals_that_mean_something_to_other_servers_kill_nobody() {
    let mut site = Site::of_app("other-signals", "crash", "workers = 1\nthreads = 1", "");
    site.start();
    for signal in ["USR1", "QUIT", "HUP", "INT"] {
        for title in ["worker web/", "zygote web"] {
            signal_pid(site.processes_named(title)[0].pid, signal);
        }
    }
    let before = site.get("/").text();
    let pid = before.split(' ').next().unwrap();
    assert_eq!(
        site.get("/").text().split(' ').next(),
        Some(pid),
        "the same worker"
    );
    assert_eq!(site.processes_named("zygote web").len(), 1);
    assert!(!site.error_log().contains("died"), "{}", site.error_log());
    // What an application forks is ended by them as anywhere.
    assert_eq!(site.get("/terminate-child").text(), "-15");
    assert!(site.stop().success());
}
