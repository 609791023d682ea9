//! Why a server could not answer.

use std::io;

use logs::Outcome;

use rustls::pki_types::ServerName;

use super::{answer_head::BadAnswer, handshake};

/// Why a server could not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There is none: no address of its names is known, or all fail their health checks.
    #[error("no address of a server is known, or all servers fail their health checks")]
    NoServer,
    /// The connect was refused, or failed otherwise.
    #[error("connect: {0}")]
    Connect(io::Error),
    /// TLS cannot be spoken with it, or it is not who it should be.
    #[error("TLS with {name}: {reason}")]
    Handshake {
        /// The name that its certificate must be for.
        name: String,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// Not within `connect_timeout`.
    #[error("connect not done within connect_timeout")]
    ConnectTimeout,
    /// Nothing was taken or sent for `read_timeout`.
    #[error("server silent for read_timeout")]
    Silent,
    /// It closed the connection before its answer was whole.
    #[error("server closed the connection before the end of its answer")]
    Closed,
    /// The connection broke.
    #[error("connection to the server: {0}")]
    Broken(io::Error),
    /// HTTP/2 cannot be spoken with it.
    #[error("HTTP/2 with it: {0}; if it is a server of HTTP/1.1, write http:// in `servers`")]
    NoHttp2(String),
    /// The request cannot be said in HTTP/2.
    #[error("the request cannot be sent in HTTP/2: {0}")]
    Unsayable(&'static str),
    /// A WebSocket is asked for, which goes over HTTP/1.1.
    #[error("WebSockets are passed to servers that are http:// or https://, not to those that are h2c://")]
    NoWebSockets,
    /// It has ended the stream of HTTP/2, not the connection.
    #[error("server reset the stream: {0}")]
    Reset(h2::Reason),
    /// It says that it has not begun to process the request (HTTP/2: REFUSED_STREAM, or GOAWAY).
    #[error("server did not process the request: {0}")]
    Unprocessed(h2::Error),
    /// What it says cannot be passed on.
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
}

impl Failure {
    /// A handshake has failed.
    pub(super) fn handshake(name: &ServerName<'_>, error: io::Error) -> Self {
        Self::Handshake {
            name: name.to_str().into_owned(),
            reason: handshake::reason(error),
        }
    }

    /// Status for the client, and what is to be thought of it.
    pub(super) fn verdict(&self) -> (u16, Outcome) {
        match self {
            Self::Silent => (504, Outcome::Timeout),
            Self::ConnectTimeout => (504, Outcome::UpstreamFailed),
            Self::Unsayable(_) => (400, Outcome::Refused),
            // The client's mistake: any page can be asked for in this way.
            Self::BadAnswer(BadAnswer::Page) => (501, Outcome::Refused),
            Self::NoServer
            | Self::Connect(_)
            | Self::Handshake { .. }
            | Self::Closed
            | Self::Broken(_)
            | Self::NoHttp2(_)
            | Self::NoWebSockets
            | Self::Reset(_)
            | Self::Unprocessed(_)
            | Self::BadAnswer(_) => (502, Outcome::UpstreamFailed),
        }
    }

    /// It says of the server that it gives no answer; the next one may do better.
    pub(super) fn is_of_server(&self) -> bool {
        self.is_loss() || matches!(self, Self::Silent | Self::Reset(_) | Self::Unprocessed(_))
    }

    /// It says nothing of the server's other requests.
    pub(super) fn is_of_stream(&self) -> bool {
        matches!(self, Self::Reset(_) | Self::Unprocessed(_))
    }

    /// The server has done nothing with the request.
    pub(super) fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Unprocessed(_))
    }

    /// The connection is gone, and with it whatever was on it.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Closed | Self::Broken(_))
    }
}

/// Of a stream that has begun.
impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        match error.reason() {
            // Of what a GOAWAY does not reject h2 says that the connection broke.
            Some(_) if error.is_remote() && error.is_go_away() => Self::Unprocessed(error),
            Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Self::Unprocessed(error),
            Some(reason) if error.is_reset() && error.is_remote() => Self::Reset(reason),
            Some(reason) if error.is_reset() => BadAnswer::Http2(reason).into(),
            _ => Self::Broken(io::Error::other(error)),
        }
    }
}
