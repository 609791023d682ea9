//! What `GET /status` tells: everything the supervisor knows without asking anybody, and no secret.
//!
//! Times are ages in seconds: a clock that is set while the server runs changes none of them.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The state of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program that runs, which may not be the one on the disk any more.
    pub version: String,
    /// Process id of the supervisor.
    pub pid: u32,
    /// `starting`, `serving` or `stopping`.
    pub state: String,
    /// Seconds since it was started.
    pub uptime_s: u64,
    /// The configuration's file.
    pub config: String,
    /// Addresses that the serving generation listens on.
    pub listeners: Vec<ListenerStatus>,
    /// Those that boot, serve or end, the oldest first.
    pub generations: Vec<GenerationStatus>,
    /// The reload that runs or waits, if one does.
    pub reloading: bool,
    /// How the last reload ended, if there was one.
    pub last_reload: Option<LastReload>,
}

/// One address that is listened on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// `127.0.0.1:8000` or `unix:/run/site.sock`
    pub address: String,
    /// TLS is spoken there.
    pub tls: bool,
}

/// How a reload ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// `done`, `refused` (the configuration cannot be used) or `failed` (what it names does not boot).
    pub outcome: String,
    /// Seconds since then.
    pub age_s: u64,
    /// The generation that it made, if it came to that.
    pub generation: Option<u64>,
    /// Why it was refused or failed, as the error log tells it.
    pub message: Option<String>,
}

/// One configuration at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// Its number.
    pub generation: u64,
    /// `booting`, `serving`, `draining` (its proxy ends what runs) or `retiring` (its workers exit).
    pub state: String,
    /// Seconds since it began to boot.
    pub age_s: u64,
    /// Seconds since it is in this state.
    pub state_age_s: u64,
    /// Its proxy, unless that is gone.
    pub proxy: Option<ProxyStatus>,
    /// Its apps, by name.
    pub apps: Vec<AppStatus>,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Process id.
    pub pid: u32,
    /// `booting`, `ready`, `serving`, `draining` or `killed`.
    pub state: String,
    /// Seconds since it was started.
    pub age_s: u64,
    /// Seconds since all of its front threads last answered; nothing before they were first asked.
    pub heartbeat_age_s: Option<u64>,
}

/// One app of one generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStatus {
    /// Its name in the configuration.
    pub app: String,
    /// Workers that it should have.
    pub workers_wanted: usize,
    /// Workers that take requests.
    pub workers_ready: usize,
    /// Workers that were started in the place of others, since the generation booted.
    pub restarts: u64,
    /// Its zygote, unless that is gone.
    pub zygote: Option<ZygoteStatus>,
    /// Its workers by slot; those that leave beside those that came for them.
    pub workers: Vec<WorkerStatus>,
    /// The last of its processes that died, or was replaced.
    pub last_exit: Option<LastExit>,
}

/// A zygote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZygoteStatus {
    /// Process id.
    pub pid: u32,
    /// `booting`, `ready` or `killed`.
    pub state: String,
    /// Seconds since it was started.
    pub age_s: u64,
}

/// A worker, or an empty slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its place in the app.
    pub slot: u32,
    /// Process id, as soon as it is known.
    pub pid: Option<u32>,
    /// `waiting` (an empty slot, for its next worker), `booting`, `ready`, `leaving` or `killed`.
    pub state: String,
    /// Seconds since it was forked.
    pub age_s: Option<u64>,
}

/// How a process of an app ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// The worker's slot; nothing for the zygote.
    pub slot: Option<u32>,
    /// Process id; nothing where it was never known.
    pub pid: Option<u32>,
    /// In the words of the error log.
    pub cause: String,
    /// Seconds since then.
    pub age_s: u64,
}

/// An age as it is told.
pub(crate) fn seconds(since: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(since).as_secs()
}
