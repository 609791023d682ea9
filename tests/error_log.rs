//! The error log as a file that other programs move.

use std::{
    fs::{self, File},
    io::Read,
    net::TcpStream,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::fs::{CWD, FileType, OFlags, mknodat};

use crate::harness::{Site, processes, wait_for};

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

/// A FIFO in the site's directory.
fn fifo(site: &Site, name: &str) -> PathBuf {
    let path = site.directory.join(name);
    mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
    path
}

/// What a reader who comes now finds in a FIFO.
fn found(fifo: &Path) -> String {
    let mut reader = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(fifo)
        .unwrap();
    let mut text = Vec::new();
    // It ends where there is nothing more to read for now.
    let _ = reader.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_reader_that_waits_at_a_fifo_gets_the_whole_log() {
    let more = "[log.access]\nto = \"./access.fifo\"\nformat = \"json\"";
    let mut site = Site::of_app("fifo-reader", "hello", "workers = 1", more);
    let fifo = fifo(&site, "access.fifo");
    let mut reader = std::process::Command::new("cat")
        .arg(&fifo)
        .stdout(File::create(site.directory.join("access.log")).unwrap())
        .spawn()
        .unwrap();
    site.start();
    for number in 0..10 {
        assert_eq!(site.get(&format!("/{number}")).status, 200, "{number}");
    }
    site.signal("USR1");
    site.wait_for_log("logs reopened");
    assert_eq!(site.get("/last").status, 200);
    assert!(site.stop().success());
    assert!(reader.wait().unwrap().success());
    assert_eq!(site.records(11)[10]["target"], "/last");
}

#[test]
fn a_fifo_that_nobody_reads_holds_no_start_up_and_one_whose_reader_leaves_no_request() {
    let more = "[log.access]\nto = \"./access.fifo\"\nformat = \"json\"\nbuffer_max = \"32KiB\"";
    let mut site = Site::of_app("fifo", "hello", "workers = 1", more);
    site.expect_error("log is not being read, lines wait and then are dropped");
    let fifo = fifo(&site, "access.fifo");
    site.start();
    site.wait_for_log("nobody reads this FIFO; lines wait, and then are dropped key=log.access.to");
    let mut client = site.connect();
    for number in 0..500 {
        assert_eq!(client.get(&format!("/{number}"), &[]).status, 200, "{number}");
    }
    site.wait_for_log("log is not being read, lines wait and then are dropped log=access");
    // A reader comes, takes what is there and leaves: twice.
    for target in ["/one", "/other"] {
        wait_for("the log is read", || {
            assert_eq!(client.get(target, &[]).status, 200);
            found(&fifo)
                .contains(&format!("\"target\":\"{target}\""))
                .then_some(())
        });
    }
    site.wait_for_log("log lines were dropped log=access");
    site.signal("USR1");
    site.wait_for_log("logs reopened");
    assert_eq!(client.get("/after", &[]).status, 200);
    drop(client);
    assert!(site.stop().success());
}

#[test]
fn an_error_log_that_nobody_reads_is_told_on_the_terminal_and_keeps_what_it_can() {
    let more = "[log.error]\nto = \"./error.fifo\"\nlevel = \"info\"";
    let mut site = Site::of_app("fifo-error", "hello", "workers = 1", more);
    let fifo = fifo(&site, "error.fifo");
    site.spawn();
    wait_for("the site listens", || {
        TcpStream::connect(("127.0.0.1", site.port)).ok()
    });
    assert_eq!(site.get("/").status, 200);
    assert!(
        site.output()
            .contains("appliance: log.error.to: nobody reads the FIFO "),
        "{}",
        site.output()
    );
    assert!(found(&fifo).contains(" starting version="));
    assert!(site.stop().success());
}

#[test]
fn a_log_that_cannot_be_reopened_is_told_and_the_other_one_is_reopened() {
    let more = "[log.access]\nto = \"./logs/access.log\"\nformat = \"json\"";
    let mut site = Site::of_app("reopen-fails", "hello", "workers = 1", more);
    site.expect_error("log not reopened, the old file is written on");
    let logs = site.directory.join("logs");
    fs::create_dir(&logs).unwrap();
    site.start();
    fs::rename(&logs, site.directory.join("moved")).unwrap();
    fs::rename(
        site.directory.join("error.log"),
        site.directory.join("error.log.1"),
    )
    .unwrap();
    site.signal("USR1");
    site.wait_for_log("log not reopened, the old file is written on error=");
    assert_eq!(site.get("/").status, 200);
    wait_for("the old file is written on", || {
        let old = fs::read_to_string(site.directory.join("moved/access.log")).unwrap();
        old.contains("\"target\":\"/\"").then_some(())
    });
    fs::create_dir(&logs).unwrap();
    site.signal("USR1");
    site.wait_for_log("logs reopened");
    // It was not said of the one that failed, in neither file.
    let both = fs::read_to_string(site.directory.join("error.log.1")).unwrap() + &site.error_log();
    assert_eq!(both.matches("logs reopened").count(), 1, "{both}");
    assert!(!both.contains("are reopened"), "{both}");
    assert!(logs.join("access.log").exists());
    assert!(site.stop().success());
}

#[test]
fn a_server_whose_terminal_has_gone_serves_and_stops() {
    let more = "[log.access]\nto = \"stdout\"\n[log.error]\nto = \"stderr\"";
    let site = Site::of_app("pipe-gone", "hello", "workers = 1", more);
    let mut child = site
        .command(&[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the site listens", || {
        TcpStream::connect(("127.0.0.1", site.port)).ok()
    });
    assert_eq!(site.get("/").status, 200);
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(site.get("/").status, 200);
    processes::signal_pid(i32::try_from(child.id()).unwrap(), "TERM");
    let status = wait_for("the server ends", || child.try_wait().unwrap());
    assert!(status.success(), "{status:?}");
}
