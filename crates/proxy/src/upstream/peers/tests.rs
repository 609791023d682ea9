use std::os::unix::net::UnixListener;

use config::PeerAddress;

use super::*;

fn config(balance: config::Balance, addresses: impl IntoIterator<Item = PeerAddress>) -> config::Upstream {
    let peers = addresses.into_iter().map(|address| config::Peer {
        url: format!("{address:?}"),
        address,
        weight: 1,
        backup: false,
        tls_name: None,
        protocol: config::PeerProtocol::Http1,
    });
    config::Upstream {
        name: "back".into(),
        peers: peers.collect(),
        balance,
        retries: 1,
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        tunnel_timeout: Duration::from_secs(1),
        keepalive: 4,
        tls: config::UpstreamTls {
            verify: true,
            ca: None,
        },
        health: None,
    }
}

fn tcp(last: u8) -> PeerAddress {
    PeerAddress::Tcp(at(last))
}

fn at(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 1).into()
}

fn name(host: &str) -> PeerAddress {
    PeerAddress::Name {
        host: host.into(),
        port: 1,
    }
}

async fn begun(config: &config::Upstream) -> Upstream {
    let upstream = Upstream::new(config, 1, Vec::new());
    upstream.update().await;
    upstream
}

/// How many servers one request may be sent to.
fn servers(upstream: &Upstream) -> usize {
    let mut tried = Vec::new();
    while let Some(seat) = upstream.seat(None, &tried) {
        assert!(upstream.has_other(&tried));
        tried.push(seat.number());
    }
    assert!(!upstream.has_other(&tried));
    tried.len()
}

/// Where the next requests go.
fn asked(upstream: &Upstream, times: usize) -> Vec<Address> {
    let seats = (0..times).map(|_| upstream.seat(None, &[]).unwrap());
    seats.map(|seat| seat.address().clone()).collect()
}

#[tokio::test]
async fn a_seat_counts_until_it_is_dropped() {
    let upstream = begun(&config(config::Balance::LeastConnections, [tcp(1), tcp(2)])).await;
    let first = upstream.seat(None, &[]).unwrap();
    let second = upstream.seat(None, &[]).unwrap();
    assert_ne!(first.number(), second.number());
    let freed = first.number();
    drop(first);
    assert_eq!(upstream.seat(None, &[]).unwrap().number(), freed);
}

#[tokio::test]
async fn a_server_that_failed_rests_until_it_answers_again() {
    for balance in [
        config::Balance::RoundRobin,
        config::Balance::LeastConnections,
        config::Balance::Random,
    ] {
        let upstream = begun(&config(balance, [tcp(1), tcp(2)])).await;
        let failed = upstream.seat(None, &[]).unwrap();
        assert!(!failed.awake(), "it has not failed yet");
        assert!(failed.rest());
        assert!(!failed.rest(), "told once");
        for _ in 0..4 {
            assert_ne!(upstream.seat(None, &[]).unwrap().number(), failed.number());
        }
        assert!(failed.awake());
        let address = failed.address().clone();
        drop(failed);
        assert!(asked(&upstream, 100).contains(&address), "{balance:?}");
    }
}

#[tokio::test]
async fn when_all_rest_one_is_asked_all_the_same() {
    let upstream = begun(&config(config::Balance::RoundRobin, [tcp(1), tcp(2)])).await;
    for _ in 0..2 {
        upstream.seat(None, &[]).unwrap().rest();
    }
    assert!(upstream.seat(None, &[]).is_some());
}

#[tokio::test]
async fn no_server_is_asked_twice_for_one_request() {
    let upstream = begun(&config(config::Balance::RoundRobin, [tcp(1), tcp(2)])).await;
    let first = upstream.seat(None, &[]).unwrap().number();
    let second = upstream.seat(None, &[first]).unwrap().number();
    assert_ne!(first, second);
    assert!(upstream.seat(None, &[first, second]).is_none());
}

#[tokio::test]
async fn a_backup_is_asked_when_no_other_can_be() {
    let mut config = config(config::Balance::IpHash, [tcp(1), tcp(2), tcp(3)]);
    config.peers[0].backup = true;
    let upstream = begun(&config).await;
    assert_eq!(servers(&upstream), 3);
    let backup = Address::Tcp(at(1));
    assert!(!asked(&upstream, 20).contains(&backup));
    let mut failed = Vec::new();
    for _ in 0..2 {
        let seat = upstream.seat(None, &failed).unwrap();
        assert_ne!(*seat.address(), backup);
        seat.rest();
        failed.push(seat.number());
    }
    assert_eq!(*upstream.seat(None, &failed).unwrap().address(), backup);
    assert_eq!(
        asked(&upstream, 5),
        vec![backup; 5],
        "for the next request as well"
    );
    let seat = upstream.seat(None, &[]).unwrap();
    seat.rest();
    assert_ne!(
        upstream.seat(None, &[]).unwrap().address(),
        seat.address(),
        "all rest: the first ones are asked before the backup"
    );
}

