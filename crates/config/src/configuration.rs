//! A whole configuration, after every check.

use std::path::PathBuf;

use crate::{AccessLog, Action, App, ErrorLog, Listener, Server, Site, Tls, Upstream};

/// The whole configuration of one process, kept for its life.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file this came from, absolute.
    pub path: PathBuf,
    /// The directory that relative paths in the file are resolved against: the one the file is in.
    pub directory: PathBuf,
    /// `[server]`
    pub server: Server,
    /// `[[listener]]`, or the ones that follow from the sites when none is written.
    pub listeners: Vec<Listener>,
    /// `[tls]`
    pub tls: Tls,
    /// `[app.NAME]`, sorted by name; an [`AppIndex`](crate::AppIndex) points into it.
    pub apps: Vec<App>,
    /// `[upstream.NAME]`, sorted by name; an [`UpstreamIndex`](crate::UpstreamIndex) points into it.
    pub upstreams: Vec<Upstream>,
    /// `[[site]]`, in the order written.
    pub sites: Vec<Site>,
    /// `[log.access]`; `None` when it is switched off.
    pub access_log: Option<AccessLog>,
    /// `[log.error]`
    pub error_log: ErrorLog,
    /// What is odd but can be lived with, shown like problems; to be printed once at the start.
    pub warnings: Vec<String>,
}

impl Config {
    /// Has it something to serve that needs no app? A path that is denied is nothing that is served.
    pub fn serves_without_apps(&self) -> bool {
        let mut routes = self.sites.iter().flat_map(|site| &site.routes);
        routes.any(|route| match &route.action {
            Action::App { .. } => false,
            Action::Files(_) | Action::Upstream(_) | Action::Redirect(_) => true,
            Action::Respond(respond) => !(400..500).contains(&respond.status),
        })
    }
}
