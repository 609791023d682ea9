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
mod configuration;
mod control;
mod cpus;
mod dotenv;
mod followed;
mod identity;
mod index;
mod listener;
mod load;
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
mod text_file;
mod tls;
mod upstream;
mod upstream_tls;
mod users;
mod visible;
mod written;

pub use access_log::{AccessLog, ErrorLog, Format, Level, To};
pub use app::{
    App, Asgi, EventLoop, Green, Interface, Keepalive, Lifespan, Preload, Timeouts, WebSocket, Workers,
    WsgiHost,
};
pub use configuration::Config;
pub use control::{ControlDirectory, ControlPlace, ControlSearch, control_search, control_search_in};
pub use identity::Identity;
pub use index::{AppIndex, UpstreamIndex};
pub use ipnet::IpNet;
pub use listener::{Address, Limits, Listener};
pub use paths::Paths;
pub use permission::{Need, path_problem};
pub use problem::Problems;
pub use proxy_config::{ProxyApp, ProxyConfig};
pub use regular_file::open_regular;
pub use route::{Action, Charset, Files, PathMatch, Redirect, Respond, Route, Symlinks, UpstreamRoute};
pub use server::{Buffers, Control, Server};
pub use site::{Host, Site};
pub use started_in::absolute;
pub use surroundings::{Machine, Surroundings};
pub use tls::{CertificateFiles, MinimumVersion, PEM_BYTES_MAX, Tls};
pub use upstream::{Balance, Health, HealthCheck, Peer, PeerAddress, PeerProtocol, Upstream};
pub use upstream_tls::{CaFile, UpstreamTls};
pub use visible::{Visible, is_invisible};
