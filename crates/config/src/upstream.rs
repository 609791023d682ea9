//! `[upstream.NAME]`: servers outside that speak HTTP.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// `[upstream.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// NAME
    pub name: String,
    /// At least one.
    pub peers: Vec<Peer>,
    /// How a peer is chosen.
    pub balance: Balance,
    /// Attempts on other peers after a connect failure.
    pub retries: usize,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    /// How long a peer may be silent between two reads.
    pub read_timeout: Duration,
    /// How long a WebSocket may be silent in both directions.
    pub tunnel_timeout: Duration,
    /// Idle connections kept to each peer, by all front threads together.
    pub keepalive: usize,
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// As written: `http://127.0.0.1:8001` or `unix:/run/app.sock`.
    pub url: String,
    /// Where to connect.
    pub address: PeerAddress,
}

/// Where a peer listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAddress {
    /// Names are resolved when the configuration is read.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// How a peer is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastConnections,
}
