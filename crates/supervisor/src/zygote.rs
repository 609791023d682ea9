//! A zygote: an app's own interpreter with our engine in it, which forks the workers.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use config::{App, EventLoop, Green, Identity, Interface, Lifespan, WsgiHost};
use rustix::process::Signal;
use wire::control::{CONTROL_FD, FromZygote, STACKS_SIGNAL, ToZygote};

use crate::{
    cause::is_stopped,
    channel::{Channel, Received},
    child::Child,
    control::status::{ZygoteStatus, seconds},
    engine::{ENGINE_FD, EngineFile},
    environment,
    journey::Failure,
    limits::Limits,
    os::{descriptors, privileges::Confinement, spawn},
};

/// Room for the process's title, which is written over the arguments.
const TITLE_ROOM: usize = 128;

/// A zygote that was asked for a worker, and could not be given its descriptors for so long, is started anew.
const PASSED_WITHIN: Duration = Duration::from_secs(30);

/// How often one is looked at that has something to do and has not said that it is done.
const LOOK: Duration = Duration::from_secs(1);

/// After so many forks in a row that failed a zygote is replaced.
const FAILED_FORKS_MAX: u32 = 3;

/// From the request for the stacks to SIGKILL.
pub(crate) const STACKS_WITHIN: Duration = Duration::from_millis(300);

/// A zygote.
#[derive(Debug)]
pub(crate) struct Zygote {
    pub(crate) pid: u32,
    pub(crate) started: Instant,
    pub(crate) child: Child,
    /// It forks.
    pub(crate) ready: bool,
    /// What it said was wrong, before it exits.
    pub(crate) failure: Option<Failure>,
    /// When it is looked at whether it was stopped.
    look_at: Option<Instant>,
    /// Those it had when it was ready.
    limits: Option<Limits>,
    /// So many forks in a row have failed.
    failed_forks: u32,
}

/// The reading ends of a process's standard output and standard error.
pub(crate) type Pipes = (OwnedFd, OwnedFd);

impl Zygote {
    /// Executes the interpreter and tells it what to run. `check`: it only imports the application and exits.
    pub(crate) fn start(
        app: &App,
        identity: Option<&Identity>,
        engine: &EngineFile,
        check: bool,
        now: Instant,
    ) -> io::Result<(Self, Pipes)> {
        let (mut channel, theirs) = Channel::pair_with_application()?;
        let (stdout, stdout_theirs) = descriptors::output_pipe()?;
        let (stderr, stderr_theirs) = descriptors::output_pipe()?;
        let mut command = Command::new(&app.python);
        command
            .args(["-c", engine.bootstrap])
            .arg(" ".repeat(TITLE_ROOM))
            .stdin(Stdio::null())
            .stdout(stdout_theirs)
            .stderr(stderr_theirs);
        environment::prepare(&mut command, app, identity);
        let pid = spawn::spawn(
            &mut command,
            &[(theirs.as_fd(), CONTROL_FD), (engine.as_fd(), ENGINE_FD)],
            environment::run_as(identity).as_ref(),
            match app.no_new_privileges {
                true => Confinement::Whole,
                false => Confinement::None,
            },
        )?;
        let boot = boot(app, check);
        channel.send(boot.encode(), Vec::new());
        let zygote = Self {
            pid,
            started: now,
            child: Child::new(Some(pid), channel),
            ready: false,
            failure: None,
            look_at: None,
            limits: None,
            failed_forks: 0,
        };
        Ok((zygote, (stdout, stderr)))
    }

    /// The next message. A zygote that breaks the protocol is killed.
    pub(crate) fn hear(&mut self) -> Option<FromZygote> {
        match self.child.hear(FromZygote::decode) {
            Received::Message(message, _) => Some(message),
            Received::Nothing => None,
            Received::Ended => {
                self.child.kill_at(Instant::now() + STACKS_WITHIN);
                None
            }
            Received::Breach => {
                self.breach();
                None
            }
        }
    }

    /// It breaks the protocol: nothing of it is heard any more, and it is killed in the next turn.
    pub(crate) fn breach(&mut self) {
        self.child.hear_no_more();
        self.child.kill_at(Instant::now());
        self.failure
            .get_or_insert_with(|| Failure::new("zygote", "it broke the protocol of its control socket"));
    }

    /// It is not ready within the boot timeout: it tells where it is, then it is killed. `false`: that happened already.
    pub(crate) fn overdue(&mut self, now: Instant) -> bool {
        if self.child.is_leaving() {
            return false;
        }
        self.child.signal(Signal::from_named_raw(STACKS_SIGNAL));
        self.child.kill_at(now + STACKS_WITHIN);
        true
    }

    /// It is ready: if that was a moment too late, it is not killed for it any more.
    pub(crate) fn is_in_time(&mut self) {
        self.ready = true;
        self.limits = Limits::of(self.pid);
        self.child.spare();
    }

    /// Does it do nothing because it was stopped by a signal? Looked at now and then while it is `busy`:
    /// stopped, a zygote says nothing, and forks nothing.
    pub(crate) fn is_found_stopped(&mut self, busy: bool, now: Instant) -> bool {
        if !busy || self.child.is_killed() {
            self.look_at = None;
            return false;
        }
        if *self.look_at.get_or_insert(now + LOOK) > now {
            return false;
        }
        self.look_at = Some(now + LOOK);
        is_stopped(self.pid)
    }

    /// The limit that was lowered since it was ready, if one was.
    pub(crate) fn lowered_limit(&self) -> Option<String> {
        let now = Limits::of(self.pid)?;
        Some(now.lowered(self.limits.as_ref()?)?.to_owned())
    }

