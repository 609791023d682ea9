//! Server-sent events and long polling: what is sent is at the client at once, and thousands of open streams cost little.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, SystemTime},
};

use rustix::process::{Resource, getrlimit};

use crate::harness::{
    Connection, Site, certificate::Certificate, client::request_bytes, limits::raise_open_files, wait_for,
};

/// What an event may be on its way; on an idle machine it is a fraction of a millisecond.
const AT_ONCE: Duration = Duration::from_millis(20);

/// How many streams are held open, and what each may cost in proxy and worker together.
const STREAMS: usize = 5_000;
const STREAM_BYTES_MAX: usize = 48 << 10;

fn events(test: &str) -> (Site, Certificate) {
    let mut site = Site::of_app(
        test,
        "events",
        "asgi = \"main:app\"\nloop = \"asyncio\"\nworkers = 1",
        r#"
        https = "off"

        [tls]
        certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]
        [[listener]]
        address = "127.0.0.1:{port}"
        [[listener]]
        address = "127.0.0.1:{tls_port}"
        tls = true
        "#,
    );
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    site.start();
    (site, certificate)
}

/// How long ago a stamp of the application was made.
fn age(stamp: &str) -> Duration {
    let nanoseconds: u64 = stamp.trim().parse().unwrap();
    let made = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    made.elapsed().unwrap_or_default()
}

/// The median of a round. On a machine that is busy with other things one round tells little, so the best of a few counts.
fn best_median(what: &str, mut round: impl FnMut() -> Vec<Duration>) {
    let mut medians = Vec::new();
    for _ in 0..5 {
        let mut ages = round();
        ages.sort_unstable();
        let median = ages[ages.len() / 2];
        medians.push(median);
        if median < AT_ONCE {
            println!("{what}: {median:?} on its way");
            return;
        }
    }
    panic!("{what} is {medians:?} on its way");
}

#[test]
fn each_event_is_at_the_client_when_it_is_made() {
    let (mut site, certificate) = events("events-at-once");
    let plain = || site.connect();
    let tls = || Connection::open_tls(site.tls_port, certificate.client(), "localhost");
    let connects: [(_, &dyn Fn() -> Connection); 2] = [("an event", &plain), ("an event over TLS", &tls)];
    for (what, connect) in connects {
        best_median(what, || {
            let mut client = connect();
            client
                .send(request_bytes("GET", "/events?100", &[], b""))
                .unwrap();
            let head = client.read_head().unwrap();
            assert_eq!(head.header("content-type"), Some("text/event-stream"));
            let mut ages = Vec::new();
            while let Some(chunk) = client.read_chunk().unwrap() {
                // More than one at once only on a machine that is very late.
                let text = String::from_utf8(chunk).unwrap();
                let events = text.strip_suffix("\n\n").unwrap().split("\n\n");
                ages.extend(events.map(|event| age(event.strip_prefix("data: ").unwrap())));
            }
            assert_eq!(ages.len(), 100);
            ages
        });
    }
    assert!(site.stop().success());
}

#[test]
fn whoever_polls_hears_of_what_happens_when_it_happens() {
    let (mut site, _) = events("events-poll");
    best_median("an answer", || {
        let mut ages = Vec::new();
        for _ in 0..20 {
            let mut polls: Vec<Connection> = (0..5).map(|_| site.connect()).collect();
            for poll in &mut polls {
                poll.send(request_bytes("GET", "/poll", &[], b"")).unwrap();
            }
            // Who came too late for one happening is told by the next.
            let mut told = 0;
            wait_for("all polls are held", || {
                told += site.get("/happen").text().parse::<usize>().unwrap();
                (told == polls.len()).then_some(())
            });
            for mut poll in polls {
                ages.push(age(&poll.read_response("GET").unwrap().text()));
            }
        }
        ages
    });
    assert!(site.stop().success());
}

/// Memory of a process that is its own, and its share of what others have too; none of one that hides from
/// us, as proxy and supervisor do from others than root.
fn pss_bytes(pid: i32) -> usize {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
        return 0;
    };
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn five_thousand_streams_stay_open_on_one_worker() {
    let wanted = STREAMS as u64 + 500;
    let allowed = getrlimit(Resource::Nofile).maximum;
    if allowed.is_some_and(|allowed| allowed < wanted) {
        println!("skipped: needs {wanted} open files, the machine allows {allowed:?}");
        return;
    }
    raise_open_files(wanted);
    let (mut site, _) = events("events-many");
    let processes: Vec<_> = ["appliance: proxy", "worker web"]
        .into_iter()
        .map(|title| site.processes_at_least(title, 1).remove(0))
        .collect();
    let memory = || {
        processes
            .iter()
            .map(|process| pss_bytes(process.pid))
            .sum::<usize>()
    };

    // What the first requests bring along is not counted.
    for _ in 0..20 {
        assert_eq!(site.get("/events?1").status, 200);
    }
    let before = memory();
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = TcpStream::connect(("127.0.0.1", site.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
            .write_all(&request_bytes("GET", "/hold", &[], b""))
            .unwrap();
        streams.push(stream);
    }
    for stream in &mut streams {
        read_event(stream);
    }
    let each = memory().saturating_sub(before) / STREAMS;
    println!("an open stream costs {each} bytes in proxy and worker");
    assert!(each < STREAM_BYTES_MAX, "{each} bytes for a stream");

    assert_eq!(site.get("/tell").text(), "told", "others are served meanwhile");
    for stream in &mut streams {
        read_event(stream);
    }
    drop(streams);
    assert!(site.stop().success());
}

/// Reads up to the end of one event.
fn read_event(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.windows(4).any(|part| part == b"\n\n\r\n") {
        let size = stream.read(&mut buffer).unwrap();
        assert_ne!(size, 0, "the stream was cut");
        seen.extend_from_slice(&buffer[..size]);
    }
}
