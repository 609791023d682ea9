//! What is known of a connection before any request.

use std::{net::SocketAddr, sync::Arc};

/// One accepted connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Position of its listener in the configuration.
    pub listener: usize,
    /// Who is at the other end; `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Our own end; `None` for a Unix socket.
    pub local: Option<SocketAddr>,
    /// TLS, when spoken.
    pub tls: Option<TlsFacts>,
}

/// What the TLS handshake settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`
    pub version: &'static str,
    /// Name of the cipher suite.
    pub cipher: &'static str,
    /// The version as the handshake numbers it (RFC 8446 §4.2.1).
    pub version_number: u16,
    /// The suite as the handshake numbers it (RFC 8446 §B.4).
    pub cipher_number: u16,
    /// Server name the client asked for, lower case.
    pub server_name: Option<Arc<str>>,
}
