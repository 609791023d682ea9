//! `[[site]]`: hosts and what they serve.

use serde::{Deserialize, Serialize};

use crate::Route;

/// `[[site]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Name in the log: the first host, or `default`.
    pub name: String,
    /// Host names; empty: this site answers for every host no other site has.
    pub hosts: Vec<Host>,
    /// Fields set on what is answered without a route: a redirect to HTTPS, a 404. The routes have them as
    /// well.
    pub headers: Vec<(String, String)>,
    /// A plain HTTP request is answered by a redirect to HTTPS.
    pub redirect_https: bool,
    /// Exact paths first, then prefixes from the longest to the shortest: the first match wins.
    pub routes: Vec<Route>,
}

/// A host name in lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Host {
    /// `example.org`
    Exact(String),
    /// `*.example.org`, kept as `.example.org`; matches any depth below, not `example.org` itself.
    Below(String),
}
