//! The life of the proxy process.

use std::{
    collections::HashMap,
    fs::File,
    future::pending,
    io,
    os::fd::OwnedFd,
    process::ExitCode,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use logs::{AccessLog, error_log};
use nix::sys::signal::{SigSet, Signal};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    select,
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    task::JoinSet,
    time::{Instant, sleep_until},
};
use wire::control::{FromProxy, TEXT_MAX, ToProxy, UNLIMITED_MS};

use crate::{
    app::{App, LinkParts, app_file, lull::Lull, spare::Spare},
    boot::{Boot, BootError, Ready},
    context::Context,
    control::{AsyncControl, Control, ControlError},
    drain::Drain,
    idle_memory,
    listener::crowd::Crowd,
    listening::{Front, Listening},
    router::Router,
    upstream::{self, Upstream},
};

/// What is left of a connection after its cut has this long to notice.
const CUT_TIME: Duration = Duration::from_secs(1);

/// Lines that wait for the disk when the process ends have this long.
const LOG_TIME: Duration = Duration::from_secs(2);

/// An old proxy says after this time that it is still there, and then after twice the time each, at most.
const FIRST_TOLD: Duration = Duration::from_secs(5);
const LAST_TOLD: Duration = Duration::from_secs(60 * 60);

/// Runs the proxy process on the control socket to its supervisor.
pub fn run(control: OwnedFd) -> ExitCode {
    // A ^C on the terminal reaches the whole group; when the proxy leaves is for the supervisor to say. Blocked before
    // there is a second thread, so in all of them.
    let theirs = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ];
    if let Err(error) = SigSet::from_iter(theirs).thread_block() {
        return fail(
            &Control::new(control),
            &BootError::System("signals can not be blocked", error.into()),
        );
    }
    let control = Control::new(control);
    let mut boot = match Boot::receive(&control) {
        Ok(boot) => boot,
        Err(error) => return fail(&control, &error),
    };
    let (config, error_log) = match boot.start_log() {
        Ok(started) => started,
        Err(error) => return fail(&control, &error),
    };
    let generation = boot.generation;
    let process = match boot.prepare(config).and_then(Process::new) {
        Ok(process) => process,
        Err(error) => return fail(&control, &error),
    };
    tracing::info!(generation, threads = process.runtimes.len(), "proxy ready");
    let code = process.serve(control, generation, &error_log);
    error_log.flush(LOG_TIME);
    code
}

fn fail(control: &Control, error: &BootError) -> ExitCode {
    let mut message = error.to_string();
    while message.len() > TEXT_MAX {
        message.pop();
    }
    // Without a supervisor there is nobody to tell.
    let _ = control.send(&FromProxy::Failed { message });
    ExitCode::FAILURE
}

/// A proxy that is ready to accept.
struct Process {
    context: Arc<Context>,
    listening: Vec<Arc<Listening>>,
    /// One loop per front thread; the first one is this thread's.
    runtimes: Vec<Runtime>,
    reports: UnboundedReceiver<FromProxy>,
    reporter: UnboundedSender<FromProxy>,
}

