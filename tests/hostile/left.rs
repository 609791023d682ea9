//! Processes that an application has started by itself, in sessions of their own: they outlive their worker
//! and a reload, and nothing outlives the stop.

use super::site;
use crate::harness::wait_for;

fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn what_an_application_has_started_outlives_a_reload_and_is_named_and_does_not_outlive_the_stop() {
    let mut site = site("hostile-left-over");
    site.start();
    // One that SIGTERM ends, and one that ignores it.
    let jobs = ["sleep", "deaf"].map(|job| site.get(&format!("/hostile/background/{job}")).text());
    assert!(jobs.iter().all(|pid| lives(pid)), "{jobs:?}");
    site.signal("HUP");
    site.wait_for_log("] processes that applications have started live on after a reload");
    let log = site.error_log();
    let told = log
        .lines()
        .find(|line| line.contains("live on after a reload"))
        .unwrap();
    assert!(told.contains("count=2 "), "{told}");
    for pid in &jobs {
        assert!(told.contains(&format!("{pid} (")), "{pid}: {told}");
        assert!(lives(pid), "{pid}");
    }
    assert_eq!(site.get("/hostile/").status, 200);
    assert!(site.stop().success());
    wait_for("nothing is left", || {
        jobs.iter().all(|pid| !lives(pid)).then_some(())
    });
    assert!(
        site.error_log()
            .contains("a process an app had started does not end, killed")
    );
}

/// The supervisor cannot know which requests a worker has, and writes what it does know beside each line.
#[test]
fn an_id_in_a_line_proves_nothing_and_the_app_and_process_beside_it_do() {
    let mut site = site("hostile-marks");
    site.start();
    let answer = site.connect().get("/", &[]);
    let another = answer
        .header("x-request-id")
        .map_or_else(|| "0123456789abcdef".to_owned(), str::to_owned);
    let worker = site.get("/hostile/pid").text();
    assert_eq!(site.get(&format!("/hostile/mark/{another}")).text(), "marked");
    site.wait_for_log("said under another's id");
    let log = site.error_log();
    let line = log
        .lines()
        .find(|line| line.contains("said under another's id"))
        .unwrap();
    let told = format!("hostile/0[{worker}] stdout request_id={another}: said");
    assert!(line.contains(&told), "{line}");
    assert_eq!(log.matches(&another).count(), 1, "{log}");
    assert!(site.stop().success());
}