    /// One of its workers has said hello.
    pub(crate) fn has_forked(&mut self) {
        self.failed_forks = 0;
    }

    /// A fork has failed. `true`: so many in a row that another zygote may do better.
    pub(crate) fn has_not_forked(&mut self) -> bool {
        self.failed_forks = self.failed_forks.saturating_add(1);
        self.failed_forks >= FAILED_FORKS_MAX
    }

    /// SIGKILL, for this reason.
    pub(crate) fn give_up(&mut self, why: impl Into<String>) {
        self.failure.get_or_insert_with(|| Failure::new("zygote", why));
        self.child.kill();
    }

    /// Kills it when that is due, and sends what waits.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.child.tick(now);
        if self
            .child
            .is_congested(now)
            .is_some_and(|lasts| lasts > PASSED_WITHIN)
            && self.child.is_open()
        {
            self.child.hear_no_more();
            self.child.kill();
            self.failure.get_or_insert_with(|| {
                Failure::new(
                    "zygote",
                    "the descriptors of a worker could not be passed to it: the processes of our user have too many in flight",
                )
            });
        }
    }

    /// When [`Zygote::tick`] has something to do next, or it is [overdue](Zygote::overdue): from then on,
    /// when it is killed.
    pub(crate) fn deadline(&self, boot: Duration) -> Option<Instant> {
        let late = (!self.ready && !self.child.is_leaving()).then_some(self.started + boot);
        [self.child.deadline(), self.look_at, late]
            .into_iter()
            .flatten()
            .min()
    }

    /// Its part of `GET /status`.
    pub(crate) fn status(&self, now: Instant) -> ZygoteStatus {
        let state = match (self.child.is_killed(), self.ready) {
            (true, _) => "killed",
            (false, true) => "ready",
            (false, false) => "booting",
        };
        ZygoteStatus {
            pid: self.pid,
            state: state.to_owned(),
            age_s: seconds(self.started, now),
        }
    }
}

/// What the zygote is to run.
fn boot(app: &App, check: bool) -> ToZygote {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (interface, (threads, patched), green) = match &app.interface {
        Interface::Wsgi(WsgiHost::Threads { count, patched }) => ("wsgi", (*count, *patched), ""),
        Interface::Wsgi(WsgiHost::Green(Green::Gevent, _)) => ("wsgi", (1, 1), "gevent"),
        Interface::Wsgi(WsgiHost::Green(Green::Eventlet, _)) => ("wsgi", (1, 1), "eventlet"),
        Interface::Asgi(_) => ("asgi", (1, 1), ""),
    };
    let (event_loop, lifespan, pathsend) = match &app.interface {
        Interface::Asgi(asgi) => (
            match asgi.event_loop {
                EventLoop::Auto => "auto",
                EventLoop::Asyncio => "asyncio",
                EventLoop::Uvloop => "uvloop",
            },
            match asgi.lifespan {
                Lifespan::Auto => "auto",
                Lifespan::On => "on",
                Lifespan::Off => "off",
            },
            asgi.pathsend,
        ),
        Interface::Wsgi(_) => ("", "", false),
    };
    ToZygote::Boot {
        app: app.name.clone(),
        interface: interface.to_owned(),
        target: app.target.clone(),
        directory: app.directory.display().to_string(),
        preload: app.preload,
        threads: number(threads),
        threads_patched: number(patched),
        concurrency: number(app.concurrency()),
        event_loop: event_loop.to_owned(),
        lifespan: lifespan.to_owned(),
        pathsend,
        green: green.to_owned(),
        shutdown_ms: u64::try_from(app.timeout.shutdown.as_millis()).unwrap_or(u64::MAX),
        check,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A zygote that says nothing, its process, and its end of the channel.
    pub(crate) fn booting(now: Instant) -> (Zygote, std::process::Child, OwnedFd) {
        let (channel, theirs) = Channel::pair().expect("a socket pair");
        let process = Command::new("sleep").arg("60").spawn().expect("a process");
        let zygote = Zygote {
            pid: process.id(),
            started: now,
            child: Child::new(Some(process.id()), channel),
            ready: false,
            failure: None,
            look_at: None,
            limits: None,
            failed_forks: 0,
        };
        (zygote, process, theirs)
    }

    #[test]
    fn a_zygote_that_is_late_wakes_us_then_and_next_to_be_killed() {
        let (now, boot) = (Instant::now(), Duration::from_secs(1));
        let (mut zygote, mut child, _theirs) = booting(now);
        assert_eq!(zygote.deadline(boot), Some(now + boot));
        assert!(zygote.overdue(now + boot));
        assert_eq!(zygote.deadline(boot), Some(now + boot + STACKS_WITHIN));
        zygote.tick(now + boot + STACKS_WITHIN);
        assert!(zygote.child.is_killed() && zygote.deadline(boot) > Some(now + boot));
        child.wait().expect("our child");
    }

    #[test]
    fn a_zygote_that_is_ready_a_moment_too_late_is_not_killed_later() {
        let (now, boot) = (Instant::now(), Duration::from_secs(1));
        let (mut zygote, mut child, _theirs) = booting(now);
        assert!(zygote.overdue(now));
        zygote.is_in_time();
        zygote.tick(now + 10 * STACKS_WITHIN);
        assert!(zygote.ready && !zygote.child.is_killed());
        assert_eq!(zygote.deadline(boot), None);
        child.kill().expect("our child");
        child.wait().expect("our child");
    }
}
