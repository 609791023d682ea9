//! `[app.NAME]`: a Python web application.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// `[app.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// NAME
    pub name: String,
    /// How it is called.
    pub interface: Interface,
    /// `[app.NAME.websocket]`: when a client of a WebSocket that says nothing is given up.
    pub keepalive: Keepalive,
    /// `module:callable`, `module:factory(...)` or `module` (then `application`, `app`).
    pub target: String,
    /// Working directory; first on `sys.path`.
    pub directory: PathBuf,
    /// The interpreter that is executed; inside a virtualenv when there is one.
    pub python: PathBuf,
    /// Environment for the application: `env_file` first, `env` on top.
    pub env: BTreeMap<String, String>,
    /// How many worker processes.
    pub workers: Workers,
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
    /// Programs that it executes get no rights by their files: setuid, setgid, capabilities.
    pub no_new_privileges: bool,
}

impl App {
    /// Requests that one worker runs at the same time, at least 1.
    pub fn concurrency(&self) -> usize {
        self.interface.concurrency()
    }
}

/// How an application is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interface {
    /// PEP 3333
    Wsgi(WsgiHost),
    /// ASGI 2 and 3
    Asgi(Asgi),
}

impl Interface {
    /// Requests that one worker runs at the same time, at least 1.
    pub fn concurrency(&self) -> usize {
        match self {
            Self::Wsgi(WsgiHost::Threads { count, .. }) => *count,
            Self::Wsgi(WsgiHost::Green(_, connections)) => *connections,
            Self::Asgi(asgi) => asgi.connections,
        }
    }
}

/// What runs the requests of a WSGI application in a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WsgiHost {
    /// Threads.
    Threads {
        /// So many, at least 1.
        count: usize,
        /// So many requests at the same time where the application has patched the standard library itself.
        patched: usize,
    },
    /// A greenlet per request, so many at most.
    Green(Green, usize),
}

/// `green`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Green {
    /// gevent
    Gevent,
    /// eventlet
    Eventlet,
}

/// What an ASGI application is run with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asgi {
    /// `loop`
    pub event_loop: EventLoop,
    /// `lifespan`
    pub lifespan: Lifespan,
    /// Requests, streams and WebSockets that one worker has at the same time.
    pub connections: usize,
    /// Request bodies are read whole before a worker hears of the request; a route can say otherwise.
    pub request_buffering: bool,
    /// Offer the extensions by which a file is the body of an answer, and no middleware sees its bytes.
    pub pathsend: bool,
    /// `[app.NAME.websocket]`
    pub websocket: WebSocket,
}

/// `loop`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventLoop {
    /// uvloop where it is installed, else asyncio's own.
    Auto,
    /// asyncio's own.
    Asyncio,
    /// uvloop; without it the app does not boot.
    Uvloop,
}

/// `lifespan`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifespan {
    /// Tried; an application that raises at once is taken to know nothing of it.
    Auto,
    /// Whatever the application raises is a failed boot.
    On,
    /// Never spoken.
    Off,
}

/// `[app.NAME.websocket]` of an ASGI application: what it does not do itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSocket {
    /// Largest message from a client in bytes, unpacked; past it the connection is closed with 1009.
    pub message_bytes_max: u64,
    /// Offer permessage-deflate (RFC 7692).
    pub compression: bool,
}

/// `[app.NAME.websocket]`: `ping_interval`, `ping_timeout`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepalive {
    /// Silence after which the client is asked for a sign of life; zero: never.
    pub interval: Duration,
    /// How long it may take to answer.
    pub timeout: Duration,
}

/// Number of workers, at least 1.
pub type Workers = usize;

/// `preload`
pub type Preload = bool;

/// `[app.NAME.timeout]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From fork (or exec) to ready.
    pub boot: Duration,
    /// From the start of a request in a worker to the end of its answer (504 past it); with ASGI or greenlets to its
    /// beginning: a stream may go on for as long as its client stays.
    pub request: Duration,
    /// What a worker that leaves gets for the requests it still runs.
    pub drain: Duration,
    /// What the lifespan's shutdown gets afterwards; only for ASGI.
    pub shutdown: Duration,
}
