//! What is known of a connection before any request.

use std::{net::SocketAddr, sync::Arc};

/// One accepted connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Position of its listener in the configuration.
    pub(crate) listener: usize,
    /// Who is at the other end; `None` for a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    /// Our own end; `None` for a Unix socket.
    pub(crate) local: Option<SocketAddr>,
    /// TLS, when spoken.
    pub(crate) tls: Option<TlsFacts>,
}

/// What the TLS handshake settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`
    pub(crate) version: &'static str,
    /// Name of the cipher suite.
    pub(crate) cipher: &'static str,
    /// The same as the handshake numbers them (RFC 8446 §4.2.1 and §B.4).
    pub(crate) version_number: u16,
    pub(crate) cipher_number: u16,
    /// Server name the client asked for, lower case.
    pub(crate) server_name: Option<Arc<str>>,
}