impl Process {
    fn new(ready: Ready) -> Result<Self, BootError> {
        let Ready {
            config,
            tls,
            upstream_tls,
            addresses,
            listening,
            access_log,
        } = ready;
        let lull = Lull::new(config.server.threads)
            .map_err(|error| BootError::System("event loop can not be made", error.into()))?;
        let lull = Arc::new(lull);
        let runtimes = (0..config.server.threads)
            .map(|thread| {
                let lull = Arc::clone(&lull);
                Builder::new_current_thread()
                    .enable_all()
                    .on_thread_park(move || lull.pause(thread))
                    .build()
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| BootError::System("event loop can not be made", error))?;
        let handles: Vec<_> = runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
        let (reporter, reports) = unbounded_channel();
        // The hop's housekeeping starts its tasks here.
        let entered = handles[0].enter();
        let spare = Spare::new(config.server.buffers.shared_bytes);
        let files_max = app_file::files_max(config.apps.len(), config.open_files_wanted);
        let apps = config.apps.iter().map(|app| {
            App::new(
                app,
                &config.server.buffers,
                &spare,
                files_max,
                reporter.clone(),
                handles.clone(),
                Arc::clone(&lull),
            )
        });
        let apps: Vec<_> = apps.collect();
        lull.watch(apps.iter().map(|app| app.needs()).collect());
        drop(entered);
        let upstreams = config
            .upstreams
            .iter()
            .zip(upstream_tls)
            .map(|(upstream, tls)| Arc::new(Upstream::new(upstream, config.server.threads, tls)));
        let upstreams: Vec<_> = upstreams.collect();
        runtimes[0].block_on(upstream::begin(&upstreams, &addresses, &reporter));
        let context = Context {
            router: Router::new(&config.sites),
            apps,
            upstreams,
            tls,
            log: access_log,
            drain: Drain::new(),
            config,
        };
        Ok(Self {
            context: Arc::new(context),
            listening,
            runtimes,
            reports,
            reporter,
        })
    }

    /// Serves until the drain is done or the supervisor is gone.
    fn serve(self, control: Control, generation: u64, error_log: &error_log::Guard) -> ExitCode {
        let (context, reports, listening) = (self.context, self.reports, self.listening);
        let reporter = self.reporter;
        let stage = watch::Sender::new(Stage::Waiting);
        let fronts: Vec<_> = self
            .runtimes
            .iter()
            .map(|runtime| runtime.handle().clone())
            .collect();
        let mut runtimes = self.runtimes.into_iter();
        let Some(first) = runtimes.next() else {
            return fail(
                &control,
                &BootError::System("event loop", io::ErrorKind::NotFound.into()),
            );
        };
        let front = |runtime: &Runtime| {
            runtime.spawn(serve_front(
                Arc::clone(&context),
                listening.clone(),
                stage.subscribe(),
            ))
        };
        let threads = runtimes.enumerate().map(|(index, runtime)| {
            let front = front(&runtime);
            thread::Builder::new()
                .name(format!("front-{}", index + 1))
                .spawn(move || {
                    // A panic has been told when it happened; the thread ends with the others.
                    let _ = runtime.block_on(front);
                    runtime.shutdown_timeout(CUT_TIME);
                })
        });
        let threads: Vec<JoinHandle<()>> = match threads.collect() {
            Ok(threads) => threads,
            Err(error) => {
                return fail(
                    &control,
                    &BootError::System("front thread can not be started", error),
                );
            }
        };
        let own_front = front(&first);
        first.spawn(idle_memory::look_after(Arc::downgrade(&context), fronts.clone()));
        for upstream in &context.upstreams {
            first.spawn(upstream::look_after(Arc::clone(upstream), context.drain.clone()));
        }
        // The accept loops have them: when the drain ends these, the sockets close, and whoever comes is refused at once
        // instead of waiting in vain to be accepted.
        let crowds = listening.iter().map(|listening| listening.crowd()).collect();
        drop(listening);
        let drained = first.block_on(async {
            control.send(&FromProxy::Ready {})?;
            let control = control.into_async()?;
            let mut office = Office {
                context: &context,
                stage: &stage,
                error_log,
                generation,
                reporter,
                links: HashMap::new(),
                crowds,
                fronts,
            };
            office.obey(&control, reports).await?;
            Ok(control.into_blocking()?)
        });
        context.log.cut();
        stage.send_replace(Stage::Over);
        // Requests that are still there are dropped with their loops and write their lines, so the log is closed after.
        let _ = first.block_on(own_front);
        for thread in threads {
            let _ = thread.join();
        }
        // What still runs beside the loops, a lookup of a name or a read from a distant disk, is not waited
        // for.
        first.shutdown_background();
        leave(drained, &context.log)
    }
}

fn leave(drained: Result<Control, ControlError>, log: &AccessLog) -> ExitCode {
    if !log.close(LOG_TIME) {
        tracing::warn!(
            dropped = log.dropped(),
            "access log could not be written to its end"
        );
    }
    match drained.and_then(|control| control.send(&FromProxy::Drained {})) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "proxy ends without its supervisor");
            ExitCode::FAILURE
        }
    }
}

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For the word to accept.
    Waiting,
    /// Accepting, or draining.
    Serving,
    /// The loops end.
    Over,
}

/// What one front thread does.
async fn serve_front(
    context: Arc<Context>,
    listening: Vec<Arc<Listening>>,
    mut stage: watch::Receiver<Stage>,
) {
    // An error means that the process is past caring.
    let _ = stage.wait_for(|stage| *stage != Stage::Waiting).await;
    // A connection accepted at the very start of a drain is still served: the drain waits for the accept loops, too.
    let accepting = context.drain.connection();
    let front = Front { context };
    let mut loops: JoinSet<_> = listening
        .into_iter()
        .map(|listening| listening.accept(front.clone()))
        .collect();
    let accept = async {
        while let Some(ended) = loops.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::error!(%error, "listening socket can not be used");
            }
        }
        drop(accepting);
        pending::<()>().await;
    };
    select! {
        () = accept => {}
        _ = stage.wait_for(|stage| *stage == Stage::Over) => {}
    }
}

/// Where the supervisor's messages are carried out.
struct Office<'a> {
    context: &'a Context,
    stage: &'a watch::Sender<Stage>,
    error_log: &'a error_log::Guard,
    generation: u64,
    reporter: UnboundedSender<FromProxy>,
    /// Which app a link belongs to.
    links: HashMap<u64, Arc<App>>,
    /// The connections of each listener.
    crowds: Vec<Arc<Crowd>>,
    /// The loops of all front threads.
    fronts: Vec<Handle>,
}

