//! The TLS handshake of an accepted connection.

use std::{io, sync::Arc};

use message::connection::TlsFacts;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::socket::Socket;

/// What a connection to a TLS listener turned out to be.
#[derive(Debug)]
pub(crate) enum Greeting {
    /// TLS, the handshake done.
    Tls(Box<TlsStream<Socket>>),
    /// Somebody speaks plain HTTP here.
    Plain(Socket),
    /// Closed before it said anything.
    Nothing,
}

/// Does the handshake. The caller sets the deadline.
pub(crate) async fn greet(socket: Socket, config: Arc<ServerConfig>) -> io::Result<Greeting> {
    match socket.peek().await? {
        None => Ok(Greeting::Nothing),
        // No TLS record begins with a letter, every HTTP request does.
        Some(byte) if byte.is_ascii_alphabetic() => Ok(Greeting::Plain(socket)),
        Some(_) => TlsAcceptor::from(config)
            .accept(socket)
            .await
            .map(|tls| Greeting::Tls(Box::new(tls))),
    }
}

/// What the handshake settled; `None` while it is not finished.
pub(crate) fn facts(session: &ServerConnection) -> Option<TlsFacts> {
    let (version, suite) = (
        session.protocol_version()?,
        session.negotiated_cipher_suite()?.suite(),
    );
    Some(TlsFacts {
        version: match version {
            ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLSv1.2",
        },
        cipher: suite.as_str().unwrap_or("unknown"),
        version_number: version.into(),
        cipher_number: suite.into(),
        server_name: session.server_name().map(|name| name.to_ascii_lowercase().into()),
    })
}
