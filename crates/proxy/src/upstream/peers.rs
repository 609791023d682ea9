//! The servers of one upstream and what is known of them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use config::PeerAddress;

use super::{
    balance::{self, PeerState},
    connection::Address,
    idle::Place,
};

/// A server that failed is passed over for this long while others are left.
const REST: Duration = Duration::from_secs(5);

/// `[upstream.NAME]` at work, shared by all front threads.
#[derive(Debug)]
pub(crate) struct Upstream {
    config: config::Upstream,
    /// Idle connections that one front thread keeps to each server.
    kept_max: usize,
    /// In the order written; where a name is written, its addresses one after the other.
    servers: RwLock<Vec<Arc<Server>>>,
    turn: AtomicUsize,
}

/// One address behind us.
#[derive(Debug)]
struct Server {
    /// Position of what is written in the configuration.
    written: usize,
    /// As written, for the log.
    url: Arc<str>,
    address: Address,
    place: Arc<Place>,
    in_flight: AtomicUsize,
    born: Instant,
    /// Milliseconds after `born` until which it rests; 0 once it has answered.
    rests_until_ms: AtomicU64,
}

/// A place at one server for one request; the request counts as in flight there until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    server: Arc<Server>,
}

impl Upstream {
    /// Makes it ready for so many front threads; nothing is connected yet, and no name looked up.
    pub(crate) fn new(config: &config::Upstream, threads: usize) -> Self {
        let mut servers = Vec::new();
        for (written, peer) in config.peers.iter().enumerate() {
            let address = match &peer.address {
                PeerAddress::Tcp(address) => Address::Tcp(*address),
                PeerAddress::Unix(path) => Address::Unix(path.clone()),
                PeerAddress::Name { .. } => continue,
            };
            servers.push(Arc::new(Server::new(config, written, address)));
        }
        Self {
            servers: RwLock::new(servers),
            config: config.clone(),
            kept_max: config.keepalive.div_ceil(threads.max(1)),
            turn: AtomicUsize::new(0),
        }
    }

    /// As written.
    pub(super) fn config(&self) -> &config::Upstream {
        &self.config
    }

    /// The name at this position leads to these addresses now. What is known of those that stay is kept.
    /// Answers whether anything has changed.
    pub(super) fn found(&self, written: usize, addresses: &[SocketAddr]) -> bool {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        let is_found = |server: &Server| match &server.address {
            Address::Tcp(address) => addresses.contains(address),
            Address::Unix(_) => false,
        };
        let before = servers.len();
        servers.retain(|server| server.written != written || is_found(server));
        let mut changed = servers.len() != before;
        for address in addresses {
            let address = Address::Tcp(*address);
            if servers
                .iter()
                .any(|known| known.written == written && known.address == address)
            {
                continue;
            }
            let at = servers.partition_point(|known| known.written <= written);
            servers.insert(at, Arc::new(Server::new(&self.config, written, address)));
            changed = true;
        }
        changed
    }

