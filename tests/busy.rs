//! Fifty busy clients notice nothing of twenty reloads and twenty killed workers.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::harness::{Connection, Site, client::request_bytes};

const CLIENTS: usize = 50;
const ROUNDS: usize = 20;

/// What the clients have seen.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    gets: AtomicUsize,
    posts: AtomicUsize,
    interrupted: AtomicUsize,
}

#[test]
fn no_request_fails_through_twenty_reloads_and_twenty_killed_workers() {
    let mut site = Site::of_app("busy", "hello", "workers = 3\nthreads = 2", "");
    site.expect_error("worker died");
    site.start();
    site.wait_for_log_times("worker ready", 3);
    let tally = Arc::new(Tally::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (port, tally) = (site.port, Arc::clone(&tally));
            std::thread::spawn(move || client(number, port, &tally))
        })
        .collect();

    let mut killed = 0;
    for round in 1..=ROUNDS {
        let workers = site.processes_named("worker web/");
        let ready = site.error_log().matches("worker ready").count();
        workers[round % workers.len()].signal("KILL");
        site.wait_for_log_times("worker ready", ready + 1);
        killed += 1;
        site.signal("HUP");
        site.wait_for_log(&format!(" serving generation={} ", round + 1));
    }
    tally.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }

    let [gets, posts, interrupted] =
        [&tally.gets, &tally.posts, &tally.interrupted].map(|count| count.load(Ordering::Relaxed));
    println!("{gets} GETs, {posts} POSTs, {interrupted} of these interrupted by {killed} kills");
    assert!(gets > CLIENTS * ROUNDS, "{gets}");
    // Only what ran in a killed worker: at most one for each of its threads.
    assert!(interrupted <= 2 * killed, "{interrupted}");
    assert_eq!(site.error_log().matches("worker died").count(), killed);
    let records = site.access_lines(gets + posts);
    assert_eq!(records.len(), gets + posts, "one line for each request");
    assert!(site.stop().success());
    assert!(site.processes().is_empty(), "{:?}", site.processes());
}

fn client(number: usize, port: u16, tally: &Tally) {
    let mut connection = Connection::open(port);
    for round in number.. {
        if tally.stop.load(Ordering::Relaxed) {
            return;
        }
        let post = round % 10 == 0;
        let method = if post { "POST" } else { "GET" };
        let body: &[u8] = if post { b"body" } else { b"" };
        let target = format!("/{number}/{round}");
        let answer = ask(&mut connection, method, &target, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"));
        match (post, answer.status) {
            (_, 200) => {}
            (true, 502) => {
                tally.interrupted.fetch_add(1, Ordering::Relaxed);
            }
            _ => panic!("{method} {target}: {answer:?}"),
        }
        let count = if post { &tally.posts } else { &tally.gets };
        count.fetch_add(1, Ordering::Relaxed);
        if answer
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
        {
            connection = Connection::open(port);
        }
    }
}

fn ask(
    connection: &mut Connection,
    method: &str,
    target: &str,
    body: &[u8],
) -> io::Result<crate::harness::Response> {
    connection.send(request_bytes(method, target, &[], body))?;
    connection.read_response(method)
}
