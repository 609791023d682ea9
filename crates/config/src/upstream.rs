//! `[upstream.NAME]`: servers outside that speak HTTP.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::UpstreamTls;

/// `[upstream.NAME]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// NAME
    pub name: String,
    /// At least one.
    pub peers: Vec<Peer>,
    /// How a peer is chosen.
    pub balance: Balance,
    /// Attempts on other servers after one that failed; `usize::MAX`: all others.
    pub retries: usize,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    /// How long a peer may be silent between two reads.
    pub read_timeout: Duration,
    /// How long a WebSocket may be silent in both directions.
    pub tunnel_timeout: Duration,
    /// Idle connections kept to each peer, by all front threads together.
    pub keepalive: usize,
    /// How its `https://` servers are spoken with.
    pub tls: UpstreamTls,
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// As written: `http://127.0.0.1:8001`, `https://back.example` or `unix:/run/app.sock`.
    pub url: String,
    /// Where to connect.
    pub address: PeerAddress,
    /// The name that its certificate must be for; `None`: no TLS.
    pub tls_name: Option<String>,
    /// Its share of the requests, beside those of the others; at least 1.
    pub weight: u32,
    /// It is asked only when none of the others can be.
    pub backup: bool,
}

/// Where a peer listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PeerAddress {
    /// An IP address.
    Tcp(SocketAddr),
    /// A name, which the proxy looks up again and again; each of its addresses is a server.
    Name {
        /// The name, as the resolver takes it.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(#[serde(with = "crate::serialised_path")] PathBuf),
}

/// How a peer is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest requests in flight, for its weight.
    LeastConnections,
    /// Any.
    Random,
    /// Always the same one for the same client.
    IpHash,
}
