//! Which server is asked, of several.

use super::site_of;
use crate::harness::{
    Connection, Site,
    upstream::{Upstream, nobody},
};

/// The names of the servers that answer so many requests.
fn answers(client: &mut Connection, requests: usize) -> Vec<String> {
    (0..requests).map(|_| client.get("/", &[]).text()).collect()
}

fn count(answers: &[String], name: &str) -> usize {
    answers.iter().filter(|answer| *answer == name).count()
}

#[test]
fn servers_get_requests_by_their_weight() {
    let (a, b, c) = (Upstream::tcp("a"), Upstream::tcp("b"), Upstream::tcp("c"));
    for balance in ["round-robin", "least-connections"] {
        let servers = format!(
            "[{:?}, {{ url = {:?}, weight = 3 }}, {{ url = {:?}, weight = 2 }}]",
            a.url, b.url, c.url
        );
        let mut site = site_of("balance-weight", &servers, &format!("balance = {balance:?}"));
        let answers = answers(&mut site.connect(), 24);
        let shares = (count(&answers, "a"), count(&answers, "b"), count(&answers, "c"));
        assert_eq!(shares, (4, 12, 8), "{balance}: {answers:?}");
        assert!(site.stop().success());
    }
}

#[test]
fn a_backup_serves_while_no_other_server_can() {
    let backup = Upstream::tcp("backup");
    let dead = nobody();
    let servers = format!("[{{ url = {:?}, backup = true }}, {dead:?}]", backup.url);
    let mut site = site_of("balance-backup", &servers, "");
    let mut client = site.connect();
    assert_eq!(count(&answers(&mut client, 5), "backup"), 5);
    assert!(site.stop().success());

    let first = Upstream::tcp("first");
    let servers = format!("[{{ url = {:?}, backup = true }}, {:?}]", backup.url, first.url);
    let mut site = site_of("balance-backup", &servers, "balance = \"random\"");
    assert_eq!(count(&answers(&mut site.connect(), 5), "first"), 5);
    assert!(site.stop().success());
}

#[test]
fn a_client_keeps_its_server() {
    let names = ["a", "b", "c", "d"];
    let servers: Vec<_> = names.iter().map(|name| Upstream::tcp(name)).collect();
    let urls =
        |servers: &[Upstream]| -> Vec<String> { servers.iter().map(|server| server.url.clone()).collect() };
    let mut site = Site::new("balance-client");
    let configure = |site: &Site, urls: &[String]| {
        site.config(&format!(
            "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[upstream.back]\nservers = {urls:?}\nbalance = \"ip-hash\"\n\
             [[site]]\nupstream = \"back\"\n"
        ));
    };
    configure(&site, &urls(&servers[..3]));
    site.start();
    // What a trusted proxy tells is the client, whatever connection its requests come by.
    let served = |site: &Site| -> Vec<String> {
        let mut client = site.connect();
        let addresses = (0..60).map(|last| format!("198.51.100.{last}"));
        addresses
            .map(|address| client.get("/", &[("X-Forwarded-For", &address)]).text())
            .collect()
    };
    let before = served(&site);
    assert_eq!(served(&site), before);
    for name in &names[..3] {
        assert!(count(&before, name) > 0, "{before:?}");
    }
    configure(&site, &urls(&servers));
    site.signal("HUP");
    site.wait_for_log(" serving generation=2 ");
    let after = served(&site);
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after);
    let moved: Vec<_> = moved.collect();
    assert!(moved.iter().all(|(_, now)| *now == "d"), "{moved:?}");
    assert!(moved.len() < 40, "{moved:?}");
    assert!(site.stop().success());
}
