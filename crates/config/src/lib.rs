//! `site.toml` in, a [`Config`] that cannot be wrong out.
//!
//! Two layers: the file *as written* (`written`: values with their positions, unknown keys refused) and the
//! configuration *as used* (the types below: no leftover `Option` that means "default", every reference resolved). The
//! step between them is the only validator and reports every problem at once; nothing later checks or defaults again.
//!
//! What another process needs derives serde's traits; a field that is a path names `serialised_path`.
//! [`Config`] and [`App`] do not: an app's environment holds secrets, which go to its own processes and to
//! nobody else. [`ProxyConfig`] is the part for a proxy.

mod access_log;
mod app;
mod climb;
mod control;
mod cpus;
mod dotenv;
mod followed;
mod identity;
mod listener;
mod open_files;
mod paths;
mod permission;
mod problem;
mod proxy_config;
mod python;
mod regular_file;
mod route;
mod sealed;
mod serialised_path;
mod server;
mod site;
mod started_in;
mod surroundings;
mod tls;
mod upstream;
mod upstream_tls;
mod users;
mod visible;
mod written;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use access_log::{AccessLog, ErrorLog, Format, Level, To};
pub use app::{
    App, Asgi, EventLoop, Green, Interface, Keepalive, Lifespan, Preload, Timeouts, WebSocket, Workers,
    WsgiHost,
};
pub use control::{
    Control, ControlDirectory, ControlPlace, ControlSearch, control_search, control_search_in,
};
pub use identity::Identity;
pub use ipnet::IpNet;
pub use listener::{Address, Limits, Listener};
pub use paths::Paths;
pub use permission::{Need, path_problem};
pub use problem::Problems;
pub use proxy_config::{ProxyApp, ProxyConfig};
pub use regular_file::open_regular;
pub use route::{Action, Charset, Files, PathMatch, Redirect, Respond, Route, Symlinks, UpstreamRoute};
pub use server::{Buffers, Server};
pub use site::{Host, Site};
pub use started_in::absolute;
pub use surroundings::{Machine, Surroundings};
pub use tls::{CertificateFiles, MinimumVersion, PEM_BYTES_MAX, Tls};
pub use upstream::{Balance, Health, HealthCheck, Peer, PeerAddress, Upstream};
pub use upstream_tls::{CaFile, UpstreamTls};
pub use visible::{Visible, is_invisible};

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
    /// `[app.NAME]`, sorted by name; an [`AppIndex`] points into it.
    pub apps: Vec<App>,
    /// `[upstream.NAME]`, sorted by name; an [`UpstreamIndex`] points into it.
    pub upstreams: Vec<Upstream>,
    /// `[[site]]`, in the order written.
    pub sites: Vec<Site>,
    /// `[log.access]`; `None` when it is switched off.
    pub access_log: Option<AccessLog>,
    /// `[log.error]`
    pub error_log: ErrorLog,
    /// What is odd but can be lived with, shown like problems; for whoever starts us to print once.
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

    /// Reads the file at `path`, where its links lead now. Start, reload and `appliance check` all come in by
    /// this door, so that they say the same.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let path = started_in::resolved(path);
        let text = surroundings::configuration(&path)
            .map_err(|error| Problems::unreadable(&path, &format!("cannot be read: {error}")))?;
        Self::parse(&text, &path)
    }

    /// Reads `text` as if it stood in the file at `path`, which need not exist.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Problems> {
        Self::parse_in(&Machine, text, path)
    }

    /// Reads `text` on the machine given.
    pub fn parse_in(surroundings: &dyn Surroundings, text: &str, path: &Path) -> Result<Self, Problems> {
        written::config(surroundings, text, path)
    }
}

/// Position of an app in [`Config::apps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AppIndex(pub usize);

/// Position of an upstream in [`Config::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UpstreamIndex(pub usize);
