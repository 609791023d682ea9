//! A request as an app gets it.

use config::Listener;
use message::request::Request;

use super::mount::Mount;
use crate::drain::Drain;

/// What an app has to know of a request besides its head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppRequest<'a> {
    /// The request as understood.
    pub(crate) request: &'a Request,
    /// Where the app is.
    pub(crate) mount: Mount<'a>,
    /// Where the connection was accepted.
    pub(crate) listener: &'a Listener,
    /// When to leave.
    pub(crate) drain: &'a Drain,
}
