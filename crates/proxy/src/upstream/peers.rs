//! The servers of one upstream and what is known of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use config::PeerAddress;
use pingora_core::upstreams::peer::HttpPeer;

use super::balance::{self, PeerState};

/// A server whose connect failed is passed over for this long while others are left.
const REST: Duration = Duration::from_secs(5);

/// An idle connection to a server is kept this long; below the minute after which many servers close it on their side.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// `[upstream.NAME]` at work, shared by all front threads.
#[derive(Debug)]
pub(crate) struct Upstream {
    config: config::Upstream,
    peers: Vec<Peer>,
    turn: AtomicUsize,
    born: Instant,
}

#[derive(Debug)]
struct Peer {
    /// As written, for the log.
    url: Arc<str>,
    template: HttpPeer,
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

/// A server's address that can not be used.
#[derive(Debug, thiserror::Error)]
#[error("upstream `{upstream}`: server {url}: {reason}")]
pub(crate) struct PeerError {
    upstream: String,
    url: String,
    reason: String,
}

impl Upstream {
    /// Makes it ready; nothing is connected yet.
    pub(crate) fn new(config: &config::Upstream) -> Result<Self, PeerError> {
        let peers = config.peers.iter().map(|peer| {
            let template = template(config, &peer.address).map_err(|reason| PeerError {
                upstream: config.name.clone(),
                url: peer.url.clone(),
                reason,
            })?;
            Ok(Peer {
                url: peer.url.as_str().into(),
                template,
                in_flight: AtomicUsize::new(0),
                rests_until_ms: AtomicU64::new(0),
            })
        });
        Ok(Self {
            peers: peers.collect::<Result<_, _>>()?,
            config: config.clone(),
            turn: AtomicUsize::new(0),
            born: Instant::now(),
        })
    }

    /// Takes a place at a server that is not in `tried` (positions given by [`Seat::peer`]).
    pub(crate) fn seat(self: &Arc<Self>, tried: &[usize]) -> Option<Seat> {
        let now_ms = self.now_ms();
        let states: Vec<_> = self
            .peers
            .iter()
            .enumerate()
            .map(|(position, peer)| PeerState {
                in_flight: peer.in_flight.load(Ordering::Relaxed),
                resting: peer.rests_until_ms.load(Ordering::Relaxed) > now_ms,
                tried: tried.contains(&position),
            })
            .collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let peer = balance::choose(self.config.balance, &states, turn)?;
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

    /// The server as pingora takes it.
    pub(crate) fn http_peer(&self) -> Box<HttpPeer> {
        Box::new(self.server().template.clone())
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

fn template(config: &config::Upstream, address: &PeerAddress) -> Result<HttpPeer, String> {
    let mut peer = match address {
        PeerAddress::Tcp(address) => HttpPeer::new(address, false, String::new()),
        PeerAddress::Unix(path) => {
            let path = path.to_str().ok_or("the path is not UTF-8")?;
            HttpPeer::new_uds(path, false, String::new()).map_err(|error| error.to_string())?
        }
    };
    peer.options.connection_timeout = Some(config.connect_timeout);
    peer.options.total_connection_timeout = Some(config.connect_timeout);
    peer.options.read_timeout = Some(config.read_timeout);
    peer.options.write_timeout = Some(config.read_timeout);
    // pingora takes zero for "do not keep".
    peer.options.idle_timeout = Some(if config.keepalive == 0 {
        Duration::ZERO
    } else {
        IDLE_TIMEOUT
    });
    Ok(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(balance: config::Balance, servers: usize) -> Arc<Upstream> {
        let peers = (0..servers).map(|server| config::Peer {
            url: format!("http://127.0.0.1:{server}"),
            address: PeerAddress::Tcp(([127, 0, 0, 1], server as u16).into()),
        });
        Arc::new(
            Upstream::new(&config::Upstream {
                name: "back".into(),
                peers: peers.collect(),
                balance,
                retries: 1,
                connect_timeout: Duration::from_secs(1),
                read_timeout: Duration::from_secs(1),
                keepalive: 4,
            })
            .unwrap(),
        )
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
