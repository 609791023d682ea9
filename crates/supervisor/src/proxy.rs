//! The proxy of a generation: our own program in another role.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use wire::control::{CONTROL_FD, FromProxy, Secret, ToProxy, UNLIMITED_MS};

use crate::{
    channel::{Channel, Received},
    child::Child,
    control::status::{ProxyStatus, seconds},
    environment,
    heartbeat::{Beat, Heartbeat},
    listening::Listening,
    log_files::LogFiles,
    os::{privileges::Confinement, spawn},
    proxy_files::ProxyFiles,
    worker::ProxyEnd,
};

/// From exec to ready: reading a configuration and its keys takes no longer.
const BOOT: Duration = Duration::from_secs(30);

/// What a proxy gets beyond the grace to write its last lines and exit.
const EXIT_WITHIN: Duration = Duration::from_secs(2);

/// Made once, so that clients can go on with their TLS sessions after a reload.
fn ticket_secret() -> io::Result<Secret> {
    static SECRET: OnceLock<Secret> = OnceLock::new();
    if let Some(secret) = SECRET.get() {
        return Ok(secret.clone());
    }
    let mut secret = vec![0; 32];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(SECRET.get_or_init(|| Secret(secret)).clone())
}

/// What is executed as the proxy.
#[derive(Debug, Clone)]
pub struct ProxyProgram {
    /// The file.
    pub program: PathBuf,
    /// Its name in the process list.
    pub arg0: OsString,
    /// Further arguments.
    pub args: Vec<OsString>,
    /// Set in its environment.
    pub env: Vec<(OsString, OsString)>,
}

/// How a proxy is started.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a ProxyProgram,
    pub(crate) generation: u64,
    pub(crate) files: &'a ProxyFiles,
    pub(crate) sockets: &'a [Arc<Listening>],
    /// Where names of its configuration led to last.
    pub(crate) addresses: Vec<ToProxy>,
    pub(crate) logs: LogFiles,
    /// Proxies of this generation that were replaced because they did not answer.
    pub(crate) silent_before: u32,
    /// It has no terminal to write to.
    pub(crate) detached: bool,
}

/// A proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) pid: u32,
    pub(crate) started: Instant,
    pub(crate) child: Child,
    /// Configuration and keys are loaded.
    pub(crate) ready: bool,
    /// It was told to accept connections.
    pub(crate) serving: bool,
    /// Why it cannot start, in its words.
    pub(crate) failure: Option<String>,
    heartbeat: Heartbeat,
    /// It has said its last word.
    drained: bool,
    /// That it does not answer was told.
    pub(crate) told_silent: bool,
}

