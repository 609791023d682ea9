//! The proxy of a generation: started, heard, linked to the workers, restarted.

use std::{sync::Arc, time::Instant};

use tracing::{error, info, warn};
use wire::control::FromProxy;

use super::{Generation, Phase, Proxies};
use crate::{
    Error,
    cause::{Thread, cause, threads},
    channel::HEARD_PER_TURN,
    context::Context,
    heartbeat::{Found, found},
    log_files::LogFiles,
    os::wait::Ended,
    proxy::{Launch, Proxy},
};

/// Threads of a silent proxy that are told of.
const THREADS_TOLD: usize = 32;

impl Generation {
    pub(super) fn hear_proxy(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        for _ in 0..HEARD_PER_TURN {
            let Some(message) = self.proxy.as_mut().and_then(|proxy| proxy.hear(now)) else {
                return;
            };
            match message {
                FromProxy::Ready {} => {
                    let pid = self.proxy.as_ref().map_or(0, |proxy| proxy.pid);
                    info!(generation = self.number, pid, "proxy ready");
                }
                FromProxy::Failed { message } => {
                    if let Some(proxy) = &mut self.proxy {
                        proxy.failure = Some(message);
                    }
                }
                FromProxy::LinkIdle { link } => {
                    let drains = matches!(self.phase, Phase::Draining { .. } | Phase::Retiring);
                    if let Some(worker) = self.workers_mut().find(|worker| worker.links.has(link)) {
                        if worker.departure.is_none() && !drains {
                            worker.unreachable(now);
                        }
                        worker.link_over(link);
                    } else {
                        self.elsewhere.push(message);
                    }
                }
                FromProxy::LinkBroken { link, ref breach } => {
                    if let Some(worker) = self.workers_mut().find(|worker| worker.links.has(link)) {
                        worker.broke_link(link, breach);
                    } else {
                        self.elsewhere.push(message);
                    }
                }
                FromProxy::Overrun { link, .. } if !self.has_link(link) => self.elsewhere.push(message),
                FromProxy::Overrun {
                    link,
                    thread,
                    request_id,
                    method,
                    target,
                    client,
                    elapsed_ms,
                } => {
                    self.overrun(
                        link,
                        thread,
                        &[&request_id, &method, &target, &client],
                        elapsed_ms,
                        now,
                    );
                }
                FromProxy::Wanted { app } => {
                    if let Some(app) = self.apps.iter_mut().find(|other| *other.name == *app) {
                        app.wanted = true;
                    }
                }
                FromProxy::Addresses { host, addresses } => cx.names.told(host, addresses),
                FromProxy::Alive { .. } => {}
                FromProxy::Drained {} => info!(generation = self.number, "proxy drained"),
            }
        }
    }

    /// A request on this link, or its whole worker, is stuck.
    pub(crate) fn overrun(
        &mut self,
        link: u64,
        thread: u32,
        request: &[&str; 4],
        elapsed_ms: u64,
        now: Instant,
    ) {
        let [request_id, method, target, client] = request;
        for app in &mut self.apps {
            let Some(at) = app.workers.iter().position(|worker| worker.links.has(link)) else {
                continue;
            };
            let (slot, pid) = (app.workers[at].slot, app.workers[at].child.pid.unwrap_or(0));
            if request_id.is_empty() {
                error!(
                    app = %app.name, slot, pid, silent_ms = elapsed_ms,
                    "worker is stuck: it is replaced, its stacks follow"
                );
            } else {
                error!(
                    app = %app.name, slot, pid, request_id, method, target, client, elapsed_ms, thread,
                    "request ran past timeout.request: the worker is replaced, its stacks follow"
                );
            }
            app.overran(at, thread, now);
            if let (Some(proxy), Some(own)) = (&mut self.proxy, app.workers[at].links.to(self.number)) {
                proxy.unlink(own);
            }
            return;
        }
    }

    /// A proxy whose front threads do not turn is replaced, unless the next one would hang in the same place.
    pub(super) fn look_at_proxy(&mut self, now: Instant) {
        let Some(proxy) = self.proxy.as_mut().filter(|proxy| !proxy.child.is_killed()) else {
            return;
        };
        if !proxy.is_silent(now) {
            return;
        }
        let (generation, pid) = (self.number, proxy.pid);
        let threads = threads(pid);
        let found = found(threads.iter().map(|thread| thread.state));
        let is_replaced = matches!(found, Found::Hanging | Found::Stopped);
        if !std::mem::replace(&mut proxy.told_silent, true) || is_replaced {
            for Thread { name, does, .. } in threads.iter().take(THREADS_TOLD) {
                warn!(generation, pid, thread = name, "{does}");
            }
            match found {
                Found::Hanging => error!(generation, pid, "proxy does not answer, it is replaced"),
                Found::Stopped => {
                    error!(
                        generation,
                        pid, "proxy does not answer, it is replaced: it was stopped by a signal"
                    );
                }
                Found::OnDisk => error!(
                    generation,
                    pid,
                    "proxy does not answer: it waits for a disk or a network file system, as another one would"
                ),
                Found::Traced => warn!(generation, pid, "proxy does not answer: a debugger holds it"),
            }
        }
        if found == Found::Hanging {
            self.silent_proxies = self.silent_proxies.saturating_add(1);
        }
        if is_replaced {
            proxy.child.kill();
        }
    }

