//! The error log as a file that other programs move.

use std::fs;

use crate::harness::{Site, wait_for};

#[test]
fn the_log_is_opened_again_after_it_was_moved() {
    let mut site = Site::of_app("error-log", "talk", "workers = 1", "");
    site.start();
    let moved = site.directory.join("error.log.1");
    fs::rename(site.directory.join("error.log"), &moved).unwrap();
    site.get("/?before");
    let old = || fs::read_to_string(&moved).unwrap();
    wait_for("the moved file is still written", || {
        old().contains("print-before of").then_some(())
    });
    site.signal("USR1");
    site.wait_for_log("logs reopened");
    site.get("/?after");
    site.wait_for_log("print-after of");
    // The proxy has the new file, too.
    assert!(site.stop().success());
    assert!(
        site.error_log().contains(" proxy drains "),
        "{}",
        site.error_log()
    );
    for late in ["print-after", "proxy drains"] {
        assert!(!old().contains(late), "{late}");
    }
}
