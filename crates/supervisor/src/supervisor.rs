//! The loop: signals, messages, commands, deaths and deadlines, one after the other in one thread.

mod commands;
mod last_reload;

use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use config::{Config, To};
use nix::sys::signal::Signal;
use tracing::{debug, error, info, warn};

use crate::{
    Error,
    cause::OomKills,
    context::{Context, Numbers, Outputs, Pids},
    control::{ControlSocket, event::Event},
    daemon,
    engine::EngineFile,
    generation::{Generation, Phase, Proxies},
    left,
    listening::Listenings,
    log_files::{self, LogFiles},
    names::Names,
    notify::Notify,
    os::{privileges, signals::Signals, wait},
    proxy::Proxy,
    proxy_files::ProxyFiles,
    ready::{Interest, Ready},
    reload::{Action, Reload},
};
use last_reload::LastReload;

/// How long an idle kept-alive connection of the old proxy may still send a request after a reload: a client that is
/// sending right now must not fail, and whoever comes later finds the new proxy.
const IDLE_AT_RELOAD: Duration = Duration::from_secs(5);

/// The same at a stop, after which nobody answers anyway.
const IDLE_AT_STOP: Duration = Duration::from_millis(250);

/// What old proxies get to end short requests and to leave, before one that serves is cut because there are
/// too many.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// The loop looks around at least this often, whatever happens.
const TURN_MAX: Duration = Duration::from_secs(60);

/// What a quick stop leaves for last words.
const QUICK: Duration = Duration::from_secs(1);

/// What a stop may take beyond its grace before everything left is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How often what was stopped is looked for at the end of a stop.
const STOPPED_LOOK: Duration = Duration::from_millis(100);

/// Everything the supervisor has.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) conf: PathBuf,
    pub(crate) signals: Signals,
    pub(crate) engine: EngineFile,
    pub(crate) proxies: Proxies,
    pub(crate) log: logs::error_log::Guard,
    pub(crate) notify: Notify,
    pub(crate) generations: Vec<Generation>,
    pub(crate) listenings: Listenings,
    pub(crate) outputs: Outputs,
    pub(crate) numbers: Numbers,
    pub(crate) generation_numbers: Numbers,
    pub(crate) pids: Pids,
    pub(crate) oom_kills: OomKills,
    pub(crate) names: Names,
    pub(crate) reload: Reload,
    pub(crate) last_reload: Option<LastReload>,
    pub(crate) control: ControlSocket,
    pub(crate) started: Instant,
    /// When old proxies that are too many are cut.
    pub(crate) cut_at: Option<Instant>,
    /// Nothing is started any more; when it is past, all that is left is killed.
    pub(crate) stop_by: Option<Instant>,
    /// In a stop, once its grace is over: when what was stopped by a signal is looked for and killed.
    pub(crate) stopped_at: Option<Instant>,
}

impl Supervisor {
    /// Runs until everything has stopped. `started` is called once, when the first generation serves.
    pub(crate) fn run(&mut self, started: impl FnOnce()) -> Result<(), Error> {
        let mut started = Some(started);
        loop {
            self.turn()?;
            if let Some(failed) = self.settle()? {
                // Until something serves there is nothing to keep.
                return Err(failed);
            }
            if self.serving().is_some()
                && let Some(started) = started.take()
            {
                started();
            }
            if self.stop_by.is_some() && self.generations.is_empty() {
                return Ok(());
            }
        }
    }

    /// Waits for something to happen and takes it in.
    fn turn(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let deadline = self
            .generations
            .iter()
            .filter_map(Generation::deadline)
            .chain(self.stop_by)
            .chain(self.cut_at)
            .chain(self.stopped_at)
            .chain(self.control.deadline())
            .min();
        let wait = deadline.map_or(TURN_MAX, |at| at.saturating_duration_since(now).min(TURN_MAX));
        let mut interest = Interest::default();
        interest.read(self.signals.as_fd());
        self.control.interest(&mut interest);
        for generation in &self.generations {
            generation.interest(&mut interest);
        }
        for output in &self.outputs.all {
            interest.read(output.as_fd());
        }
        let ready = interest.wait(wait).map_err(Error::system("poll"))?;

        while let Some((signal, sender)) = self.signals.next() {
            self.signal(signal, sender);
        }
        self.hear_commands(&ready);
        self.listen_to_apps(&ready);
        self.each(&ready, |generation, cx, _| generation.hear(cx));
        self.hear_of_stand_ins();
        while let Some((pid, ended)) = wait::reap() {
            let mut known = false;
            self.each(&ready, |generation, cx, _| {
                known = known || generation.buried(pid, ended, cx)
            });
            self.pids.remove(pid);
            if !known {
                debug!(pid, ?ended, "a stranger was reaped");
            }
        }
        self.await_old_proxies();
        self.each(&ready, |generation, cx, proxies| generation.tick(proxies, cx));
        self.stand_in();
        Ok(())
    }