    pub(super) fn proxy_died(&mut self, proxy: &Proxy, ended: Ended, cx: &mut Context<'_>) {
        for app in &mut self.apps {
            app.told_down = false;
            for worker in &mut app.workers {
                // What it ran for that proxy has nobody left to be answered.
                worker.keep_links(|generation| generation != self.number);
            }
        }
        let cause = cause(ended, proxy.child.is_killed(), cx.oom_kills.rose());
        match self.phase {
            Phase::Booting => {
                let failure = match (&proxy.failure, proxy.child.is_killed()) {
                    (Some(told), _) => told.clone(),
                    (None, true) => "it was not ready in time".to_owned(),
                    (None, false) => format!("it died before it was ready: {cause}"),
                };
                self.proxy_failure.get_or_insert(failure);
            }
            Phase::Serving => {
                let wait = self.proxy_restarts.died(
                    proxy
                        .ready
                        .then(|| cx.now.saturating_duration_since(proxy.started)),
                );
                let told = proxy.failure.as_deref().unwrap_or("");
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                error!(
                    generation = self.number,
                    pid = proxy.pid,
                    cause,
                    told,
                    wait_ms,
                    "proxy died, it is started again"
                );
                self.proxy_at = Some(cx.now + wait);
            }
            Phase::Draining { .. } | Phase::Retiring => {
                if ended == Ended::Code(0) {
                    info!(generation = self.number, pid = proxy.pid, "proxy left");
                } else {
                    warn!(
                        generation = self.number,
                        pid = proxy.pid,
                        cause,
                        "proxy died while draining"
                    );
                }
            }
        }
    }

    pub(super) fn start_proxy(&mut self, proxies: &Proxies, cx: &mut Context<'_>) {
        self.proxy_at = None;
        let started = self
            .logs_of_proxy()
            .map_err(|error| error.to_string())
            .and_then(|logs| {
                let launch = Launch {
                    program: &proxies.program,
                    generation: self.number,
                    files: &self.proxy_files,
                    sockets: &self.sockets,
                    addresses: cx.names.of(&self.config),
                    logs,
                    silent_before: self.silent_proxies,
                    detached: proxies.detached,
                };
                Proxy::start(launch, cx.now).map_err(|error| error.to_string())
            });
        match started {
            Ok(proxy) => {
                cx.pids.add(proxy.pid);
                self.proxy = Some(proxy);
            }
            Err(error) if self.phase == Phase::Booting => {
                self.proxy_failure.get_or_insert(error);
            }
            Err(error) => {
                error!(generation = self.number, error, "proxy not started");
                self.proxy_at = Some(cx.now + self.proxy_restarts.died(None));
            }
        }
    }

    /// One that takes another's place writes on in the same files, also where their directory is gone.
    fn logs_of_proxy(&mut self) -> Result<LogFiles, Error> {
        let files = match self.log_files.take() {
            Some(files) => files,
            None => LogFiles::open(&self.config)?,
        };
        let files = self.log_files.insert(files);
        files.try_clone().map_err(Error::system("logs for the proxy"))
    }

    /// Its logs were opened anew.
    pub(crate) fn reopened(&mut self, files: LogFiles) {
        let Some(kept) = &mut self.log_files else { return };
        kept.replace(files);
        let Some(proxy) = &mut self.proxy else { return };
        match kept.try_clone() {
            Ok(files) => proxy.reopen(files),
            Err(error) => error!(%error, "log not reopened, the old file is written on"),
        }
    }

    /// Gives every ready worker a link to the ready proxy, and tells it which apps have no worker to hope for.
    pub(super) fn link(&mut self, cx: &mut Context<'_>) {
        let Some(proxy) = self.proxy.as_mut().filter(|proxy| proxy.ready) else {
            return;
        };
        for app in self.apps.iter_mut().filter(|app| app.takes_requests()) {
            let name = Arc::clone(&app.name);
            for worker in &mut app.workers {
                let Some(pid) = worker
                    .child
                    .pid
                    .filter(|_| worker.ready && worker.counts && !worker.links.reaches(self.number))
                else {
                    continue;
                };
                match worker.link(cx.numbers.next(), self.number) {
                    Ok(end) => proxy.link(end, &name),
                    Err(error) => {
                        // No descriptors left: without a link the worker is of no use, a later one may be luckier.
                        error!(app = %name, slot = worker.slot, pid, %error, "link not made, the worker is replaced");
                        worker.child.kill();
                    }
                }
            }
            let down = app.is_down();
            if down != app.told_down && matches!(self.phase, Phase::Serving | Phase::Draining { .. }) {
                app.told_down = down;
                proxy.app_down(&name, down);
            }
        }
    }
}
