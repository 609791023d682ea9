//! What a server is asked.

use std::{sync::Arc, time::Duration};

use message::request::Request;

use super::{Upstream, upgrade::Upgrade};
use crate::drain::Drain;

/// What a server is asked.
pub(crate) struct Question<'a> {
    /// Who is asked.
    pub(crate) upstream: &'a Arc<Upstream>,
    /// The request as understood.
    pub(crate) request: &'a Request,
    /// Prefix cut from the path; "" leaves the target as the client sent it.
    pub(crate) strip: &'a str,
    /// Host for a client that named none.
    pub(crate) host: &'a str,
    /// It is asked for a WebSocket.
    pub(crate) upgrade: Option<Upgrade>,
    /// How long a client may leave a WebSocket's bytes unread.
    pub(crate) client_timeout: Duration,
    /// When to leave.
    pub(crate) drain: &'a Drain,
}
