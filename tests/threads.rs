//! WSGI threads that share a worker.

use crate::harness::{
    Site,
    python::{Python, on_each_python},
};

#[test]
fn a_stuck_thread_hides_no_work_of_the_others() {
    let mut site = Site::of_app("stuck-thread", "crash", "workers = 1\nthreads = 3", "");
    site.start();
    let stuck = site.beside("/wait/go");
    site.lines_of("waiting", 1);
    // More clients than threads: every request has to find one that is not stuck, also those that were sent ahead.
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let port = site.port;
            std::thread::spawn(move || {
                let mut client = crate::harness::Connection::open(port);
                for _ in 0..100 {
                    assert_eq!(client.get("/", &[]).status, 200);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert!(!stuck.is_finished(), "it waits still");
    site.write("go", "");
    assert_eq!(stuck.join().unwrap().status, 200);
    assert_eq!(site.records(801).len(), 801);
    assert!(site.stop().success());
}

on_each_python!(one_thread_is_the_main_thread_and_owns_what_the_import_made);

fn one_thread_is_the_main_thread_and_owns_what_the_import_made(python: &Python) {
    for preload in [true, false] {
        let interpreter = python.path.display();
        let keys = format!(
            "wsgi = \"wsgi:application\"\nworkers = 1\nthreads = 1\npreload = {preload}\npython = \"{interpreter}\""
        );
        let mut site = Site::of_app("main-thread", "main_thread", &keys, "");
        site.start();
        for count in 1..=3 {
            let told = site.get(&format!("/{count}")).text();
            assert_eq!(
                told,
                format!("slept {count}"),
                "{} preload {preload}",
                python.version
            );
        }
        site.signal("HUP");
        site.wait_for_log(" serving generation=2 ");
        assert_eq!(
            site.get("/").text(),
            "slept 1",
            "{} preload {preload}",
            python.version
        );
        assert!(site.stop().success());
    }
}
