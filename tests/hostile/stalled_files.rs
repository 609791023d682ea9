//! Files on a file system that answers when it likes: a server that is gone, or a process of the
//! application's.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::Attacked;
use crate::harness::{Connection, Site, app, wait_for, workspace};

/// More than may wait at the same time.
const STALLED: usize = 70;

/// Longer than it is known which file system a directory is on.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3);

fn fuse() -> bool {
    let there = Path::new("/dev/fuse").exists() && app::mounts();
    if !there {
        println!("skipped: needs FUSE");
    }
    there
}

/// The site below `{dir}/files`, where `distant` is the file system that may wait.
fn start(site: &mut Attacked) {
    site.write("files/near.txt", "near\n");
    site.write("files/distant/hidden-by-the-mount", "");
    std::os::unix::fs::symlink("distant", site.directory.join("files/link")).unwrap();
    site.config(
        r#"
        [server]
        threads = 1
        grace = "1s"
        [[site]]
        [[site.route]]
        path = "/"
        files = "{dir}/files"
        [[site.route]]
        path = "/inside/"
        files = { root = "{dir}/files", symlinks = "inside" }
        [[site.route]]
        path = "/distant/"
        files = "{dir}/files/distant"
        [[site.route]]
        path = "/one"
        files = "{dir}/files/distant/prompt.txt"
        "#,
    );
    let server = workspace().join("tests/hostile/stalled.py");
    let prepare = format!(
        "mount --make-rprivate /; python3 {} {}/files/distant",
        server.display(),
        site.directory.display()
    );
    let command = app::in_namespace(site, &prepare, "");
    site.start_by(command);
}

#[test]
fn files_whose_closing_stalls_hold_up_nobody_else() {
    if !fuse() {
        return;
    }
    let mut site = Attacked::new(Site::new("unclosed-files"));
    site.expect_error("file not read: a network file system, FUSE or the like does not answer");
    start(&mut site);
    // Each is closed by a thread, until all that may wait do so; one more may be opened meanwhile.
    let sent = (0..STALLED).take_while(|_| site.get("/distant/unclosed.bin").status == 200);
    let sent = sent.count();
    assert!((1..=65).contains(&sent), "{sent}");
    assert_eq!(site.get("/near.txt").text(), "near\n");
    site.write("files/distant.release", "");
    wait_for("they are closed", || {
        (site.get("/distant/unclosed.bin").status == 200).then_some(())
    });
    assert!(site.stop().success());
}

#[test]
fn files_whose_reading_stalls_hold_up_nobody_else() {
    if !fuse() {
        return;
    }
    let mut site = Attacked::new(Site::new("stalled-files"));
    site.expect_error("file not read: a network file system, FUSE or the like does not answer");
    start(&mut site);
    let near = || site.get("/near.txt").text();
    assert_eq!(near(), "near\n");
    for target in [
        "/distant/prompt.txt",
        "/link/prompt.txt",
        "/inside/link/prompt.txt",
        "/one",
    ] {
        assert_eq!(site.get(target).text(), "prompt\n", "{target}");
    }
    assert_eq!(site.get("/distant/absent").status, 404);
    let large = site.get("/distant/large.bin");
    assert!(large.body.len() == 1 << 20 && large.body.chunks(256).all(|chunk| chunk[255] == 255));
    let part = site
        .connect()
        .get("/distant/large.bin", &[("Range", "bytes=65-300000")]);
    assert_eq!((part.status, part.body.len(), part.body[0]), (206, 299_936, 65));

    let ask = || {
        let mut connection = site.connect();
        connection
            .send("GET /distant/stalled.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        connection
    };
    let mut stalled: Vec<Connection> = (0..STALLED).map(|_| ask()).collect();
    // All threads that may wait do so, and the front thread does not.
    wait_for("the first is refused", || {
        assert_eq!(near(), "near\n");
        site.error_log().contains("file not read: ").then_some(())
    });
    let refused = Instant::now();
    while refused.elapsed() < FORGOTTEN_AFTER {
        assert_eq!(near(), "near\n");
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = site.error_log();
    assert_eq!(log.matches("file not read: ").count(), 1, "{log}");
    assert!(!log.contains("proxy does not answer"), "{log}");
    site.write("files/distant.release", "");
    let statuses: Vec<u16> = stalled
        .iter_mut()
        .map(|connection| connection.read_response("GET").unwrap())
        .map(|response| {
            assert!(response.status == 503 || response.text() == "late\n");
            response.status
        })
        .collect();
    drop(stalled);
    let late = statuses.iter().filter(|&&status| status == 200).count();
    assert!(late > 0 && late <= 64, "{statuses:?}");
    assert_eq!(site.get("/distant/stalled.txt").text(), "late\n");

    // A client that leaves while it waits is noticed.
    std::fs::remove_file(site.directory.join("files/distant.release")).unwrap();
    let lines = || site.access_log().matches("/distant/stalled.txt").count();
    wait_for("all of them are in the access log", || {
        (lines() == STALLED + 1).then_some(())
    });
    drop(ask());
    wait_for("it is noticed", || (lines() == STALLED + 2).then_some(()));

    // Nor does what stalls hold up the stop.
    let _stalled = ask();
    assert_eq!(near(), "near\n");
    assert!(site.stop().success());
}
