//! The servers of one upstream and what is known of them.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use config::PeerProtocol;
use pingora_load_balancing::{Backends, HealthRegistry};
use tokio::sync::{Mutex, watch};

use super::{
    connection::Address,
    discovery::{self, Discovery},
    health::Checks,
    members::Members,
    server::Seat,
    unserved::Unserved,
};
use crate::tls::{ServerTls, UpstreamServersTls};

/// `[upstream.NAME]` at work, shared by all front threads.
pub(crate) struct Upstream {
    config: config::Upstream,
    tls: UpstreamServersTls,
    /// Idle connections that one front thread keeps to each server.
    kept_max: usize,
    speaks_http2: bool,
    discovery: Discovery,
    backends: Backends,
    /// One update at a time.
    updating: Mutex<()>,
    members: ArcSwap<Members>,
    /// Names of which nothing is known, and that were not looked up yet.
    awaited: watch::Sender<usize>,
    unserved: Unserved,
}

impl Upstream {
    /// Makes it ready for so many front threads. It has no servers before its first [update](Self::update).
    pub(crate) fn new(config: &config::Upstream, threads: usize, tls: UpstreamServersTls) -> Self {
        let discovery = Discovery::new(&config.peers);
        let registry = HealthRegistry::with_equivalence(discovery::health_number);
        if let Some(health) = &config.health {
            let checks = Checks::new(&config.name, health, tls.clone(), discovery.clone());
            registry.set_health_check(Box::new(checks));
        }
        let backends = Backends::new_with_health_registry(Box::new(discovery.clone()), Arc::new(registry));
        Self {
            members: ArcSwap::from_pointee(Members::new(config.balance, &backends.get_backend())),
            config: config.clone(),
            tls,
            speaks_http2: config
                .peers
                .iter()
                .any(|peer| peer.protocol != PeerProtocol::Http1),
            kept_max: config.keepalive.div_ceil(threads.max(1)),
            discovery,
            backends,
            updating: Mutex::new(()),
            awaited: watch::Sender::new(0),
            unserved: Unserved::default(),
        }
    }

    /// As written.
    pub(super) fn config(&self) -> &config::Upstream {
        &self.config
    }

    /// Takes up what has been found.
    pub(super) async fn update(&self) {
        let _alone = self.updating.lock().await;
        let members = |backends: Arc<_>| {
            let members = Members::new(self.config.balance, &backends);
            self.members.store(Arc::new(members));
        };
        if let Err(error) = self.backends.update(members).await {
            tracing::error!(upstream = self.name(), %error, "servers cannot be told");
        }
    }

    /// Checks the health of all servers once, where that is wanted.
    pub(super) async fn check(&self) {
        self.backends.run_health_check(true).await;
    }

    /// The name at this position leads to these addresses now. What is known of those that stay is kept.
    /// Answers whether anything has changed.
    pub(super) async fn found(&self, written: usize, addresses: &[SocketAddr]) -> bool {
        let addresses = addresses.iter().copied().map(Address::Tcp).collect();
        let is_new = self.discovery.found(written, addresses);
        if is_new {
            self.update().await;
        }
        is_new
    }

    /// A name of which nothing is known is about to be looked up.
    pub(super) fn awaits_name(&self) {
        self.awaited.send_modify(|names| *names += 1);
    }

    /// It was looked up, and perhaps found.
    pub(super) fn knows_name(&self) {
        self.awaited.send_modify(|names| *names = names.saturating_sub(1));
    }

    /// May a name that is looked up for the first time lead to more servers?
    pub(super) fn may_get_more(&self) -> bool {
        *self.awaited.borrow() > 0
    }

    /// Resolves once each name was looked up.
    pub(super) async fn looked_up(&self) {
        // The sender is here.
        let _ = self.awaited.subscribe().wait_for(|names| *names == 0).await;
    }

    /// As [`Upstream::seat`], once a name that is looked up for the first time leads to a server.
    pub(super) async fn seat_to_come(&self, client: Option<IpAddr>, tried: &[usize]) -> Option<Seat> {
        let mut awaited = self.awaited.subscribe();
        loop {
            // In this order: what the last of them leads to is there when none is awaited any more.
            let is_last = *awaited.borrow_and_update() == 0;
            let seat = self.seat(client, tried);
            if seat.is_some() || is_last || awaited.changed().await.is_err() {
                return seat;
            }
        }
    }

    /// Takes a place at a server that is not in `tried` (numbers given by [`Seat::number`]).
    pub(crate) fn seat(&self, client: Option<IpAddr>, tried: &[usize]) -> Option<Seat> {
        self.members.load().seat(client, tried)
    }

    /// How the server is spoken with; `None`: without TLS.
    pub(super) fn tls(&self, seat: &Seat) -> Option<&ServerTls> {
        self.tls.get(seat.written())?.as_deref()
    }

    /// No server could be asked. Gives the number of such requests when it is time to tell.
    pub(super) fn unserved(&self, now: Instant) -> Option<u64> {
        self.unserved.count(now)
    }

    /// May one of the servers be spoken with in HTTP/2?
    pub(super) fn speaks_http2(&self) -> bool {
        self.speaks_http2
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

    /// Is there a server that can be asked and is not in `tried`?
    pub(crate) fn has_other(&self, tried: &[usize]) -> bool {
        self.members.load().has_other(tried)
    }

    /// Is there another address of what this seat's server is written as, for which the same holds?
    pub(super) fn has_other_address(&self, seat: &Seat, tried: &[usize]) -> bool {
        self.members.load().has_other_of(seat.written(), tried)
    }
}

#[cfg(test)]
mod tests;
