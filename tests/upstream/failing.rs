//! Servers that take a connection and give no answer, beside one that does.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use super::site;
use crate::harness::upstream::Upstream;

/// How one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Closes the connection at once.
    Close,
    /// Reads the request, then closes.
    ReadAndClose,
    /// Begins an answer, then closes.
    HalfAHead,
    /// Reads the request, then resets the connection.
    Reset,
    /// Never answers.
    Silence,
}

/// A server that fails, and how often it was connected to.
struct Failing {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Failing {
    fn new(how: How) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || fail(how, stream));
            }
        });
        Self { url, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn fail(how: How, mut stream: TcpStream) {
    if how == How::Close {
        return;
    }
    let _ = stream.read(&mut [0; 1024]);
    match how {
        How::HalfAHead => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Len");
        }
        How::Reset => {
            let _ = set_socket_linger(&stream, Some(Duration::ZERO));
        }
        How::Silence => std::thread::sleep(Duration::from_secs(30)),
        How::Close | How::ReadAndClose => {}
    }
}

#[test]
fn an_idempotent_request_goes_to_the_next_server_and_the_one_that_failed_rests() {
    for how in [
        How::Close,
        How::ReadAndClose,
        How::HalfAHead,
        How::Reset,
        How::Silence,
    ] {
        let (failing, good) = (Failing::new(how), Upstream::tcp("good"));
        let mut site = site(
            "upstream-failing",
            &[&failing.url, &good.url],
            "read_timeout = \"3s\"",
        );
        let mut client = site.connect();
        for number in 0..12 {
            // One after the other, so that what failed is known.
            let answer = match number % 3 {
                0 => client.get("/x", &[]),
                1 => client.request("PUT", "/echo", &[], b"precious"),
                _ => client.request("DELETE", "/x", &[], b""),
            };
            let expected = if number % 3 == 1 { "precious" } else { "good" };
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, expected),
                "{how:?} {number}"
            );
        }
        // Once, unless the loop took longer than it rests.
        assert!(failing.connections() <= 3, "{how:?}: {}", failing.connections());
        assert!(failing.connections() >= 1);
        assert_eq!(good.received().len(), 12);
        assert_eq!(
            site.error_log().matches("upstream server is down").count(),
            1,
            "{how:?}"
        );
        assert!(site.stop().success());
    }
}

#[test]
fn what_is_not_idempotent_is_sent_once_and_the_server_rests_all_the_same() {
    let (failing, good) = (Failing::new(How::ReadAndClose), Upstream::tcp("good"));
    let mut site = site("upstream-failing-post", &[&failing.url, &good.url], "");
    let statuses: Vec<u16> = (0..8)
        .map(|_| site.connect().request("POST", "/echo", &[], b"precious").status)
        .collect();
    let failed = statuses.iter().filter(|status| **status == 502).count();
    assert!((1..=2).contains(&failed), "{statuses:?}");
    assert_eq!(failed, failing.connections());
    assert_eq!(good.received().len(), 8 - failed);
    assert!(site.stop().success());
}

#[test]
fn when_all_fail_the_client_hears_of_the_last_and_each_was_asked_once() {
    let (a, b) = (Failing::new(How::Close), Failing::new(How::ReadAndClose));
    let mut site = site("upstream-all-failing", &[&a.url, &b.url], "");
    assert_eq!(site.connect().get("/x", &[]).status, 502);
    assert_eq!((a.connections(), b.connections()), (1, 1));
    assert_eq!(site.records(1)[0]["outcome"], "upstream_failed");
    assert!(site.stop().success());
}

#[test]
fn retries_bound_the_servers_that_are_asked() {
    let all: Vec<_> = (0..4).map(|_| Failing::new(How::Close)).collect();
    let urls: Vec<&str> = all.iter().map(|server| server.url.as_str()).collect();
    let mut site = site("upstream-retries", &urls, "retries = 1");
    assert_eq!(site.connect().get("/x", &[]).status, 502);
    assert_eq!(all.iter().map(Failing::connections).sum::<usize>(), 2);
    assert!(site.stop().success());
}
