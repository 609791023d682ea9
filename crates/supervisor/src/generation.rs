//! One configuration at work: a proxy and the apps it sends requests to.
//!
//! A generation boots beside the one that serves, takes over, drains when the next one has taken over, and is gone.

mod proxy_care;
mod status;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use config::Config;
use tracing::error;
use wire::control::FromProxy;

use crate::{
    Error,
    app::{App, STUCK},
    cause::{is_stopped, stuck},
    context::Context,
    listening::Listening,
    log_files::LogFiles,
    os::wait::Ended,
    proxy::{Proxy, ProxyProgram},
    proxy_files::ProxyFiles,
    ready::Interest,
    restarts::Restarts,
    worker::Worker,
};

/// What workers without a proxy get at least to finish.
const RETIRE_MIN: Duration = Duration::from_secs(1);

/// Where a generation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not serving yet.
    Booting,
    /// New requests come here.
    Serving,
    /// Its proxy ends what runs.
    Draining {
        /// End of the grace; `None`: it has as long as it takes.
        until: Option<Instant>,
    },
    /// Its proxy is gone, its workers exit.
    Retiring,
}

/// How proxies are started, the same for all generations.
#[derive(Debug)]
pub(crate) struct Proxies {
    pub(crate) program: ProxyProgram,
    pub(crate) detached: bool,
}

/// One configuration at work.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) config: Arc<Config>,
    proxy_files: ProxyFiles,
    /// `None` until the first proxy is started.
    log_files: Option<LogFiles>,
    sockets: Vec<Arc<Listening>>,
    pub(crate) apps: Vec<App>,
    pub(crate) proxy: Option<Proxy>,
    proxy_restarts: Restarts,
    /// Proxies that were replaced because they did not answer.
    silent_proxies: u32,
    /// When the proxy is to be started.
    proxy_at: Option<Instant>,
    /// Why the proxy did not get ready while the generation booted.
    proxy_failure: Option<String>,
    pub(crate) phase: Phase,
    phase_since: Instant,
    pub(crate) began: Instant,
    /// What the proxy has said of links to workers of other generations.
    pub(crate) elsewhere: Vec<FromProxy>,
    /// While all of it stops, older proxies may still want its workers.
    pub(crate) is_awaited: bool,
}

impl Generation {
    /// A generation whose apps are started in the next turn; the proxy too when `proxy_now`, else once the apps are ready.
    pub(crate) fn new(
        number: u64,
        config: Arc<Config>,
        proxy_files: ProxyFiles,
        sockets: Vec<Arc<Listening>>,
        proxy_now: bool,
        now: Instant,
    ) -> Self {
        let apps = (0..config.apps.len())
            .map(|index| App::new(&config, index, number, now))
            .collect();
        Self {
            number,
            config,
            proxy_files,
            log_files: None,
            sockets,
            apps,
            proxy: None,
            proxy_restarts: Restarts::default(),
            silent_proxies: 0,
            proxy_at: proxy_now.then_some(now),
            proxy_failure: None,
            phase: Phase::Booting,
            phase_since: now,
            began: now,
            elsewhere: Vec::new(),
            is_awaited: false,
        }
    }

