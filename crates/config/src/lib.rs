//! `site.toml` in, a [`Config`] that cannot be wrong out.
//!
//! Two layers: the file *as written* (serde, positions kept, unknown keys refused) and the configuration *as used*
//! (the types below: no leftover `Option` that means "default", every reference resolved). The step between them is
//! the only validator; nothing later checks or defaults again.

mod access_log;
mod app;
mod listener;
mod route;
mod server;
mod site;
mod tls;
mod upstream;

use std::path::PathBuf;

pub use access_log::{AccessLog, ErrorLog, Format, Level, To};
pub use app::{App, Interface, Preload, Timeouts, Workers};
pub use ipnet::IpNet;
pub use listener::{Address, Limits, Listener};
pub use route::{Action, Files, PathMatch, Redirect, Respond, Route, UpstreamRoute};
pub use server::{Buffers, Identity, Server};
pub use site::{Host, Site};
pub use tls::{CertificateFiles, MinimumVersion, Tls};
pub use upstream::{Balance, Peer, PeerAddress, Upstream};

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
}

/// Position of an app in [`Config::apps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppIndex(pub usize);

/// Position of an upstream in [`Config::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamIndex(pub usize);
