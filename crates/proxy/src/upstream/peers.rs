//! The servers of one upstream and what is known of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use config::PeerAddress;

use super::{
    balance::{self, PeerState},
    idle::Place,
};

/// A server whose connect failed is passed over for this long while others are left.
const REST: Duration = Duration::from_secs(5);

/// `[upstream.NAME]` at work, shared by all front threads.
#[derive(Debug)]
pub(crate) struct Upstream {
    config: config::Upstream,
    /// Unique in this process.
    number: usize,
    /// Idle connections that one front thread keeps to each server.
    kept_max: usize,
    peers: Vec<Peer>,
    turn: AtomicUsize,
    born: Instant,
}

#[derive(Debug)]
struct Peer {
    /// As written, for the log.
    url: Arc<str>,
    address: PeerAddress,
    in_flight: AtomicUsize,
    /// Milliseconds after `born` until which it rests.
    rests_until_ms: AtomicU64,
}

/// A place at one server for one request; the request counts as in flight there until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    upstream: Arc<Upstream>,
    peer: usize,
}

impl Upstream {
    /// Makes it ready for so many front threads; nothing is connected yet.
    pub(crate) fn new(config: &config::Upstream, threads: usize) -> Self {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        let peers = config.peers.iter().map(|peer| Peer {
            url: peer.url.as_str().into(),
            address: peer.address.clone(),
            in_flight: AtomicUsize::new(0),
            rests_until_ms: AtomicU64::new(0),
        });
        Self {
            peers: peers.collect(),
            config: config.clone(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            kept_max: config.keepalive.div_ceil(threads.max(1)),
            turn: AtomicUsize::new(0),
            born: Instant::now(),
        }
    }

    /// Takes a place at a server that is not in `tried` (positions given by [`Seat::peer`]).
    pub(crate) fn seat(self: &Arc<Self>, tried: &[usize]) -> Option<Seat> {
        let now_ms = self.now_ms();
        let state = |position: usize| {
            let peer = &self.peers[position];
            PeerState {
                in_flight: peer.in_flight.load(Ordering::Relaxed),
                resting: peer.rests_until_ms.load(Ordering::Relaxed) > now_ms,
                tried: tried.contains(&position),
            }
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let peer = balance::choose(self.config.balance, self.peers.len(), state, turn)?;
        self.peers[peer].in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Seat {
            upstream: Arc::clone(self),
            peer,
        })
    }

    /// NAME
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Attempts on other servers after a connect failure.
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
        self.peers.len()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Seat {
    /// Position of the server.
    pub(crate) fn peer(&self) -> usize {
        self.peer
    }

    /// The server as written in the configuration.
    pub(crate) fn url(&self) -> &Arc<str> {
        &self.server().url
    }

    /// Where idle connections to the server are found.
    pub(super) fn place(&self) -> Place {
        Place {
            upstream: self.upstream.number,
            peer: self.peer,
        }
    }

    /// Where the server listens.
    pub(super) fn address(&self) -> &PeerAddress {
        &self.server().address
    }

    /// A connect failed: the server is passed over for a while.
    pub(crate) fn rest(&self) {
        let rest_ms = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
        let until = self.upstream.now_ms().saturating_add(rest_ms);
        self.server().rests_until_ms.store(until, Ordering::Relaxed);
    }

    /// A connect succeeded.
    pub(crate) fn awake(&self) {
        self.server().rests_until_ms.store(0, Ordering::Relaxed);
    }

    fn server(&self) -> &Peer {
        &self.upstream.peers[self.peer]
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.server().in_flight.fetch_sub(1, Ordering::Relaxed);
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
        assert_ne!(first.peer(), second.peer());
        let freed = first.peer();
        drop(first);
        assert_eq!(upstream.seat(&[]).unwrap().peer(), freed);
    }

    #[test]
    fn a_server_that_failed_rests_until_it_answers_again() {
        let upstream = upstream(config::Balance::RoundRobin, 2);
        let failed = upstream.seat(&[]).unwrap();
        failed.rest();
        for _ in 0..4 {
            assert_ne!(upstream.seat(&[]).unwrap().peer(), failed.peer());
        }
        failed.awake();
        let asked: Vec<_> = (0..4).map(|_| upstream.seat(&[]).unwrap().peer()).collect();
        assert!(asked.contains(&failed.peer()));
    }
}
