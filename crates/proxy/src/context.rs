//! What every request may need, shared by all front threads.

use std::sync::Arc;

use config::ProxyConfig;

use crate::{app::App, drain::Drain, router::Router, tls::ListenerTls, upstream::Upstream};

/// What every request may need. Made once at boot; it does not change for the life of the process.
pub(crate) struct Context {
    /// The configuration.
    pub(crate) config: ProxyConfig,
    /// Which site and route a request takes.
    pub(crate) router: Router,
    /// By `AppIndex`.
    pub(crate) apps: Vec<Arc<App>>,
    /// By `UpstreamIndex`.
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// TLS of each listener, by its position in the configuration; `None` where plain HTTP is spoken.
    pub(crate) tls: Vec<Option<ListenerTls>>,
    /// The access log.
    pub(crate) log: logs::AccessLog,
    /// When to leave.
    pub(crate) drain: Drain,
}