    fn listen_to_apps(&mut self, ready: &Ready) {
        let generations = &mut self.generations;
        self.outputs.read(ready, |source, line| {
            let mut apps = generations
                .iter_mut()
                .filter(|generation| generation.number == source.generation)
                .flat_map(|generation| &mut generation.apps);
            if let Some(app) = apps.find(|app| app.name == source.app) {
                app.printed(line);
            }
        });
    }

    fn each(&mut self, ready: &Ready, mut act: impl FnMut(&mut Generation, &mut Context<'_>, &Proxies)) {
        let mut cx = Context {
            now: Instant::now(),
            ready,
            engine: &self.engine,
            outputs: &mut self.outputs,
            numbers: &mut self.numbers,
            pids: &mut self.pids,
            oom_kills: &mut self.oom_kills,
            names: &mut self.names,
        };
        for generation in &mut self.generations {
            act(generation, &mut cx, &self.proxies);
        }
    }

    /// Moves generations on. Answers why the first one failed, if it did.
    fn settle(&mut self) -> Result<Option<Error>, Error> {
        let now = Instant::now();
        if let Some(failed) = self.boot_on(now) {
            return Ok(Some(failed));
        }
        let before = self.generations.len();
        self.generations
            .retain(|generation| generation.phase != Phase::Retiring || !generation.is_gone());
        if self.generations.len() < before && self.stop_by.is_none() {
            left::tell(&self.pids);
        }
        if self.cut_at.is_some_and(|at| at <= now) {
            self.bound_old_proxies(now);
        }
        let draining = self.draining();
        if self.stop_by.is_none()
            && self.serving().is_some()
            && let Some(Action::Boot) = self.reload.tick(draining)
        {
            self.boot_next(now);
            // One without apps waits for nothing before its proxy is started, so nothing would wake the loop
            // for it.
            self.boot_on(now);
        }
        if self.stopped_at.is_some_and(|at| at <= now) {
            self.stopped_at = Some(now + STOPPED_LOOK);
            self.generations.iter_mut().for_each(Generation::kill_stopped);
        }
        if self.stop_by.is_some_and(|by| by <= now) {
            for generation in &mut self.generations {
                error!(generation = generation.number, "not gone in time, killed");
                generation.kill();
            }
            self.generations.clear();
        }
        Ok(None)
    }

    /// Moves the generation that boots on. Answers why it failed, if it did and nothing else serves.
    fn boot_on(&mut self, now: Instant) -> Option<Error> {
        let at = self.booting()?;
        let first = self.serving().is_none();
        let generation = &mut self.generations[at];
        if let Some(failure) = generation.failure(first, now) {
            if first {
                return Some(failure);
            }
            self.abandon(at, &failure, now);
        } else if generation.apps_ready(!first) {
            generation.want_proxy(now);
            if generation.proxy_ready() {
                self.take_over(at, now);
            }
        }
        None
    }

    /// Generations whose workers take memory beside those that serve. An old proxy that is still busy holds
    /// nothing up; there are other bounds for those.
    fn draining(&self) -> usize {
        let old = |generation: &&Generation| generation.phase != Phase::Serving && generation.has_workers();
        self.generations.iter().filter(old).count()
    }

    fn booting(&self) -> Option<usize> {
        self.generations
            .iter()
            .position(|generation| generation.phase == Phase::Booting)
    }

    pub(crate) fn serving(&self) -> Option<usize> {
        self.generations
            .iter()
            .position(|generation| generation.phase == Phase::Serving)
    }

    fn take_over(&mut self, at: usize, now: Instant) {
        let old = self.serving();
        let generation = &mut self.generations[at];
        // The new one accepts before the old one stops: no connection finds nobody.
        generation.serve(now);
        let (number, config) = (generation.number, Arc::clone(&generation.config));
        let boot_ms = u64::try_from((now - generation.began).as_millis()).unwrap_or(u64::MAX);
        if let Some(old) = old {
            let old = &mut self.generations[old];
            let before = Arc::clone(&old.config);
            old.drain(None, IDLE_AT_RELOAD, now);
            self.bound_old_proxies(now);
            self.reload.ended();
            self.adopt(&before, &config);
            let done = Event::Serving {
                generation: number,
                boot_ms,
            };
            // A client that reads the outcome finds the socket at its new place.
            self.settle_control();
            self.reload_ended(done, Some(number), now);
        }
        let workers: usize = config.apps.iter().map(|app| app.workers).sum();
        info!(
            generation = number,
            apps = config.apps.len(),
            workers,
            boot_ms,
            "serving"
        );
        self.notify.ready("serving");
    }

    /// Proxies of earlier generations have as long as their transfers take, but there are not more of them
    /// than `server.old_proxies`. Those on which nothing runs make room first, the oldest one is cut if that
    /// is not enough.
    fn bound_old_proxies(&mut self, now: Instant) {
        let cut_at = self.cut_at.take();
        let Some(at) = self.serving() else { return };
        let most = self.generations[at].config.server.old_proxies;
        let is_old = |generation: &&mut Generation| {
            matches!(generation.phase, Phase::Draining { until: None }) && generation.proxy.is_some()
        };
        let old = self.generations.iter_mut().filter(is_old);
        let surplus = old.count().saturating_sub(most);
        if surplus == 0 {
            return;
        }
        let old = self.generations.iter_mut().filter(is_old);
        let cut_at = cut_at.unwrap_or(now + LEAVE_WITHIN);
        if cut_at > now {
            self.cut_at = Some(cut_at);
            old.filter_map(|generation| generation.proxy.as_mut())
                .for_each(Proxy::leave_idle);
            return;
        }
        // The oldest ones come first.
        for generation in old.take(surplus) {
            warn!(
                generation = generation.number,
                old_proxies = most,
                "more old proxies than server.old_proxies: the oldest is cut"
            );
            generation.drain(Some(Duration::ZERO), Duration::ZERO, now);
        }
    }

    fn abandon(&mut self, at: usize, failure: &Error, now: Instant) {
        let mut generation = self.generations.remove(at);
        generation.kill();
        self.outputs.give_up(generation.number);
        tell(failure);
        error!(
            generation = generation.number,
            "reload failed, the old configuration and the old code keep running"
        );
        self.reload.ended();
        let message = failure.to_string();
        self.reload_ended(Event::Failed { message }, Some(generation.number), now);
        self.notify.ready("serving, the last reload failed");
    }

    fn boot_next(&mut self, now: Instant) {
        self.notify.reloading();
        if let Err(failure) = self.boot(now) {
            tell(&failure);
            error!("reload refused, the old configuration keeps running");
            let message = failure.to_string();
            self.reload_ended(Event::Refused { message }, None, now);
            self.notify.ready("serving, the last reload was refused");
        }
    }

    fn boot(&mut self, now: Instant) -> Result<(), Error> {
        let config = read(&self.conf)?;
        if self.proxies.detached {
            daemon::check(&config)?;
        }
        self.begin(config, false, now)?;
        self.reload.began();
        self.reload_boots(now);
        Ok(())
    }

    /// Boots a generation of this configuration.
    pub(crate) fn begin(&mut self, config: Config, first: bool, now: Instant) -> Result<(), Error> {
        for line in config.warnings.iter().flat_map(|warning| warning.lines()) {
            warn!("{line}");
        }
        for line in config.out_of_reach() {
            warn!("{line}");
        }
        for app in config.apps.iter().filter(|app| !app.no_new_privileges) {
            if privileges::are_denied() {
                warn!(
                    app = app.name,
                    "no_new_privileges = false has no effect: who starts the server denies them (NoNewPrivileges= of a unit, \
                     --security-opt no-new-privileges of a container)"
                );
            }
        }
        let proxy_files = ProxyFiles::make(&config)?;
        let sockets = self
            .listenings
            .open(&config.listeners, config.server.user.as_ref())?;
        let number = self.generation_numbers.next();
        info!(generation = number, config = %config.path.display(), "booting");
        self.generations.push(Generation::new(
            number,
            Arc::new(config),
            proxy_files,
            sockets,
            first,
            now,
        ));
        Ok(())
    }

    /// What of a new configuration concerns the supervisor itself: its log moves; some keys it reads only once.
    fn adopt(&mut self, old: &Config, new: &Config) {
        match log_files::file(log_files::ERROR_LOG, &new.error_log.to) {
            Ok(Some(file)) => self.log.replace(file),
            Ok(None) => {}
            Err(error) => error!(%error, "error log not moved, the old file is written on"),
        }
        let moved = old.error_log.to != new.error_log.to && !matches!(new.error_log.to, To::File(_));
        for (key, differs) in [
            ("log.error.to", moved),
            ("log.error.level", old.error_log.level != new.error_log.level),
            ("server.pid_file", old.server.pid_file != new.server.pid_file),
        ] {
            if differs {
                warn!(key, "taken up by the supervisor only at its next start");
            }
        }
    }

    fn signal(&mut self, signal: Signal, sender: u32) {
        match signal {
            Signal::SIGTERM | Signal::SIGQUIT => {
                self.stop(signal.as_str(), sender, false);
            }
            Signal::SIGINT => {
                self.stop(signal.as_str(), sender, true);
            }
            Signal::SIGHUP => {
                info!(sender, "reload asked for (SIGHUP)");
                self.ask_for_reload(Instant::now());
            }
            Signal::SIGUSR1 => {
                info!(sender, "reopening of logs asked for (SIGUSR1)");
                self.reopen();
            }
            // SIGCHLD only wakes the loop, which looks for the dead in every turn; SIGUSR2 is not used.
            _ => {}
        }
    }

    /// Gives the time that running requests have at most.
    fn stop(&mut self, asked_by: &str, sender: u32, quick: bool) -> Duration {
        let now = Instant::now();
        self.notify.stopping();
        self.reload_cannot_end(now);
        if let Some(at) = self.booting() {
            let mut generation = self.generations.remove(at);
            generation.kill();
        }
        let configured = self
            .generations
            .iter()
            .map(|generation| generation.config.server.grace)
            .max();
        let grace = if quick {
            Duration::ZERO
        } else {
            configured.unwrap_or_default()
        };
        let by = now + grace.max(QUICK) + STOP_WITHIN;
        if let Some(at) = self.stop_by.filter(|at| *at <= by) {
            // It stops already: this one gives no more time than the first.
            return grace.min(at.saturating_duration_since(now + STOP_WITHIN));
        }
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        info!(asked_by, sender, grace_ms, "stopping");
        self.stop_by = Some(by);
        self.stopped_at = Some(now + grace);
        for generation in &mut self.generations {
            generation.drain(Some(grace), IDLE_AT_STOP, now);
            if quick {
                generation.hurry(now + QUICK);
            }
        }
        grace
    }

    /// Gives what could not be opened again.
    fn reopen(&mut self) -> Vec<Error> {
        let mut all_failures = Vec::new();
        for generation in &mut self.generations {
            let serving = generation.phase == Phase::Serving;
            let (files, failures) = LogFiles::reopen(&generation.config);
            if serving && let Some(file) = files.error.as_ref().and_then(|file| file.try_clone().ok()) {
                self.log.replace(file);
            }
            generation.reopened(files);
            for error in &failures {
                error!(%error, "log not reopened, the old file is written on");
            }
            all_failures.extend(failures);
        }
        if all_failures.is_empty() {
            info!("logs reopened");
        }
        all_failures
    }
}

/// Reads the configuration, as `appliance check` does.
pub(crate) fn read(conf: &Path) -> Result<Config, Error> {
    Config::load(conf).map_err(|problems| Error::Config(problems.to_string()))
}

/// Tells a failure in the error log, a line each.
pub(crate) fn tell(failure: &Error) {
    for line in failure.to_string().lines() {
        error!("{line}");
    }
}
