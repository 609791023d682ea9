//! `[[listener]]`: where connections come in.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// `[[listener]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Where it listens.
    pub address: Address,
    /// TLS is spoken here.
    pub tls: bool,
    /// HTTP/2 is offered by ALPN (TLS listeners only).
    pub http2: bool,
    /// The pending-connection queue of the kernel.
    pub backlog: u32,
    /// Permissions of the socket file of a Unix listener.
    pub mode: u32,
    /// What one connection and one head may use.
    pub limits: Limits,
}

/// An address to listen on. Two listeners never have the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Address {
    /// IP address and port; port 0 lets the kernel choose (told in the log).
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(#[serde(with = "crate::serialised_path")] PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[listener.limits]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Connections open at once on this listener; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Bytes of one request line (414 past it).
    pub target_bytes_max: usize,
    /// Bytes of a whole request head (431 past it).
    pub head_bytes_max: usize,
    /// Header fields in one head (431 past it).
    pub headers_max: usize,
    /// From the first byte of a head (or the TLS handshake) to its end (408 past it).
    pub head_timeout: Duration,
    /// A kept-alive connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// A request body, or a client that takes a response, may pause at most this long.
    pub body_timeout: Duration,
    /// Bytes per second a body must keep up on average after the first `body_timeout` (408 below it); 0 is off.
    pub body_rate_min: u64,
    /// Requests served on one connection before it is closed.
    pub requests_max: u32,
}

/// Two descriptors each while it waits for an upstream: within the 65536 that distributions allow us.
pub(crate) const CONNECTIONS_USUAL: usize = 10_000;
