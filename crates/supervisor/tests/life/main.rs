//! The supervisor's life with real processes: a fake proxy and a fake engine in Python tell what they were told.

mod bench;

use std::{fs, panic, process::ExitCode, time::Instant};

use bench::{Bench, SUPERVISED};

type Test = (&'static str, fn());

const TESTS: [Test; 17] = [
    (
        "it_serves_and_a_stop_leaves_nothing_behind",
        it_serves_and_a_stop_leaves_nothing_behind,
    ),
    (
        "a_killed_worker_is_replaced_and_linked",
        a_killed_worker_is_replaced_and_linked,
    ),
    (
        "a_killed_proxy_is_replaced_and_linked",
        a_killed_proxy_is_replaced_and_linked,
    ),
    (
        "a_killed_zygote_is_replaced_and_its_workers_live_on",
        a_killed_zygote_is_replaced_and_its_workers_live_on,
    ),
    ("a_reload_moves_to_new_processes", a_reload_moves_to_new_processes),
    (
        "a_reload_of_a_bad_configuration_changes_nothing",
        a_reload_of_a_bad_configuration_changes_nothing,
    ),
    (
        "a_reload_of_code_that_does_not_boot_changes_nothing",
        a_reload_of_code_that_does_not_boot_changes_nothing,
    ),
    (
        "a_first_boot_that_fails_is_told_as_a_journey",
        a_first_boot_that_fails_is_told_as_a_journey,
    ),
    (
        "a_boot_that_takes_too_long_is_told_with_stacks",
        a_boot_that_takes_too_long_is_told_with_stacks,
    ),
    (
        "a_proxy_that_can_not_start_ends_the_start",
        a_proxy_that_can_not_start_ends_the_start,
    ),
    (
        "an_address_in_use_ends_the_start",
        an_address_in_use_ends_the_start,
    ),
    ("an_overrun_replaces_the_worker", an_overrun_replaces_the_worker),
    (
        "a_crash_loop_is_tried_again_for_ever_and_a_reload_ends_it",
        a_crash_loop_is_tried_again_for_ever_and_a_reload_ends_it,
    ),
    (
        "sigkill_of_the_supervisor_leaves_nothing_behind",
        sigkill_of_the_supervisor_leaves_nothing_behind,
    ),
    ("what_does_not_leave_is_killed", what_does_not_leave_is_killed),
    ("logs_are_reopened", logs_are_reopened),
    (
        "the_background_is_entered_when_it_serves",
        the_background_is_entered_when_it_serves,
    ),
];

fn main() -> ExitCode {
    if std::env::var_os(SUPERVISED).is_some() {
        return bench::supervise();
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let mut failed = 0;
    for (name, test) in TESTS {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let began = Instant::now();
        let outcome = panic::catch_unwind(test);
        failed += u8::from(outcome.is_err());
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        eprintln!("test {name} ... {word} ({} ms)", began.elapsed().as_millis());
    }
    ExitCode::from(u8::from(failed > 0))
}

fn it_serves_and_a_stop_leaves_nothing_behind() {
    let mut bench = Bench::new("stop", "good", "").started();
    let workers = bench.wait_for_workers(2);
    assert!(bench.pid_file().exists());
    let journal = bench.journal();
    assert!(
        journal.contains("boot listeners=1 apps=web certificates=False files=2"),
        "{journal}"
    );
    assert!(journal.contains("descriptors=2"), "{journal}");
    bench.wait_for_log("web/0");
    bench.wait_for_log("hello from a worker");
    assert!(bench.log().contains("request_id=abc123"), "{}", bench.log());
    bench.signal("TERM");
    assert_eq!(bench.exit_code(), Some(0));
    assert!(bench.journal().contains("drain 3000"), "{}", bench.journal());
    assert!(!bench.pid_file().exists());
    bench.all_gone(&workers);
}

fn a_killed_worker_is_replaced_and_linked() {
    let bench = Bench::new("worker", "good", "").started();
    let workers = bench.wait_for_workers(2);
    bench::kill(workers[0]);
    let now = bench.wait_for_workers(3);
    assert!(!workers.contains(&now[2]));
    bench.wait_for_log("worker died");
    assert!(bench.log().contains("SIGKILL from outside"), "{}", bench.log());
}

fn a_killed_proxy_is_replaced_and_linked() {
    let bench = Bench::new("proxy", "good", "").started();
    let workers = bench.wait_for_workers(2);
    let proxy = bench.proxies()[0];
    bench::kill(proxy);
    bench.wait_for_workers(4);
    bench.wait("a second start", || {
        bench.journal().matches(" start").count() == 2
    });
    let again = &bench.workers()[2..];
    assert!(again.iter().all(|pid| workers.contains(pid)), "the same workers");
}

fn a_killed_zygote_is_replaced_and_its_workers_live_on() {
    let bench = Bench::new("zygote", "good", "").started();
    let workers = bench.wait_for_workers(2);
    bench::kill(bench.zygotes()[0]);
    bench.wait("a second zygote", || bench.zygotes().len() == 2);
    assert!(workers.iter().all(|&pid| bench::is_alive(pid)));
    bench::kill(workers[0]);
    bench.wait_for_workers(3);
}

fn a_reload_moves_to_new_processes() {
    let bench = Bench::new("reload", "good", "").started();
    let old = bench.wait_for_workers(2);
    for round in 2..=4 {
        bench.signal("HUP");
        bench.wait("another proxy that serves", || {
            bench.journal().matches(" start").count() == round
        });
        bench.wait("the old proxy drained", || {
            bench.journal().matches(" drain").count() == round - 1
        });
    }
    bench.all_gone(&old);
    assert!(!bench.log().contains("ERROR"), "{}", bench.log());
}

fn a_reload_of_a_bad_configuration_changes_nothing() {
    let bench = Bench::new("badconf", "good", "").started();
    let workers = bench.wait_for_workers(2);
    fs::write(bench.conf(), "[server]\nworkerz = 3\n").expect("a configuration");
    bench.signal("HUP");
    bench.wait_for_log("reload refused");
    assert!(bench.log().contains("workerz"), "{}", bench.log());
    assert!(workers.iter().all(|&pid| bench::is_alive(pid)));
    // And the next good one is taken.
    bench.write_conf("good");
    bench.signal("HUP");
    bench.wait("another proxy that serves", || {
        bench.journal().matches(" start").count() == 2
    });
}

fn a_reload_of_code_that_does_not_boot_changes_nothing() {
    let mut bench = Bench::new("badcode", "good", "").started();
    let workers = bench.wait_for_workers(2);
    for (number, behaviour) in ["import_failed", "worker_failed", "crash", "zygote_dies"]
        .iter()
        .enumerate()
    {
        bench.write_conf(behaviour);
        bench.signal("HUP");
        bench.wait("the reload to fail", || {
            bench.log().matches("reload failed").count() == number + 1
        });
    }
    assert!(bench.log().contains("no module named shop"), "{}", bench.log());
    assert!(workers.iter().all(|&pid| bench::is_alive(pid)));
    assert_eq!(bench.journal().matches(" start").count(), 1);
    bench.signal("TERM");
    assert_eq!(bench.exit_code(), Some(0));
}

fn a_first_boot_that_fails_is_told_as_a_journey() {
    for behaviour in ["import_failed", "worker_failed"] {
        let mut bench = Bench::new(behaviour, behaviour, "").launched();
        assert_eq!(bench.exit_code(), Some(3));
        let told = bench.terminal();
        assert!(told.contains("app web failed to boot"), "{told}");
        assert!(told.contains("done    exec"), "{told}");
        assert!(told.contains("FAILED  import"), "{told}");
        assert!(told.contains("no module named shop"), "{told}");
        assert!(told.contains("line 7"), "{told}");
        assert!(bench.log().contains("no module named shop"), "{}", bench.log());
        if behaviour == "import_failed" {
            assert!(told.contains("connecting to the database"), "{told}");
        }
        assert!(!bench.pid_file().exists());
        bench.all_gone(&bench.zygotes());
    }
}

fn a_boot_that_takes_too_long_is_told_with_stacks() {
    for behaviour in ["zygote_hangs", "worker_hangs"] {
        let mut bench = Bench::new(behaviour, behaviour, "").launched();
        assert_eq!(bench.exit_code(), Some(3));
        let told = bench.terminal();
        assert!(told.contains("timeout.boot"), "{told}");
        assert!(told.contains("stacks of the fake"), "{told}");
    }
}

fn a_proxy_that_can_not_start_ends_the_start() {
    let mut bench = Bench::new("proxyfails", "good", "")
        .with_proxy("failed")
        .launched();
    assert_eq!(bench.exit_code(), Some(1));
    assert!(
        bench.terminal().contains("key of example.org"),
        "{}",
        bench.terminal()
    );
}

fn an_address_in_use_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let mut bench = Bench::new("inuse", "good", &address).launched();
    assert_eq!(bench.exit_code(), Some(1));
    assert!(bench.terminal().contains(&address), "{}", bench.terminal());
}

fn an_overrun_replaces_the_worker() {
    let bench = Bench::new("overrun", "good", "").started();
    let workers = bench.wait_for_workers(2);
    bench::signal(bench.proxies()[0], "USR2");
    let now = bench.wait_for_workers(3);
    bench.wait_for_log("stacks of the fake");
    bench.wait_for_log("interrupted");
    let log = bench.log();
    assert!(
        log.contains("/slow") && log.contains("req-1") && log.contains("192.0.2.1"),
        "{log}"
    );
    assert!(bench.journal().contains("unlink"));
    let left = workers[0];
    bench.wait("the old worker to leave", || !bench::is_alive(left));
    assert!(!workers.contains(&now[2]));
}

fn a_crash_loop_is_tried_again_for_ever_and_a_reload_ends_it() {
    let bench = Bench::new("crashloop", "crash_later", "").started();
    for slot in 0..2 {
        let told = format!("slot={slot} wait_ms=1000 deaths=8 ");
        bench.wait("another try", || bench.log().contains(&told));
    }
    // They were ready each time: a later call waits for the next.
    assert!(!bench.journal().contains("down app=web True"));
    bench.write_conf("good");
    bench.signal("HUP");
    bench.wait("a generation that serves", || {
        bench.journal().matches(" start").count() == 2
    });
}

fn sigkill_of_the_supervisor_leaves_nothing_behind() {
    let mut bench = Bench::new("sigkill", "good", "").started();
    let mut all = bench.wait_for_workers(2);
    all.extend(bench.proxies());
    all.extend(bench.zygotes());
    assert!(all.len() >= 4);
    bench.signal("KILL");
    bench.exit_code();
    bench.all_gone(&all);
}

fn what_does_not_leave_is_killed() {
    let mut bench = Bench::new("stubborn", "never_leaves", "")
        .with_proxy("never_leaves")
        .started();
    let mut all = bench.wait_for_workers(2);
    all.extend(bench.proxies());
    bench.signal("INT");
    assert_eq!(bench.exit_code(), Some(0));
    bench.all_gone(&all);
}

fn logs_are_reopened() {
    let bench = Bench::new("reopen", "good", "").started();
    bench.wait_for_workers(2);
    let moved = bench.directory().join("error.log.1");
    fs::rename(bench.directory().join("error.log"), &moved).expect("a log file");
    bench.signal("USR1");
    bench.wait_for_log("logs reopened");
    bench.wait("the proxy to be told", || {
        bench.journal().contains("reopen files=2")
    });
}

fn the_background_is_entered_when_it_serves() {
    let mut bench = Bench::new("daemon", "good", "").in_background().launched();
    assert_eq!(bench.exit_code(), Some(0));
    assert!(
        bench.journal().contains("boot listeners="),
        "the front waits until it serves"
    );
    bench.wait_for_log("serving");
    let pid = fs::read_to_string(bench.pid_file()).expect("a pid file");
    let pid: u32 = pid.trim().parse().expect("a pid");
    assert!(bench::is_alive(pid));
    bench::signal(pid, "TERM");
    bench.wait("the background to end", || !bench.pid_file().exists());

    let mut bench = Bench::new("daemonfails", "import_failed", "")
        .in_background()
        .launched();
    assert_eq!(bench.exit_code(), Some(3));
    assert!(
        bench.terminal().contains("no module named shop"),
        "{}",
        bench.terminal()
    );
}