    /// What it waits for.
    pub(crate) fn interest<'a>(&'a self, interest: &mut Interest<'a>) {
        if let Some(channel) = self.proxy.as_ref().and_then(|proxy| proxy.child.channel()) {
            interest.channel(channel);
        }
        for app in &self.apps {
            app.interest(interest);
        }
    }

    /// Takes the messages that have come.
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>) {
        for app in &mut self.apps {
            app.hear(cx);
        }
        let proxy = self.proxy.as_ref().and_then(|proxy| proxy.child.channel());
        if proxy.is_some_and(|channel| cx.ready.has(channel)) {
            self.hear_proxy(cx);
        }
    }

    /// A process has ended. `false`: it is none of ours.
    pub(crate) fn buried(&mut self, pid: u32, ended: Ended, cx: &mut Context<'_>) -> bool {
        if self.proxy.as_ref().is_some_and(|proxy| proxy.pid == pid) {
            self.hear_proxy(cx);
            if let Some(proxy) = self.proxy.take() {
                self.proxy_died(&proxy, ended, cx);
            }
            return true;
        }
        self.apps.iter_mut().any(|app| app.buried(pid, ended, cx))
    }

    /// Starts, links, reminds and kills what is due.
    pub(crate) fn tick(&mut self, proxies: &Proxies, cx: &mut Context<'_>) {
        for app in &mut self.apps {
            app.tick(cx);
            for link in app.let_go(cx.now) {
                if let Some(proxy) = &mut self.proxy {
                    proxy.unlink(link);
                }
            }
        }
        if let Some(proxy) = &mut self.proxy
            && proxy.tick(cx.now)
        {
            error!(
                generation = self.number,
                pid = proxy.pid,
                "proxy is not ready in time"
            );
        }
        if let Some(proxy) = &mut self.proxy
            && proxy.child.is_stuck(cx.now)
        {
            let (generation, pid) = (self.number, proxy.pid);
            error!(generation, pid, cause = stuck(pid), "proxy {STUCK}");
        }
        self.look_at_proxy(cx.now);
        if let Phase::Draining { until } = self.phase {
            // One that was killed answers nothing any more.
            if self.proxy.as_ref().is_none_or(|proxy| proxy.child.is_killed()) && !self.is_awaited {
                self.retire(until, cx.now);
            } else {
                self.expire(cx.now);
            }
        }
        if self.proxy_at.is_some_and(|at| at <= cx.now) && self.proxy.is_none() {
            self.start_proxy(proxies, cx);
        }
        self.link(cx);
        if self.phase == Phase::Serving
            && let Some(proxy) = &mut self.proxy
            && proxy.ready
            && !proxy.serving
        {
            // One that was started again.
            proxy.serve();
        }
    }

    /// When [`Generation::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let proxy = self.proxy.as_ref().and_then(Proxy::deadline);
        let proxy_at = self.proxy_at.filter(|_| self.proxy.is_none());
        let apps = self.apps.iter().filter_map(App::deadline);
        apps.chain([proxy, proxy_at].into_iter().flatten()).min()
    }

    /// Why it cannot take over, if that is settled. `first`: nothing else serves, so that one app that does
    /// not boot must not keep the others down, nor files and the servers behind us.
    pub(crate) fn failure(&self, first: bool, now: Instant) -> Option<Error> {
        let failed = |app: &App| {
            let journey = app.journey.tell(app.boot_failure()?, now);
            Some(Error::App {
                app: app.name.to_string(),
                journey,
            })
        };
        let serves_more =
            self.config.serves_without_apps() || self.apps.iter().any(|app| app.boot_failure().is_none());
        let app = if first && serves_more {
            None
        } else {
            self.apps.iter().find_map(failed)
        };
        app.or_else(|| self.proxy_failure.clone().map(Error::Proxy))
    }

    /// Every app has `all` of its workers ready; or it has one, or does not boot.
    pub(crate) fn apps_ready(&self, all: bool) -> bool {
        self.apps.iter().all(|app| {
            if all {
                app.pool.ready_count() == app.pool.len()
            } else {
                app.is_there() || app.boot_failure().is_some()
            }
        })
    }

    /// Starts the proxy in the next tick, unless there is one.
    pub(crate) fn want_proxy(&mut self, now: Instant) {
        if self.proxy.is_none() && self.proxy_failure.is_none() {
            self.proxy_at.get_or_insert(now);
        }
    }

    /// The proxy is ready to accept connections.
    pub(crate) fn proxy_ready(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.ready)
    }

    /// Takes over.
    pub(crate) fn serve(&mut self, now: Instant) {
        self.phase = Phase::Serving;
        self.phase_since = now;
        self.apps.iter_mut().for_each(|app| app.serves(now));
        if let Some(proxy) = &mut self.proxy {
            proxy.serve();
        }
    }

    /// Accepts nothing new; what runs has `grace`, or as long as it takes, but in workers no more than their
    /// drain timeout. Called again, it only gets shorter.
    pub(crate) fn drain(&mut self, grace: Option<Duration>, idle: Duration, now: Instant) {
        self.sockets.clear();
        self.proxy_at = None;
        let by = grace.map(|grace| now + grace);
        let until = match self.phase {
            Phase::Draining { until } => until.into_iter().chain(by).min(),
            _ => by,
        };
        if self.phase != Phase::Retiring {
            if !matches!(self.phase, Phase::Draining { .. }) {
                self.phase_since = now;
            }
            self.phase = Phase::Draining { until };
        }
        for app in &mut self.apps {
            app.drain(until, now);
        }
        // A request that comes late needs some of its app's time as well.
        let shortest = self.config.apps.iter().map(|app| app.timeout.drain).min();
        let idle = idle.min(shortest.map_or(idle, |drain| drain / 2));
        if let Some(proxy) = &mut self.proxy {
            proxy.drain(grace, idle, now);
        }
    }

    /// Ends what runs in apps whose own drain timeout is over before the grace is; at the end of the grace the proxy does that.
    fn expire(&mut self, now: Instant) {
        for app in self.apps.iter_mut().filter(|app| app.is_past_drain(now)) {
            if let Some(proxy) = &mut self.proxy {
                // Whatever comes or waits now is for other workers, if there are any.
                app.tell_down(false, proxy);
                let own = app
                    .workers
                    .iter()
                    .filter_map(|worker| worker.links.to(self.number));
                own.for_each(|link| proxy.unlink(link));
            }
            app.expire(now);
        }
    }

    fn retire(&mut self, until: Option<Instant>, now: Instant) {
        self.phase = Phase::Retiring;
        self.phase_since = now;
        let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(now));
        let within = left.max(RETIRE_MIN);
        for app in &mut self.apps {
            app.retire(within, now);
        }
    }

    /// All workers of all of its apps.
    pub(crate) fn workers_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.apps.iter_mut().flat_map(|app| &mut app.workers)
    }

    /// Is this a link of one of them?
    pub(crate) fn has_link(&self, link: u64) -> bool {
        let mut workers = self.apps.iter().flat_map(|app| &app.workers);
        workers.any(|worker| worker.links.has(link))
    }

    /// Does it still take the memory of an app, or is a proxy left at most?
    pub(crate) fn has_workers(&self) -> bool {
        !self.apps.iter().all(App::is_gone)
    }

    /// What leaves shall be gone by then.
    pub(crate) fn hurry(&mut self, by: Instant) {
        self.apps.iter_mut().for_each(|app| app.hurry(by));
    }

    /// What waits to be tried again is tried at once.
    pub(crate) fn revive(&mut self, now: Instant) {
        self.apps.iter_mut().for_each(|app| app.revive(now));
    }

    /// SIGKILL to all of it.
    pub(crate) fn kill(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            proxy.child.kill();
        }
        self.apps.iter_mut().for_each(App::kill);
    }

    /// SIGKILL to what was stopped by a signal: it does not leave by itself.
    pub(crate) fn kill_stopped(&mut self) {
        if let Some(proxy) = self.proxy.as_mut().filter(|proxy| is_stopped(proxy.pid)) {
            proxy.child.kill();
        }
        for worker in self.workers_mut() {
            if worker.child.pid.is_some_and(is_stopped) {
                worker.counts = false;
                worker.why.get_or_insert("it was stopped by a signal".into());
                worker.child.kill();
            }
        }
    }

    /// Nothing of it runs any more, or only what was killed and is still there.
    pub(crate) fn is_gone(&self) -> bool {
        self.proxy.as_ref().is_none_or(|proxy| proxy.child.is_given_up())
            && self.apps.iter().all(App::is_gone)
    }
}
