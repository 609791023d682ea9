//! What a proxy gets of a configuration: everything it serves by, and of an app only what concerns its
//! requests.
//!
//! The supervisor reads the text once for a generation, and each proxy of that generation is handed the same
//! bytes. One that is started again hours later sees what the first one saw, whatever has become of files,
//! directories, names and users since.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{AccessLog, App, Config, ErrorLog, Interface, Keepalive, Listener, Server, Site, Tls, Upstream};

/// The part of a [`Config`] that a proxy needs. Positions are the same in both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProxyConfig {
    /// `[server]`
    pub server: Server,
    /// `[[listener]]`
    pub listeners: Vec<Listener>,
    /// `[tls]`
    pub tls: Tls,
    /// `[app.NAME]`; an [`AppIndex`](crate::AppIndex) points into it.
    pub apps: Vec<ProxyApp>,
    /// `[upstream.NAME]`; an [`UpstreamIndex`](crate::UpstreamIndex) points into it.
    pub upstreams: Vec<Upstream>,
    /// `[[site]]`
    pub sites: Vec<Site>,
    /// `[log.access]`; `None` when it is switched off.
    pub access_log: Option<AccessLog>,
    /// `[log.error]`
    pub error_log: ErrorLog,
    /// Open files that it needs when every connection that its listeners allow is there.
    pub open_files_wanted: u64,
}

/// The part of an [`App`] that a proxy needs: no environment, no interpreter, no directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProxyApp {
    /// NAME
    pub name: String,
    /// How it is called.
    pub interface: Interface,
    /// When a client of a WebSocket that says nothing is given up.
    pub keepalive: Keepalive,
    /// `timeout.request`
    pub request_timeout: Duration,
    /// Requests that may wait for a free worker.
    pub queue_length_max: usize,
    /// How long one may wait.
    pub queue_timeout: Duration,
}

impl ProxyConfig {
    /// As bytes for another process of the same program.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// What [`ProxyConfig::to_bytes`] has made.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

impl From<&Config> for ProxyConfig {
    fn from(config: &Config) -> Self {
        Self {
            server: config.server.clone(),
            listeners: config.listeners.clone(),
            tls: config.tls.clone(),
            apps: config.apps.iter().map(ProxyApp::from).collect(),
            upstreams: config.upstreams.clone(),
            sites: config.sites.clone(),
            access_log: config.access_log.clone(),
            error_log: config.error_log.clone(),
            open_files_wanted: config.open_files_wanted(),
        }
    }
}

impl From<&App> for ProxyApp {
    fn from(app: &App) -> Self {
        Self {
            name: app.name.clone(),
            interface: app.interface.clone(),
            keepalive: app.keepalive,
            request_timeout: app.timeout.request,
            queue_length_max: app.queue_length_max,
            queue_timeout: app.queue_timeout,
        }
    }
}
