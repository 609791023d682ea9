//! One server behind us: where it listens, and what is known of it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use config::{PeerAddress, PeerProtocol};

use super::{connection::Address, idle::Place, lookup::is_localhost};

/// A server that failed is passed over for this long while others are left.
const REST: Duration = Duration::from_secs(5);

/// One address behind us. It lives as long as the address is known, whatever else changes around it.
#[derive(Debug)]
pub(super) struct Server {
    /// Position of what is written in the configuration.
    pub(super) written: usize,
    /// As written, for the log.
    url: Arc<str>,
    address: Address,
    weight: u32,
    backup: bool,
    protocol: PeerProtocol,
    place: Arc<Place>,
    in_flight: AtomicUsize,
    born: Instant,
    /// Milliseconds after `born` until which it rests; [`WELL`] once it has answered, [`NEW`] before.
    rests_until_ms: AtomicU64,
    health: Arc<Health>,
    /// It is one of the addresses of `localhost`, of which there are two, and most servers listen on one.
    of_localhost: bool,
}

/// What the health checks of an address have come to, whichever server it belongs to.
#[derive(Debug, Default)]
pub(super) struct Health {
    failing: AtomicBool,
    /// A check has connected to it.
    connected: AtomicBool,
    /// Why it failed the last check that it has failed.
    failure: Mutex<String>,
}

const WELL: u64 = 0;
const NEW: u64 = 1;

impl Server {
    /// The server at this address, of what is written at this position.
    pub(super) fn new(peer: &config::Peer, written: usize, address: Address, health: Arc<Health>) -> Self {
        Self {
            written,
            url: peer.url.as_str().into(),
            address,
            weight: peer.weight,
            backup: peer.backup,
            protocol: peer.protocol,
            place: Arc::new(Place::new()),
            in_flight: AtomicUsize::new(0),
            born: Instant::now(),
            rests_until_ms: AtomicU64::new(NEW),
            health,
            of_localhost: matches!(&peer.address, PeerAddress::Name { host, .. } if is_localhost(host)),
        }
    }

    /// Its number, which no other server has as long as this lives.
    pub(super) fn number(&self) -> usize {
        self.place.number()
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Its share of the requests.
    pub(super) fn weight(&self) -> u32 {
        self.weight
    }

    /// Is it asked only when none of the others can be?
    pub(super) fn is_backup(&self) -> bool {
        self.backup
    }

    /// Which HTTP it is spoken with in.
    pub(super) fn protocol(&self) -> PeerProtocol {
        self.protocol
    }

    /// Requests that it is answering now.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Has it failed a short while ago?
    pub(super) fn rests(&self) -> bool {
        let until = self.rests_until_ms.load(Ordering::Relaxed);
        // The clock is read only where one of them has failed.
        until > NEW && until > self.now_ms()
    }

    /// What its health checks have come to.
    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Does it fail its health checks? Then it gets no requests.
    pub(super) fn is_failing(&self) -> bool {
        self.health.failing.load(Ordering::Relaxed)
    }

    /// What its health checks have come to.
    pub(super) fn set_healthy(&self, healthy: bool) {
        self.health.failing.store(!healthy, Ordering::Relaxed);
    }

    /// Why it failed the last health check that it has failed.
    pub(super) fn failure(&self) -> String {
        self.health
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// It has failed a health check.
    pub(super) fn set_failure(&self, why: String) {
        *self.health.failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// A health check has connected to it.
    pub(super) fn set_connected(&self) {
        self.health.connected.store(true, Ordering::Relaxed);
    }

    /// Is it an address of `localhost` that no health check could connect to? Then there may be no server.
    pub(super) fn may_be_none(&self) -> bool {
        self.of_localhost && !self.health.connected.load(Ordering::Relaxed)
    }

    /// As written in the configuration.
    pub(super) fn url(&self) -> &Arc<str> {
        &self.url
    }

    /// Host and port of its URL.
    pub(super) fn authority(&self) -> &str {
        let authority = self.url.split_once("://").map(|(_, authority)| authority);
        authority.map_or("localhost", |authority| authority.trim_end_matches('/'))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A place at one server for one request; the request counts as in flight there until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    server: Arc<Server>,
}

impl Seat {
    /// Takes one.
    pub(super) fn at(server: Arc<Server>) -> Self {
        server.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { server }
    }

    /// The server's number, which no other one has as long as this lives.
    pub(crate) fn number(&self) -> usize {
        self.server.number()
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

    /// Is the server one of the addresses of `localhost`?
    pub(super) fn is_of_localhost(&self) -> bool {
        self.server.of_localhost
    }

    /// Which HTTP the server is spoken with in.
    pub(super) fn protocol(&self) -> PeerProtocol {
        self.server.protocol
    }

    /// Position of what is written in the configuration.
    pub(super) fn written(&self) -> usize {
        self.server.written
    }

    /// The server cannot be connected to, or gives no answer: it is passed over for a while. `true`: that is
    /// worth telling, since it was well until now.
    pub(crate) fn rest(&self) -> bool {
        let rest_ms = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
        let until = self.server.now_ms().saturating_add(rest_ms);
        match self.server.rests_until_ms.swap(until, Ordering::Relaxed) {
            WELL => true,
            NEW => !self.server.of_localhost,
            _ => false,
        }
    }

    /// The server answers. `true`: it did not before.
    pub(crate) fn awake(&self) -> bool {
        let rests = &self.server.rests_until_ms;
        rests.load(Ordering::Relaxed) != WELL && rests.swap(WELL, Ordering::Relaxed) > NEW
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.server.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
