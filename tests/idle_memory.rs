//! The proxy gives memory back when a crowd is gone.

use std::fs;

use crate::harness::{Site, limits::raise_open_files, wait_for};

/// Connections with half a head each.
const CONNECTIONS: usize = 8000;

/// Private bytes of the proxy in RAM.
fn private_bytes(site: &Site) -> u64 {
    let proxy = site.processes_named("proxy").first().expect("a proxy").pid;
    let statm = fs::read_to_string(format!("/proc/{proxy}/statm")).unwrap();
    let pages: Vec<u64> = statm.split(' ').map_while(|number| number.parse().ok()).collect();
    (pages[1] - pages[2]) * rustix::param::page_size() as u64
}

#[test]
fn memory_of_a_crowd_that_left_goes_back_to_the_system() {
    raise_open_files(CONNECTIONS as u64 + 500);
    let mut site = Site::new("idle-memory");
    site.config(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\n[[site]]\n[[site.route]]\npath = \"/\"\nrespond = \"ok\"\n",
    );
    site.start();
    assert_eq!(site.get("/").status, 200);
    let idle = private_bytes(&site);
    let half_head = format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {}", "x".repeat(12_000));
    let crowd: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = site.connect();
            client.send(&half_head).unwrap();
            client
        })
        .collect();
    let busy = wait_for("the crowd to be heard", || {
        let busy = private_bytes(&site);
        (busy > idle + (50 << 20)).then_some(busy)
    });
    drop(crowd);
    wait_for("idle memory to go back", || {
        (private_bytes(&site) < 2 * idle).then_some(())
    });
    println!(
        "idle {idle}, with {CONNECTIONS} connections {busy}, after them {}",
        private_bytes(&site)
    );
    assert_eq!(site.get("/").status, 200);
    assert!(site.stop().success());
}
