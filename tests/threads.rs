//! WSGI threads that share a worker.

use crate::harness::Site;

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
