//! The access log as the proxy uses it: which lines arrive where, whatever the disk or the reader does.

use std::{
    fs::{self, File},
    io::{self, Read},
    net::SocketAddr,
    os::fd::OwnedFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use config::{Format, To};
use logs::{AccessLog, OpenRecord, Outcome, open_for_append};

const TIMEOUT: Duration = Duration::from_secs(20);

fn log_to(file: File, buffer_bytes_max: usize) -> AccessLog {
    let config = config::AccessLog {
        to: To::Stdout,
        format: Format::Json,
        buffer_bytes_max,
    };
    AccessLog::new(&config, Some(file)).expect("access log")
}

fn open(log: &AccessLog, target: &str) -> OpenRecord {
    let peer: SocketAddr = ([192, 0, 2, 7], 40000).into();
    let mut record = log.open(peer.into());
    record.set_request(b"GET", target.as_bytes());
    record
}

fn request(log: &AccessLog, target: &str) {
    let mut record = open(log, target);
    record.status = Some(200);
    record.finish();
}

fn values(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a whole line"))
        .collect()
}

fn targets(text: &str) -> Vec<String> {
    values(text)
        .iter()
        .map(|line| line["target"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("log file")
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn pipe() -> (io::PipeReader, File) {
    let (reader, writer) = io::pipe().expect("pipe");
    (reader, File::from(OwnedFd::from(writer)))
}

#[test]
fn every_request_has_one_line_however_it_ends() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("access.log");
    let log = log_to(open_for_append(&path).expect("file"), 1 << 20);

    request(&log, "/finished");
    drop(open(&log, "/dropped"));
    let mut cut = open(&log, "/cut");
    cut.status = Some(200);
    drop(cut);
    let mut refused = open(&log, "/refused");
    (refused.status, refused.outcome) = (Some(431), Some(Outcome::Refused));
    refused.finish();
    let panicking = log.clone();
    let joined = thread::spawn(move || {
        let _record = open(&panicking, "/panicked");
        panic!("as part of the test");
    })
    .join();
    assert!(joined.is_err());
    assert!(log.close(TIMEOUT));

    let lines = values(&read(&path));
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or_default();
            (
                text("target"),
                line["status"].as_u64().unwrap_or_default(),
                text("outcome"),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("/finished", 200, "ok"),
            ("/dropped", 499, "client_gone"),
            ("/cut", 200, "client_gone"),
            ("/refused", 431, "refused"),
            ("/panicked", 500, "internal"),
        ]
    );
}

#[test]
fn a_lone_line_reaches_the_file_soon_and_the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("access.log");
    let config = config::AccessLog {
        to: To::File(path.clone()),
        format: Format::Combined,
        buffer_bytes_max: 1 << 20,
    };
    let log = AccessLog::new(&config, None).expect("access log");
    for number in 1..=3 {
        request(&log, "/");
        let start = Instant::now();
        wait_until("the line", || read(&path).lines().count() == number);
        // Ten times the promise: the machine that runs this may be busy.
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    assert!(read(&path).starts_with("192.0.2.7 - - ["));
    let mode = fs::metadata(&path).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn many_threads_lose_and_double_nothing() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("access.log");
    let log = log_to(open_for_append(&path).expect("file"), 64 << 20);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let log = log.clone();
            thread::spawn(move || (0..5000).for_each(|number| request(&log, &format!("/{thread}/{number}"))))
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("thread"));
    assert!(log.close(TIMEOUT));
    assert_eq!(log.dropped(), 0);

    let targets = targets(&read(&path));
    assert_eq!(targets.len(), 20_000);
    for thread in 0..4 {
        let prefix = format!("/{thread}/");
        let numbers: Vec<_> = targets
            .iter()
            .filter_map(|target| target.strip_prefix(&prefix))
            .collect();
        let expected: Vec<_> = (0..5000).map(|number: u32| number.to_string()).collect();
        assert_eq!(numbers, expected, "in the order they ended");
    }
}

#[test]
fn a_replaced_file_keeps_what_was_said_before() {
    let directory = tempfile::tempdir().expect("directory");
    let path = |number: usize| directory.path().join(format!("access.log.{number}"));
    let log = log_to(open_for_append(&path(0)).expect("file"), 1 << 20);
    for number in 0..20 {
        request(&log, &format!("/{number}"));
        log.replace(open_for_append(&path(number + 1)).expect("file"));
    }
    assert!(log.close(TIMEOUT));
    for number in 0..20 {
        assert_eq!(targets(&read(&path(number))), [format!("/{number}")]);
    }
    assert_eq!(read(&path(20)), "");
}

#[test]
fn a_sleeping_reader_costs_lines_but_no_time() {
    const REQUESTS: u64 = 5000;
    let (mut reader, writer) = pipe();
    let log = log_to(writer, 128 * 1024);
    let start = Instant::now();
    (0..REQUESTS).for_each(|number| request(&log, &format!("/{number}")));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "requests waited for the reader"
    );
    assert!(log.dropped() > 0);

    let told = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    // Once the reader is back, so are the lines.
    wait_until("room", || {
        let before = log.dropped();
        request(&log, "/later");
        log.dropped() == before
    });
    let dropped = {
        assert!(log.close(TIMEOUT));
        log.dropped()
    };
    drop(log);
    let targets = targets(&told.join().expect("thread").expect("text"));
    let later = targets.iter().filter(|target| *target == "/later").count();
    assert_eq!(later, 1);
    let numbered = targets.len() - later;
    assert!(
        numbered as u64 >= REQUESTS - dropped,
        "{numbered} lines, {dropped} dropped"
    );
    assert!((numbered as u64) < REQUESTS);
}

#[test]
fn a_full_disk_loses_nothing_when_a_new_file_comes_in_time() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("access.log");
    let log = log_to(
        File::options().write(true).open("/dev/full").expect("device"),
        1 << 20,
    );
    request(&log, "/1");
    thread::sleep(Duration::from_millis(200));
    request(&log, "/2");
    log.replace(open_for_append(&path).expect("file"));
    request(&log, "/3");
    assert!(log.close(TIMEOUT));
    assert_eq!(targets(&read(&path)), ["/1", "/2", "/3"]);
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_lost_reader_does_not_hold_up_the_end() {
    let (reader, writer) = pipe();
    drop(reader);
    let log = log_to(writer, 1 << 20);
    request(&log, "/1");
    request(&log, "/2");
    let start = Instant::now();
    assert!(!log.close(10 * TIMEOUT));
    assert!(start.elapsed() < 5 * TIMEOUT);
    wait_until("the count", || log.dropped() == 2);
    request(&log, "/after the end");
    assert_eq!(log.dropped(), 3);
}

#[test]
fn a_log_that_is_off_takes_records() {
    let log = AccessLog::off();
    request(&log, "/");
    assert!(log.close(TIMEOUT));
    assert_eq!(log.dropped(), 0);
}
