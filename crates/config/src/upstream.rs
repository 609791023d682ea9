//! `[upstream.NAME]`: servers outside that speak HTTP.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

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
    /// How its peers are checked; `None`: by the requests that they get alone.
    pub health: Option<Health>,
}

/// `health`: peers are checked while they get no requests, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is done for it.
    pub check: HealthCheck,
    /// From the begin of one check to that of the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// So many checks in a row have to succeed before a peer that failed gets requests again.
    pub healthy: usize,
    /// So many checks in a row have to fail before a peer gets no more requests.
    pub unhealthy: usize,
}

/// How a peer is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthCheck {
    /// It has to accept a connection.
    Connect,
    /// It has to answer a `GET`.
    Get {
        /// Target of the request.
        path: String,
        /// Value of its Host field; `None`: host and port of the peer's URL.
        host: Option<String>,
        /// Every status from the first to the last is good.
        status: RangeInclusive<u16>,
    },
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// As written: `http://127.0.0.1:8001`, `https://back.example`, `h2c://127.0.0.1:8001` or
    /// `unix:/run/app.sock`.
    pub url: String,
    /// Where to connect.
    pub address: PeerAddress,
    /// The name that its certificate must be for; `None`: no TLS.
    pub tls_name: Option<String>,
    /// Which HTTP it is spoken with in.
    pub protocol: PeerProtocol,
    /// Its share of the requests, beside those of the others; at least 1.
    pub weight: u32,
    /// It is asked only when none of the others can be.
    pub backup: bool,
}

/// Which HTTP a peer is spoken with in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerProtocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2 where it chooses that in the TLS handshake (ALPN), HTTP/1.1 where it does not.
    Negotiated,
    /// HTTP/2 from the first byte on, without TLS (prior knowledge, RFC 9113 §3.3).
    Http2,
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