impl Proxy {
    /// Executes it and hands it everything it needs to get ready.
    pub(crate) fn start(launch: Launch<'_>, now: Instant) -> io::Result<Self> {
        let (mut channel, theirs) = Channel::pair()?;
        let mut command = Command::new(&launch.program.program);
        environment::prepare_proxy(&mut command);
        command
            .arg0(&launch.program.arg0)
            .args(&launch.program.args)
            .envs(launch.program.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        if launch.detached {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let (config, certificates) = launch.files.hand_out()?;
        // It needs what we may do until it has read the keys, and gives it up itself.
        let confinement = Confinement::NoNewPrivileges;
        let descriptors = [(theirs.as_fd(), CONTROL_FD)];
        let pid = spawn::spawn(&mut command, &descriptors, None, confinement)?;
        let boot = ToProxy::Boot {
            certificates: certificates.is_some(),
            names: u32::try_from(launch.addresses.len()).unwrap_or(u32::MAX),
            listeners: u32::try_from(launch.sockets.len()).unwrap_or(u32::MAX),
            generation: launch.generation,
            access_log: launch.logs.access.is_some(),
            error_log: launch.logs.error.is_some(),
            ticket_secret: ticket_secret()?,
        };
        let files = [
            Some(config),
            certificates,
            launch.logs.access.map(OwnedFd::from),
            launch.logs.error.map(OwnedFd::from),
        ];
        channel.send(boot.encode(), files.into_iter().flatten().collect());
        for addresses in &launch.addresses {
            channel.send(addresses.encode(), Vec::new());
        }
        for (index, socket) in (0..).zip(launch.sockets) {
            let socket = socket.as_fd().try_clone_to_owned()?;
            channel.send(ToProxy::Listener { index }.encode(), vec![socket]);
        }
        let mut child = Child::new(Some(pid), channel);
        child.kill_at(now + BOOT);
        Ok(Self {
            pid,
            started: now,
            child,
            ready: false,
            serving: false,
            failure: None,
            heartbeat: Heartbeat::new(launch.silent_before, now),
            drained: false,
            told_silent: false,
        })
    }

    /// The next message.
    pub(crate) fn hear(&mut self, now: Instant) -> Option<FromProxy> {
        match self.child.hear(FromProxy::decode) {
            Received::Message(FromProxy::Ready {}, _) => {
                self.ready = true;
                self.child.spare();
                Some(FromProxy::Ready {})
            }
            Received::Message(message, _) => {
                match message {
                    FromProxy::Alive { number } => {
                        self.heartbeat.heard(number, now);
                        self.told_silent = false;
                    }
                    // It ends its threads, and answers nothing more.
                    FromProxy::Drained {} => self.drained = true,
                    _ => {}
                }
                Some(message)
            }
            Received::Nothing => None,
            Received::Ended | Received::Breach => {
                self.child.kill_by(now + EXIT_WITHIN);
                None
            }
        }
    }

    /// A worker is ready.
    pub(crate) fn link(&mut self, end: ProxyEnd, app: &str) {
        let message = ToProxy::Link {
            link: end.link,
            app: app.to_owned(),
            slot: end.slot,
            pid: end.pid,
            evented: end.evented,
            concurrency: end.concurrency,
        };
        self.child.send(message.encode(), vec![end.socket, end.page]);
    }

    /// No new requests to this worker.
    pub(crate) fn unlink(&mut self, link: u64) {
        self.send(&ToProxy::Unlink { link });
    }

    /// No worker of the app is there, or one is to be expected again.
    pub(crate) fn app_down(&mut self, app: &str, down: bool) {
        self.send(&ToProxy::AppDown {
            app: app.to_owned(),
            down,
        });
    }

    /// Accept connections.
    pub(crate) fn serve(&mut self) {
        self.serving = true;
        self.send(&ToProxy::Start {});
    }

    /// New log files.
    pub(crate) fn reopen(&mut self, logs: LogFiles) {
        let message = ToProxy::Reopen {
            access_log: logs.access.is_some(),
            error_log: logs.error.is_some(),
        };
        let files = [logs.access, logs.error]
            .into_iter()
            .flatten()
            .map(OwnedFd::from)
            .collect();
        self.child.send(message.encode(), files);
    }

    /// Stop accepting, end what runs within the grace (`None`: as long as it takes), exit. An idle connection
    /// has `idle` to send one more request. A second call can only shorten the grace.
    pub(crate) fn drain(&mut self, grace: Option<Duration>, idle: Duration, now: Instant) {
        let mut idle = idle;
        if let Some(grace) = grace {
            self.child.kill_by(now + grace + EXIT_WITHIN);
            idle = idle.min(grace / 2);
        }
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(UNLIMITED_MS);
        self.send(&ToProxy::Drain {
            grace_ms: grace.map_or(UNLIMITED_MS, ms),
            idle_ms: ms(idle),
        });
    }

    /// While it drains: connections on which nothing runs, or nothing more, are closed without waiting.
    pub(crate) fn leave_idle(&mut self) {
        self.send(&ToProxy::LeaveIdle {});
    }

    /// Kills it when that is due, and sends what waits. `true`: it was not ready in time.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        self.child.tick(now) && !self.ready
    }

    /// Asks its front threads for a sign of life when that is due. `true`: there was none for too long.
    pub(crate) fn is_silent(&mut self, now: Instant) -> bool {
        if !self.is_asked() {
            return false;
        }
        match self.heartbeat.look(now) {
            Beat::None => false,
            Beat::Ask(number) => {
                self.send(&ToProxy::Ask { number });
                false
            }
            Beat::Silent => true,
        }
    }

    fn is_asked(&self) -> bool {
        self.ready && !self.drained && self.child.is_reached()
    }

    /// Its part of `GET /status`.
    pub(crate) fn status(&self, drains: bool, now: Instant) -> ProxyStatus {
        let state = if self.child.is_killed() {
            "killed"
        } else if !self.ready {
            "booting"
        } else if drains {
            "draining"
        } else if self.serving {
            "serving"
        } else {
            "ready"
        };
        ProxyStatus {
            pid: self.pid,
            state: state.to_owned(),
            age_s: seconds(self.started, now),
            heartbeat_age_s: self.heartbeat.answered_at().map(|at| seconds(at, now)),
        }
    }

    /// When [`Proxy::tick`] or [`Proxy::is_silent`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let look_at = self.is_asked().then(|| self.heartbeat.deadline());
        [self.child.deadline(), look_at].into_iter().flatten().min()
    }

    fn send(&mut self, message: &ToProxy) {
        self.child.send(message.encode(), Vec::new());
    }
}
