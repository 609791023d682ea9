//! What comes by the control socket, and what its clients are told.

use std::{
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{Supervisor, last_reload::LastReload};
use crate::{
    control::{
        Asked, ClientId, Command, Peer,
        event::{Event, STOPS},
        status::{self, Status, seconds},
    },
    generation::Phase,
    ready::Ready,
    reload::Wish,
};

impl Supervisor {
    /// Makes the control socket where the serving configuration wants it, unless it is there.
    pub(crate) fn settle_control(&mut self) {
        let at = self.serving().or_else(|| self.booting());
        let Some(config) = at.map(|at| &self.generations[at].config) else {
            return;
        };
        let before = self.control.path().map(ToOwned::to_owned);
        let asked_for = matches!(config.server.control, config::Control::At(_));
        let failures = self.control.settle(&config.control_places());
        self.control.link(&config.control_links());
        match self.control.path() {
            Some(path) if before.as_deref() != Some(path) => info!(path = %path.display(), "control socket"),
            _ => {}
        }
        // That there is none is no fault, unless somebody wanted it at one place.
        for (place, error) in failures {
            let path = place.path.display();
            if asked_for && self.control.path().is_some() {
                warn!(%path, %error, "control socket cannot be made, it stays where it is");
            } else if asked_for {
                warn!(%path, %error, "control socket cannot be made, there is none: use signals");
            } else if error.kind() == ErrorKind::AddrInUse {
                // Commands may ask whoever it is.
                warn!(%path, %error, "control socket cannot be made there");
            } else {
                debug!(%path, %error, "control socket cannot be made there");
            }
        }
    }

    pub(super) fn hear_commands(&mut self, ready: &Ready) {
        let now = Instant::now();
        for Asked {
            client,
            peer,
            conf,
            command,
        } in self.control.hear(ready, now)
        {
            if conf.is_none_or(|conf| self.is_meant(&conf)) {
                self.obey(client, peer, command, now);
            } else {
                self.control.mistaken(client, &self.conf, now);
            }
        }
    }

    /// Is it the path of our configuration, or another path of the same file?
    fn is_meant(&self, conf: &Path) -> bool {
        let file = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
        let mut configs = self.generations.iter().map(|generation| &generation.config);
        conf == self.conf
            || configs.any(|config| config.path == conf)
            || file(conf).is_some_and(|meant| file(&self.conf) == Some(meant))
    }

    fn obey(&mut self, client: ClientId, Peer { pid, uid }: Peer, command: Command, now: Instant) {
        match command {
            Command::Status => {
                let status = self.status(now);
                self.control.answer(client, &status, now);
            }
            Command::Reload { .. } if self.stop_by.is_some() => {
                let message = STOPS.to_owned();
                self.control.conclude(client, &Event::Refused { message }, now);
            }
            Command::Reload { wait } => {
                info!(pid, uid, "reload asked for (control socket)");
                let wish = self.ask_for_reload(now);
                let asked = Event::Asked { waits: wish.waits };
                if wait {
                    self.control.begin(client, &asked, Some(wish.number), now);
                } else {
                    self.control.conclude(client, &asked, now);
                }
            }
            Command::Reopen => {
                info!(pid, uid, "reopening of logs asked for (control socket)");
                let failures: Vec<_> = self.reopen().iter().map(ToString::to_string).collect();
                let event = if failures.is_empty() {
                    Event::Reopened {}
                } else {
                    let message = failures.join("\n");
                    Event::NotReopened { message }
                };
                self.control.conclude(client, &event, now);
            }
            Command::Stop { now: quick } => {
                info!(pid, uid, quick, "stop asked for (control socket)");
                let sender = u32::try_from(pid).unwrap_or(0);
                let grace = self.stop("control socket", sender, quick);
                let grace_ms = milliseconds(grace);
                // The connection ends when this process does.
                self.control
                    .begin(client, &Event::Stopping { grace_ms }, None, now);
            }
        }
    }

    /// Somebody wants a reload. What waits to be tried again is tried at once.
    pub(super) fn ask_for_reload(&mut self, now: Instant) -> Wish {
        if let Some(at) = self.serving() {
            self.generations[at].revive(now);
        }
        let wish = self.reload.ask(self.serving().is_some(), self.draining());
        if self.booting().is_some() && self.serving().is_some() {
            info!("a reload is running, the next one follows it");
        }
        wish
    }

    pub(super) fn reload_boots(&mut self, now: Instant) {
        if let Some(at) = self.booting() {
            let generation = self.generations[at].number;
            self.control
                .tell(self.reload.number(), &Event::Booting { generation }, false, now);
        }
    }

    pub(super) fn reload_ended(&mut self, how: Event, generation: Option<u64>, now: Instant) {
        self.control.tell(self.reload.number(), &how, true, now);
        let (outcome, message) = match how {
            Event::Refused { message } => ("refused", Some(message)),
            Event::Failed { message } => ("failed", Some(message)),
            _ => ("done", None),
        };
        self.last_reload = Some(LastReload {
            outcome,
            at: now,
            generation,
            message,
        });
    }

    /// The server stops: a reload that somebody waits for does not take place.
    pub(super) fn reload_cannot_end(&mut self, now: Instant) {
        let message = STOPS.to_owned();
        self.control.tell(u64::MAX, &Event::Failed { message }, true, now);
    }

    fn status(&self, now: Instant) -> Status {
        let state = match (self.stop_by, self.serving()) {
            (Some(_), _) => "stopping",
            (None, Some(_)) => "serving",
            (None, None) => "starting",
        };
        let serving = self.generations.iter().rev();
        let listens = serving
            .filter(|generation| matches!(generation.phase, Phase::Serving | Phase::Booting))
            .min_by_key(|generation| generation.phase != Phase::Serving);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: state.to_owned(),
            uptime_s: seconds(self.started, now),
            config: self.conf.display().to_string(),
            listeners: listens.map_or_else(Vec::new, |generation| generation.listeners()),
            generations: self
                .generations
                .iter()
                .map(|generation| generation.status(now))
                .collect(),
            reloading: self.reload.is_pending(),
            last_reload: self.last_reload.as_ref().map(|last| status::LastReload {
                outcome: last.outcome.to_owned(),
                age_s: seconds(last.at, now),
                generation: last.generation,
                message: last.message.clone(),
            }),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
