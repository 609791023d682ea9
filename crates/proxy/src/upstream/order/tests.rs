use std::os::unix;

use super::*;

const BALANCES: [Balance; 4] = [
    Balance::RoundRobin,
    Balance::LeastConnections,
    Balance::Random,
    Balance::IpHash,
];

/// An order of servers with these weights.
fn order(balance: Balance, weights: &[u32]) -> Order {
    let servers = weights.iter().enumerate().map(|(position, weight)| {
        let address = SocketAddr::from(([10, 0, 0, position as u8], 80));
        (BackendAddress::Inet(address), *weight)
    });
    Order::new(balance, &servers.collect::<Vec<_>>())
}

fn client(number: u32) -> Option<IpAddr> {
    Some(IpAddr::V4((0xc0a8_0000 + number).into()))
}

/// How often each of `servers` is chosen by so many clients.
fn counts(order: &Order, servers: usize, clients: u32, suits: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut counts = vec![0; servers];
    for number in 0..clients {
        counts[order.choose(client(number), &suits, |_| 0).unwrap()] += 1;
    }
    counts
}

#[test]
fn round_robin_asks_each_in_turn() {
    let order = order(Balance::RoundRobin, &[1, 1, 1]);
    let chosen: Vec<_> = (0..6)
        .map(|_| order.choose(None, |_| true, |_| 0).unwrap())
        .collect();
    assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn shares_are_those_of_the_weights() {
    for balance in [Balance::RoundRobin, Balance::LeastConnections] {
        let order = order(balance, &[50, 10, 20]);
        assert_eq!(counts(&order, 3, 80, |_| true), [50, 10, 20], "{balance:?}");
    }
    for balance in [Balance::Random, Balance::IpHash] {
        let order = order(balance, &[3, 1]);
        let counts = counts(&order, 2, 4000, |_| true);
        assert!((2400..3600).contains(&counts[0]), "{balance:?}: {counts:?}");
    }
}

#[test]
fn least_connections_asks_the_one_with_the_fewest_for_its_weight() {
    let order = order(Balance::LeastConnections, &[1, 4, 1]);
    for (in_flight, chosen) in [([3, 1, 2], 1), ([1, 3, 1], 1), ([1, 4, 0], 2), ([1, 5, 2], 0)] {
        for _ in 0..6 {
            assert_eq!(
                order.choose(None, |_| true, |server| in_flight[server]),
                Some(chosen)
            );
        }
    }
}

#[test]
fn what_does_not_suit_is_not_chosen() {
    for balance in BALANCES {
        let order = order(balance, &[1, 100, 1, 7]);
        for left in 0..4 {
            for number in 0..50 {
                let chosen = order.choose(client(number), |server| server == left, |_| 9);
                assert_eq!(chosen, Some(left), "{balance:?}");
            }
        }
        assert_eq!(order.choose(client(1), |_| false, |_| 0), None, "{balance:?}");
        assert_eq!(
            super::Order::new(balance, &[]).choose(None, |_| true, |_| 0),
            None
        );
    }
}

#[test]
fn those_that_are_left_share_what_one_that_is_down_had() {
    for balance in BALANCES {
        let order = order(balance, &[1, 1, 1]);
        let counts = counts(&order, 3, 3000, |server| server != 1);
        assert_eq!(counts[1], 0);
        assert!(counts[0] > 900 && counts[2] > 900, "{balance:?}: {counts:?}");
    }
}

#[test]
fn a_client_keeps_its_server_while_others_come_and_go() {
    let three = order(Balance::IpHash, &[1, 1, 1]);
    let four = order(Balance::IpHash, &[1, 1, 1, 1]);
    let at = |order: &Order, number| order.choose(client(number), |_| true, |_| 0).unwrap();
    let mut moved = 0;
    for number in 0..1000 {
        let server = at(&three, number);
        assert_eq!(at(&three, number), server, "the same one each time");
        if at(&four, number) != server {
            assert_eq!(at(&four, number), 3, "only the new one takes clients");
            moved += 1;
        }
        let without = three.choose(client(number), |position| position != 2, |_| 0);
        assert!(
            server == 2 || without == Some(server),
            "only those of the lost one move"
        );
    }
    assert!((150..350).contains(&moved), "{moved}");
}

#[test]
fn servers_on_unix_sockets_have_their_clients_too() {
    let unix = |path: &str| {
        let address = unix::net::SocketAddr::from_pathname(path).unwrap();
        (BackendAddress::Unix(address), 1)
    };
    let order = Order::new(Balance::IpHash, &[unix("/run/a.sock"), unix("/run/b.sock")]);
    let counts = counts(&order, 2, 1000, |_| true);
    assert!(counts[0] > 300 && counts[1] > 300, "{counts:?}");
    let six = |last| Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)));
    let chosen: BTreeSet<_> = (0..100)
        .map(|last| order.choose(six(last), |_| true, |_| 0).unwrap())
        .collect();
    assert_eq!(chosen.len(), 2);
}

#[test]
fn weights_are_kept_small() {
    let shares = |weights: &[u32], max| super::shares(weights.iter().copied(), max);
    assert_eq!(*shares(&[100, 50, 25], WEIGHTS_MAX), [4, 2, 1]);
    assert_eq!(*shares(&[7], WEIGHTS_MAX), [1]);
    assert!(shares(&[], WEIGHTS_MAX).is_empty());
    let many: Vec<_> = (0..60_000).map(|number| 1 + number % 256).collect();
    let many = shares(&many, WEIGHTS_MAX);
    assert!(many.iter().sum::<usize>() < 130_000 && many.iter().all(|share| *share > 0));
}

#[test]
fn a_ring_is_kept_smaller_and_keeps_the_shares() {
    let weights: Vec<_> = (0..200).map(|number| 255 + number % 2).collect();
    let sum = |balance| order(balance, &weights).weights.iter().sum::<usize>();
    assert!(sum(Balance::RoundRobin) > 50_000);
    assert!(sum(Balance::IpHash) <= 4096);
    let order = order(Balance::IpHash, &[65_536, 16_384, 1, 16_383]);
    assert!(
        matches!(*order.weights, [2700..2740, 670..690, 1, 670..690]),
        "{:?}",
        order.weights
    );
}