#[tokio::test]
async fn every_address_of_a_name_is_a_server_and_what_is_known_of_those_that_stay_is_kept() {
    let upstream = begun(&config(config::Balance::RoundRobin, [name("back"), tcp(9)])).await;
    assert_eq!(servers(&upstream), 1, "not looked up yet");
    assert!(upstream.found(0, &[at(1), at(2)]).await);
    assert_eq!(servers(&upstream), 3);
    let three = asked(&upstream, 3);
    assert!(three.contains(&Address::Tcp(at(1))) && three.contains(&Address::Tcp(at(2))));

    let failed = (0..3)
        .map(|_| upstream.seat(None, &[]).unwrap())
        .find(|seat| *seat.address() == Address::Tcp(at(2)))
        .unwrap();
    failed.rest();
    assert!(
        !upstream.found(0, &[at(2), at(1)]).await,
        "the order does not matter"
    );
    assert!(upstream.found(0, &[at(2), at(3)]).await);
    assert_eq!(servers(&upstream), 3);
    let next = asked(&upstream, 8);
    assert!(next.contains(&Address::Tcp(at(3))) && !next.contains(&Address::Tcp(at(1))));
    assert!(!next.contains(&Address::Tcp(at(2))), "it still rests");
}

#[tokio::test]
async fn an_address_that_two_names_lead_to_is_one_server() {
    let upstream = begun(&config(config::Balance::RoundRobin, [name("a"), name("b")])).await;
    assert!(upstream.found(1, &[at(1)]).await);
    let seat = upstream.seat(None, &[]).unwrap();
    assert!(upstream.found(0, &[at(1), at(2)]).await);
    assert_eq!(servers(&upstream), 2);
    assert!(asked(&upstream, 2).contains(seat.address()));
}

/// Checks that fail and succeed by the second in a row.
fn health() -> config::Health {
    config::Health {
        check: config::HealthCheck::Connect,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        healthy: 2,
        unhealthy: 2,
    }
}

#[tokio::test]
async fn a_server_that_fails_its_health_checks_is_not_asked_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.sock");
    let alive = UnixListener::bind(&path).unwrap();
    let mut config = config(config::Balance::RoundRobin, [PeerAddress::Unix(path.clone())]);
    config.health = Some(health());
    let upstream = begun(&config).await;
    upstream.check().await;
    assert!(upstream.seat(None, &[]).is_some());
    drop(alive);
    upstream.check().await;
    assert!(upstream.seat(None, &[]).is_some(), "once is nothing");
    upstream.check().await;
    assert!(upstream.seat(None, &[]).is_none());
    assert_eq!(servers(&upstream), 0);
    std::fs::remove_file(&path).unwrap();
    let _alive = UnixListener::bind(&path).unwrap();
    upstream.check().await;
    assert!(upstream.seat(None, &[]).is_none(), "once is nothing");
    upstream.check().await;
    assert!(upstream.seat(None, &[]).is_some());
}

#[tokio::test]
async fn a_request_whose_server_begins_to_fail_its_checks_has_the_others_left() {
    let directory = tempfile::tempdir().unwrap();
    let [lost, well] = ["lost", "well"].map(|name| directory.path().join(name));
    let listeners = [&lost, &well].map(|path| UnixListener::bind(path).unwrap());
    let paths = [lost.clone(), well.clone()].map(PeerAddress::Unix);
    let mut config = config(config::Balance::RoundRobin, paths);
    config.health = Some(health());
    let upstream = begun(&config).await;
    let waits = (0..2)
        .map(|_| upstream.seat(None, &[]).unwrap())
        .find(|seat| *seat.address() == Address::Unix(lost.clone()))
        .unwrap();
    let [listener, _well] = listeners;
    drop(listener);
    for _ in 0..2 {
        upstream.check().await;
    }
    assert_eq!(servers(&upstream), 1);
    let tried = [waits.number()];
    assert!(upstream.has_other(&tried));
    let next = upstream.seat(None, &tried).unwrap();
    assert_eq!(*next.address(), Address::Unix(well));
    assert!(!upstream.has_other(&[waits.number(), next.number()]));
}

#[tokio::test]
async fn an_address_that_comes_to_belong_to_another_name_is_a_server_of_that_name() {
    let mut config = config(config::Balance::RoundRobin, [name("main"), name("spare")]);
    config.peers[1].backup = true;
    config.peers[1].url = "http://spare".into();
    let upstream = begun(&config).await;
    upstream.found(0, &[at(1), at(2)]).await;
    upstream.found(1, &[at(2)]).await;
    assert!(asked(&upstream, 4).contains(&Address::Tcp(at(2))));
    // The addresses of all together stay the same.
    upstream.found(0, &[at(1)]).await;
    assert_eq!(servers(&upstream), 2);
    assert_eq!(asked(&upstream, 4), vec![Address::Tcp(at(1)); 4]);
    upstream.seat(None, &[]).unwrap().rest();
    let spare = upstream.seat(None, &[]).unwrap();
    assert_eq!((spare.written(), &**spare.url()), (1, "http://spare"));
    upstream.found(0, &[at(1), at(2)]).await;
    assert_eq!(upstream.seat(None, &[]).unwrap().written(), 0);
}

#[tokio::test]
async fn an_address_that_fails_its_checks_does_so_whoever_it_belongs_to() {
    // Port 1 of this machine: nobody listens there, and a refusal comes at once.
    let here: SocketAddr = ([127, 0, 0, 1], 1).into();
    let mut config = config(config::Balance::RoundRobin, [name("main"), name("other")]);
    config.health = Some(health());
    let upstream = begun(&config).await;
    upstream.found(0, &[here]).await;
    upstream.found(1, &[here]).await;
    let before = upstream.seat(None, &[]).unwrap();
    upstream.check().await;
    upstream.check().await;
    assert_eq!(servers(&upstream), 0);
    upstream.found(0, &[at(1)]).await;
    let left = upstream.seat(None, &[]).unwrap();
    assert_eq!(*left.address(), Address::Tcp(at(1)));
    assert_eq!((before.written(), servers(&upstream)), (0, 1));
}
