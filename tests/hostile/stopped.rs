//! Processes that somebody has stopped by a signal, and processes that multiply, while the server goes on and
//! when it stops.

use std::time::{Duration, Instant};

use super::{Attacked, site};
use crate::harness::{Site, wait_for};

fn one(site: &Site, title: &str) -> crate::harness::processes::Process {
    wait_for(title, || site.processes_named(title).pop())
}

#[test]
fn a_zygote_that_was_stopped_is_replaced_as_soon_as_it_is_needed() {
    let mut site = site("stopped-zygote");
    site.expect_error("worker died")
        .expect_error("zygote was stopped by a signal")
        .expect_error("zygote died")
        .expect_error("it was stopped by a signal");
    site.start();
    let stopped = one(&site, "zygote hostile");
    stopped.signal("STOP");
    // As long as nothing is wanted of it, it is left alone.
    assert_eq!(site.get("/hostile/").status, 200);
    one(&site, "worker hostile/0").signal("KILL");
    site.wait_for_log("zygote was stopped by a signal, it is replaced");
    assert_eq!(site.get("/hostile/").status, 200);
    assert!(one(&site, "zygote hostile").pid != stopped.pid);
    assert!(!site.error_log().contains("not ready in time"));
    assert!(site.stop().success());
}

fn timed_stop(site: &mut Attacked) -> Duration {
    let started = Instant::now();
    assert!(site.stop().success());
    started.elapsed()
}

#[test]
fn a_stop_waits_for_nothing_that_was_stopped_once_its_grace_is_over() {
    let mut site = site("stopped-stop");
    site.write(
        "site.toml",
        std::fs::read_to_string(site.directory.join("site.toml")).unwrap() + "[server]\ngrace = \"1s\"\n",
    );
    site.start();
    // What a stop takes on this machine when nothing holds it up.
    let mut other = super::site("stopped-nothing");
    other.start();
    let usual = timed_stop(&mut other);
    for title in [": proxy", "zygote hostile", "worker hostile/0", "worker honest/0"] {
        one(&site, title).signal("STOP");
    }
    let took = timed_stop(&mut site);
    // Its grace, and a second for what there is to kill; it was three seconds beyond its grace.
    let bound = Duration::from_secs(2) + 3 * usual;
    assert!(took < bound, "{took:?}, usually {usual:?}");
    let log = site.error_log();
    assert!(
        !log.contains("not gone in time") && !log.contains("is left"),
        "{log}"
    );
}

/// Each has forked the next one and is gone before anybody could have seen it.
#[test]
fn a_stop_ends_what_forks_faster_than_it_can_be_listed() {
    let mut site = site("forking");
    site.start();
    assert_eq!(site.get("/hostile/fork-on").text(), "forked");
    // Any error line fails the test, such as that something is left.
    assert!(site.stop().success());
}