    /// Takes a place at a server that is not in `tried` (numbers given by [`Seat::number`]).
    pub(crate) fn seat(&self, tried: &[usize]) -> Option<Seat> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        let state = |position: usize| {
            let server: &Server = &servers[position];
            PeerState {
                in_flight: server.in_flight.load(Ordering::Relaxed),
                resting: server.rests(),
                tried: tried.contains(&server.place.number()),
            }
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let chosen = balance::choose(self.config.balance, servers.len(), state, turn)?;
        let server = Arc::clone(&servers[chosen]);
        server.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Seat { server })
    }

    /// NAME
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Attempts on other servers after one that failed.
    pub(crate) fn retries(&self) -> usize {
        self.config.retries
    }

    /// How long a connect may take.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.config.connect_timeout
    }

    /// How long a server may be silent.
    pub(crate) fn read_timeout(&self) -> Duration {
        self.config.read_timeout
    }

    /// How long a WebSocket may be silent.
    pub(super) fn tunnel_timeout(&self) -> Duration {
        self.config.tunnel_timeout
    }

    /// Idle connections that one front thread keeps to each server.
    pub(super) fn kept_max(&self) -> usize {
        self.kept_max
    }

    /// How many servers there are.
    pub(crate) fn servers(&self) -> usize {
        self.servers.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Server {
    fn new(config: &config::Upstream, written: usize, address: Address) -> Self {
        Self {
            written,
            url: config.peers.get(written).map_or("", |peer| &peer.url).into(),
            address,
            place: Arc::new(Place::new()),
            in_flight: AtomicUsize::new(0),
            born: Instant::now(),
            rests_until_ms: AtomicU64::new(0),
        }
    }

    fn rests(&self) -> bool {
        let until = self.rests_until_ms.load(Ordering::Relaxed);
        // The clock is read only where one of them has failed.
        until != 0 && until > self.now_ms()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Seat {
    /// The server's number, which no other one has as long as this lives.
    pub(crate) fn number(&self) -> usize {
        self.server.place.number()
    }

    /// The server as written in the configuration.
    pub(crate) fn url(&self) -> &Arc<str> {
        &self.server.url
    }

    /// Where idle connections to the server are found.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.server.place
    }

    /// Where the server listens.
    pub(super) fn address(&self) -> &Address {
        &self.server.address
    }

    /// The server cannot be connected to, or gives no answer: it is passed over for a while. `true`: it was
    /// well until now.
    pub(crate) fn rest(&self) -> bool {
        let rest_ms = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
        let until = self.server.now_ms().saturating_add(rest_ms);
        self.server.rests_until_ms.swap(until, Ordering::Relaxed) == 0
    }

    /// The server answers. `true`: it did not before.
    pub(crate) fn awake(&self) -> bool {
        let rests = &self.server.rests_until_ms;
        rests.load(Ordering::Relaxed) != 0 && rests.swap(0, Ordering::Relaxed) != 0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.server.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(balance: config::Balance, servers: usize) -> Arc<Upstream> {
        let peers = (0..servers).map(|server| config::Peer {
            url: format!("http://127.0.0.1:{server}"),
            address: PeerAddress::Tcp(([127, 0, 0, 1], server as u16).into()),
        });
        Arc::new(Upstream::new(
            &config::Upstream {
                name: "back".into(),
                peers: peers.collect(),
                balance,
                retries: 1,
                connect_timeout: Duration::from_secs(1),
                read_timeout: Duration::from_secs(1),
                tunnel_timeout: Duration::from_secs(1),
                keepalive: 4,
            },
            1,
        ))
    }

    #[test]
    fn a_seat_counts_until_it_is_dropped() {
        let upstream = upstream(config::Balance::LeastConnections, 2);
        let first = upstream.seat(&[]).unwrap();
        let second = upstream.seat(&[]).unwrap();
        assert_ne!(first.number(), second.number());
        let freed = first.number();
        drop(first);
        assert_eq!(upstream.seat(&[]).unwrap().number(), freed);
    }

    #[test]
    fn a_server_that_failed_rests_until_it_answers_again() {
        let upstream = upstream(config::Balance::RoundRobin, 2);
        let failed = upstream.seat(&[]).unwrap();
        assert!(!failed.awake(), "it has not failed yet");
        assert!(failed.rest());
        assert!(!failed.rest(), "told once");
        for _ in 0..4 {
            assert_ne!(upstream.seat(&[]).unwrap().number(), failed.number());
        }
        assert!(failed.awake());
        let asked: Vec<_> = (0..4).map(|_| upstream.seat(&[]).unwrap().number()).collect();
        assert!(asked.contains(&failed.number()));
    }

    #[test]
    fn every_address_of_a_name_is_a_server_and_what_is_known_of_those_that_stay_is_kept() {
        let mut config = upstream(config::Balance::RoundRobin, 2).config.clone();
        config.peers[0].address = PeerAddress::Name {
            host: "back".into(),
            port: 1,
        };
        let upstream = Upstream::new(&config, 1);
        let address = |last: u8| SocketAddr::from(([10, 0, 0, last], 1));
        assert_eq!(upstream.servers(), 1, "not looked up yet");
        assert!(upstream.found(0, &[address(1), address(2)]));
        assert_eq!(upstream.servers(), 3);
        let asked = |times: usize| -> Vec<Address> {
            let seats = (0..times).map(|_| upstream.seat(&[]).unwrap());
            seats.map(|seat| seat.address().clone()).collect()
        };
        let three = asked(3);
        assert!(three.contains(&Address::Tcp(address(1))) && three.contains(&Address::Tcp(address(2))));

        let failed = (0..3)
            .map(|_| upstream.seat(&[]).unwrap())
            .find(|seat| *seat.address() == Address::Tcp(address(2)))
            .unwrap();
        failed.rest();
        assert!(
            !upstream.found(0, &[address(2), address(1)]),
            "the order does not matter"
        );
        assert!(upstream.found(0, &[address(2), address(3)]));
        assert_eq!(upstream.servers(), 3);
        let next = asked(8);
        assert!(next.contains(&Address::Tcp(address(3))) && !next.contains(&Address::Tcp(address(1))));
        assert!(!next.contains(&Address::Tcp(address(2))), "it still rests");
    }
}
