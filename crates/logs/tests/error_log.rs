//! The error log of a whole process; there is one per process, hence one test.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use config::{Format, Level, To};
use logs::{
    AccessLog, Error, Remote,
    error_log::{self, AppLine},
    open_for_append,
};
use tracing::{debug, error, info, warn};

const TIMEOUT: Duration = Duration::from_secs(20);

/// The lines without their times, which are checked for their shape.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("log file");
    text.lines()
        .map(|line| {
            let (time, rest) = line.split_once(' ').expect("time and the rest");
            let shape: String = time
                .chars()
                .map(|c| if c.is_ascii_digit() { '0' } else { c })
                .collect();
            assert_eq!(shape, "0000-00-00T00:00:00.000Z");
            rest.to_owned()
        })
        .collect()
}

#[test]
fn the_error_log_tells_events_and_application_lines_each_on_one_line() {
    let directory = tempfile::tempdir().expect("directory");
    let path = |name: &str| directory.path().join(name);
    let config = config::ErrorLog {
        to: To::File(path("1")),
        level: Level::Info,
    };
    let guard = error_log::init(&config, "proxy", None).expect("error log");
    assert!(matches!(
        error_log::init(&config, "proxy", None),
        Err(Error::Twice)
    ));
    let me = format!("proxy[{}]", std::process::id());

    // What is said, how, and what is not said.
    info!(target: "proxy", app = "web", slot = 1, boot_ms = 120_u64, "worker ready");
    debug!(target: "proxy", "not at this level");
    let error = io::Error::other("no\nsuch thing");
    warn!(target: "proxy::link", path = %Path::new("/a b").display(), %error, "odd");
    info!(target: "h2::codec", "a library's chatter");
    warn!(target: "h2::codec", "a library's warning");
    log::info!(target: "pingora_core", "chatter through the log crate");
    log::error!(target: "pingora_core", "a failure\nthrough the log crate");
    let said = |request_id, error, text| AppLine {
        request_id,
        error,
        text,
    };
    let failed = said(Some("abc"), true, b"GET /: the application raised ValueError");
    error_log::app_output("web", Some(1), 77, "stderr", failed);
    let traceback = said(Some("abc"), false, b"Traceback:\n  File \"x.py\"\x1b[0m\r\n");
    error_log::app_output("web", Some(1), 77, "stderr", traceback);
    error_log::app_output("web", None, 70, "stdout", said(None, false, b"\n"));
    assert!(guard.flush(TIMEOUT));
    assert_eq!(
        lines(&path("1")),
        [
            format!("INFO {me} worker ready app=web slot=1 boot_ms=120"),
            format!("WARN {me} odd path=\"/a b\" error=\"no\\nsuch thing\""),
            format!("ERROR {me} a failure\\nthrough the log crate target=pingora_core"),
            "ERROR web/1[77] stderr request_id=abc: GET /: the application raised ValueError".to_owned(),
            "INFO web/1[77] stderr request_id=abc: Traceback:".to_owned(),
            "INFO web/1[77] stderr request_id=abc:   File \"x.py\"\\u{1b}[0m".to_owned(),
            "INFO web/zygote[70] stdout: ".to_owned(),
        ]
    );

    // A rotated file.
    info!(target: "proxy", "before");
    guard.replace(open_for_append(&path("2")).expect("file"));
    info!(target: "proxy", "after");
    assert!(guard.flush(TIMEOUT));
    assert_eq!(lines(&path("1")).last(), Some(&format!("INFO {me} before")));
    assert_eq!(lines(&path("2")), [format!("INFO {me} after")]);

    // The access log tells its troubles here, once.
    guard.replace(open_for_append(&path("3")).expect("file"));
    let (mut reader, writer) = io::pipe().expect("pipe");
    let access = config::AccessLog {
        to: To::Stdout,
        format: Format::Combined,
        buffer_bytes_max: 4096,
    };
    let access = AccessLog::new(&access, Some(File::from(OwnedFd::from(writer)))).expect("access log");
    (0..20_000).for_each(|_| access.open(Remote::Unix).finish());
    let dropped = access.dropped();
    assert!(dropped > 0);
    let reading = std::thread::spawn(move || io::copy(&mut reader.by_ref(), &mut io::sink()));
    drop(access);
    reading.join().expect("thread").expect("pipe");
    assert!(guard.flush(TIMEOUT));
    let told = lines(&path("3"));
    // At once, and what came later at the end: not for every drop.
    assert!((1..=2).contains(&told.len()), "{told:?}");
    assert!(
        told[0].starts_with(&format!("WARN {me} log lines were dropped log=access lines=")),
        "{told:?}"
    );
    assert!(
        told[told.len() - 1].ends_with(&format!(" total={dropped}")),
        "{told:?}"
    );

    // Nobody waits for a log whose reader has gone.
    let (reader, writer) = io::pipe().expect("pipe");
    drop(reader);
    guard.replace(File::from(OwnedFd::from(writer)));
    warn!(target: "proxy", "to nobody");
    let start = Instant::now();
    assert!(!guard.flush(10 * TIMEOUT));
    assert!(start.elapsed() < 5 * TIMEOUT);

    // What is said last is not lost, however much there was.
    guard.replace(open_for_append(&path("4")).expect("file"));
    (0..10_000)
        .for_each(|_| error_log::app_output("web", Some(1), 77, "stdout", said(None, false, &[b'x'; 1000])));
    error!(target: "proxy", "the last word");
    drop(guard);
    assert_eq!(
        lines(&path("4"))
            .iter()
            .filter(|line| line.ends_with("the last word"))
            .count(),
        1
    );
}
