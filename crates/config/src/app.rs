//! `[app.NAME]`: a Python web application.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// `[app.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// NAME
    pub name: String,
    /// How it is called.
    pub interface: Interface,
    /// `module:callable`, `module:factory()` or `module` (then `application`, `app`).
    pub target: String,
    /// Working directory; first on `sys.path`.
    pub directory: PathBuf,
    /// The interpreter that is executed; inside a virtualenv when there is one.
    pub python: PathBuf,
    /// Environment for the application: `env_file` first, `env` on top.
    pub env: BTreeMap<String, String>,
    /// How many worker processes.
    pub workers: Workers,
    /// Threads that run requests in each worker, at least 1.
    pub threads: usize,
    /// Import the application before or after the fork.
    pub preload: bool,
    /// Deadlines.
    pub timeout: Timeouts,
    /// Requests that may wait for a free worker; more are answered 503.
    pub queue_length_max: usize,
    /// How long one may wait (503 past it).
    pub queue_timeout: Duration,
    /// Whom it runs as; the server's user when not said.
    pub user: Option<crate::Identity>,
}

/// How an application is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// PEP 3333
    Wsgi,
}

/// Number of workers, at least 1.
pub type Workers = usize;

/// `preload`
pub type Preload = bool;

/// `[app.NAME.timeout]`
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    /// From fork (or exec) to ready.
    pub boot: Duration,
    /// From the start of a request in a worker to the end of its answer (504 past it).
    pub request: Duration,
    /// What a worker that leaves gets for the requests it still runs.
    pub drain: Duration,
}
