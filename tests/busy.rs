//! Fifty busy clients notice nothing of twenty reloads and twenty killed workers.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::harness::{Connection, Site, client::request_bytes, processes::signal_pid, wait_for};

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

impl Tally {
    fn answers(&self) -> usize {
        self.gets.load(Ordering::Relaxed) + self.posts.load(Ordering::Relaxed)
    }
}

#[test]
fn no_request_fails_through_twenty_reloads_and_twenty_killed_workers() {
    let mut site = Site::of_app("busy", "nap", "workers = 3\nthreads = 2", "");
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

    for generation in 1..=ROUNDS {
        // Everybody has come to this generation, so the worker is in the middle of something.
        let before = tally.answers();
        wait_for("every client is served", || {
            (tally.answers() > before + 4 * CLIENTS).then_some(())
        });
        let serving = workers(&site, generation);
        let (slot, pid) = serving[generation % serving.len()];
        signal_pid(pid, "KILL");
        wait_for("the slot has a new worker", || {
            let last = workers(&site, generation)
                .into_iter()
                .rfind(|worker| worker.0 == slot);
            last.filter(|&(_, newest)| newest != pid)
        });
        site.signal("HUP");
        site.wait_for_log(&format!(" serving generation={} ", generation + 1));
    }
    tally.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }

    let [gets, posts, interrupted] =
        [&tally.gets, &tally.posts, &tally.interrupted].map(|count| count.load(Ordering::Relaxed));
    println!("{gets} GETs, {posts} POSTs, {interrupted} of these interrupted by {ROUNDS} kills");
    assert!(gets > 2 * CLIENTS * ROUNDS, "{gets}");
    // Only what ran in a killed worker: at most one for each of its threads.
    assert!(interrupted <= 2 * ROUNDS, "{interrupted}");
    assert_eq!(site.error_log().matches("] worker died ").count(), ROUNDS);
    wait_for("one access line for each request", || {
        let lines = site.access_log().matches('\n').count();
        assert!(lines <= gets + posts, "{lines} lines");
        (lines == gets + posts).then_some(())
    });
    assert!(site.stop().success());
    assert!(site.processes().is_empty(), "{:?}", site.processes());
}

/// Slot and process id of every worker that got ready in a generation, in this order.
fn workers(site: &Site, generation: usize) -> Vec<(u32, i32)> {
    let of_generation = format!(" generation={generation} ");
    let field = |line: &str, name: &str| {
        let value = line.split(name).nth(1)?;
        value.split(' ').next()?.parse::<i32>().ok()
    };
    site.error_log()
        .lines()
        .filter(|line| line.contains(" worker ready ") && line.contains(&of_generation))
        .filter_map(|line| Some((field(line, " slot=")? as u32, field(line, " pid=")?)))
        .collect()
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