impl Office<'_> {
    /// Carries out messages and passes reports on until the drain is done. Where that takes long, it is told
    /// now and then.
    async fn obey(
        &mut self,
        control: &AsyncControl,
        mut reports: UnboundedReceiver<FromProxy>,
    ) -> Result<(), ControlError> {
        let drain = &self.context.drain;
        let mut deadline: Option<Instant> = None;
        let mut cut = false;
        let mut told: Option<Instant> = None;
        let mut told_after = FIRST_TOLD;
        loop {
            select! {
                message = control.receive() => {
                    if let Some(grace) = self.carry_out(message?) {
                        let until = grace.and_then(|grace| Instant::now().checked_add(grace));
                        deadline = deadline.into_iter().chain(until).min();
                        told.get_or_insert_with(|| Instant::now() + told_after);
                    }
                }
                Some(report) = reports.recv() => {
                    if let FromProxy::LinkIdle { link } = report {
                        self.links.remove(&link);
                    }
                    control.send(&report).await?;
                }
                () = drain.idle(), if drain.is_draining() => return Ok(()),
                () = expired(told) => {
                    let generation = self.generation;
                    tracing::info!(generation, connections = drain.open(), "old proxy still serves");
                    told_after = (2 * told_after).min(LAST_TOLD);
                    told = Some(Instant::now() + told_after);
                }
                () = expired(deadline) => {
                    if cut {
                        return Ok(());
                    }
                    tracing::warn!(connections = drain.open(), "drain not done within its grace, cutting what is left");
                    self.context.log.cut();
                    drain.cut_now();
                    cut = true;
                    deadline = Some(Instant::now() + CUT_TIME);
                }
            }
        }
    }

    /// Carries out one message; a drain's grace is given back, `None` in it where that is as long as it
    /// takes.
    fn carry_out(&mut self, (message, descriptors): (ToProxy, Vec<OwnedFd>)) -> Option<Option<Duration>> {
        match message {
            ToProxy::Start {} => {
                tracing::info!("proxy accepts");
                self.stage.send_replace(Stage::Serving);
            }
            ToProxy::Link {
                link,
                app,
                slot,
                pid,
                evented,
                concurrency,
            } => self.link(link, &app, (slot, pid), (evented, concurrency), descriptors),
            ToProxy::Unlink { link } => {
                if let Some(app) = self.links.get(&link) {
                    app.unlink(link);
                }
            }
            ToProxy::AppDown { app, down } => {
                if let Some(app) = self.app(&app) {
                    app.set_down(down);
                }
            }
            ToProxy::Reopen {
                access_log,
                error_log,
            } => {
                let mut files = descriptors.into_iter().map(File::from);
                if let Some(file) = access_log.then(|| files.next()).flatten() {
                    self.context.log.replace(file);
                }
                if let Some(file) = error_log.then(|| files.next()).flatten() {
                    self.error_log.replace(file);
                }
            }
            ToProxy::Drain { grace_ms, idle_ms } => {
                let grace = (grace_ms != UNLIMITED_MS).then(|| Duration::from_millis(grace_ms));
                let connections = self.context.drain.open();
                tracing::info!(grace_ms = grace.map(|_| grace_ms), connections, "proxy drains");
                self.context.drain.start(Duration::from_millis(idle_ms));
                if grace.is_some() {
                    self.context.drain.stop();
                }
                return Some(grace);
            }
            ToProxy::Ask { number } => self.answer(number),
            ToProxy::LeaveIdle {} => {
                // In this order: who comes to rest between the two is not asked, and does not wait.
                self.context.drain.leave_idle();
                self.crowds.iter().for_each(|crowd| crowd.ask_idle_to_leave());
            }
            ToProxy::Boot { .. } | ToProxy::Addresses { .. } | ToProxy::Listener { .. } => {
                tracing::error!("a message of the boot came to a running proxy");
            }
        }
        None
    }

    /// Answers once each front thread has turned: one that hangs keeps the answer back, this one too.
    fn answer(&self, number: u64) {
        let turns: Vec<_> = self.fronts.iter().map(|front| front.spawn(async {})).collect();
        let reporter = self.reporter.clone();
        tokio::spawn(async move {
            for turn in turns {
                if turn.await.is_err() {
                    return;
                }
            }
            let _ = reporter.send(FromProxy::Alive { number });
        });
    }

    fn link(
        &mut self,
        link: u64,
        name: &str,
        (slot, pid): (u32, u32),
        (evented, concurrency): (bool, u32),
        descriptors: Vec<OwnedFd>,
    ) {
        let mut descriptors = descriptors.into_iter();
        let (Some(app), Some(socket), Some(page)) = (self.app(name), descriptors.next(), descriptors.next())
        else {
            tracing::error!(app = name, slot, pid, link, "link without its app or descriptors");
            // The supervisor makes another one, with another worker.
            let _ = self.reporter.send(FromProxy::LinkIdle { link });
            return;
        };
        self.links.insert(link, Arc::clone(&app));
        app.link(LinkParts {
            link,
            slot,
            pid,
            evented,
            concurrency: usize::try_from(concurrency).unwrap_or(usize::MAX),
            socket,
            page,
        });
    }

    fn app(&self, name: &str) -> Option<Arc<App>> {
        let apps = &self.context.config.apps;
        // As many as a person writes down.
        let index = apps.iter().position(|app| app.name == name)?;
        self.context.apps.get(index).cloned()
    }
}

async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
