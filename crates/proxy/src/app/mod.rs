//! The hop to the workers of one app: queue, links, frames.
//!
//! A request is read whole ([`request_body`]) unless its route wants the body to follow as it arrives ([`upload`]), put into a frame ([`request_frame`]) and given to the [`dispatcher`], which
//! says when it goes to which worker. A large body is in one of the app's [`slabs`]. The link's writer sends all frames of one turn of the loop together; its reader takes
//! as much as has come and hands each frame to its [`call`]. [`exchange`] turns what arrives there into an answer and
//! keeps it in a [`backlog`] while the client takes it at its own pace.

mod answer_head;
pub(crate) mod app_file;
pub(crate) mod app_request;
mod backlog;
mod call;
mod dispatcher;
mod exchange;
mod fault;
mod flow;
mod gather;
mod link;
pub(crate) mod lull;
pub(crate) mod mount;
mod outbox;
mod page;
mod request_body;
mod request_frame;
mod slabs;
pub(crate) mod spare;
mod spill;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod upload;
mod websocket;

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use config::{Buffers, Interface, WsgiHost};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc::UnboundedSender},
};
use tracing::{debug, error, warn};
use wire::control::FromProxy;

pub(crate) use self::link::LinkParts;
#[doc(hidden)]
pub use self::link::fuzz;
use self::{
    app_file::Held,
    call::{Call, Event, Flooded},
    dispatcher::{CallId, Dispatcher, LinkIndex, Refusal, Rules},
    link::{Arrival, LinkError, Taken},
    lull::{Lull, Needs},
    outbox::Outbox,
    page::LinkPage,
    slabs::Slabs,
    spare::Spare,
    state::{Port, State, Wakes},
};

/// One app as the proxy knows it.
#[derive(Debug)]
pub(crate) struct App {
    name: Arc<str>,
    buffers: Buffers,
    /// Memory that bodies share.
    spare: Arc<Spare>,
    slabs: Arc<Slabs>,
    /// Its files that wait for clients.
    files: Arc<Held>,
    request_timeout: Duration,
    /// An application that knows whole messages of WebSockets; one that does not may speak the protocol
    /// itself.
    websocket: Option<config::WebSocket>,
    keepalive: config::Keepalive,
    reports: UnboundedSender<FromProxy>,
    runtimes: Vec<Handle>,
    /// Links are spread over the front threads.
    next_runtime: AtomicUsize,
    /// Held for moments only; the one lock between the front threads.
    state: Mutex<State>,
    keeper: Arc<Notify>,
    needs: Arc<Needs>,
    lull: Arc<Lull>,
    /// It was told that the application leaves answers to the server.
    told_left_to_us: AtomicBool,
    /// It was told that more of its files wait than may.
    told_beyond: AtomicBool,
}

impl App {
    /// Starts without any worker. `files_max`: of its files, so many may wait for clients. `runtimes` are the
    /// front threads, at least one.
    pub(crate) fn new(
        config: &config::ProxyApp,
        buffers: &Buffers,
        spare: &Arc<Spare>,
        files_max: usize,
        reports: UnboundedSender<FromProxy>,
        runtimes: Vec<Handle>,
        lull: Arc<Lull>,
    ) -> Arc<Self> {
        let rules = Rules {
            queue_length_max: config.queue_length_max,
            queue_timeout_ns: nanoseconds(config.queue_timeout),
            request_timeout_ns: nanoseconds(config.request_timeout),
            window: config.interface.concurrency().max(1),
            evented: match config.interface {
                Interface::Asgi(_) | Interface::Wsgi(WsgiHost::Green(..)) => true,
                Interface::Wsgi(WsgiHost::Threads { .. }) => false,
            },
        };
        let websocket = match &config.interface {
            config::Interface::Asgi(asgi) => Some(asgi.websocket.clone()),
            config::Interface::Wsgi(_) => None,
        };
        Self::with_rules(
            &config.name,
            rules,
            buffers,
            spare,
            files_max,
            websocket,
            config.keepalive,
            reports,
            runtimes,
            lull,
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts that only a test chooses one by one"
    )]
    fn with_rules(
        name: &str,
        rules: Rules,
        buffers: &Buffers,
        spare: &Arc<Spare>,
        files_max: usize,
        websocket: Option<config::WebSocket>,
        keepalive: config::Keepalive,
        reports: UnboundedSender<FromProxy>,
        runtimes: Vec<Handle>,
        lull: Arc<Lull>,
    ) -> Arc<Self> {
        let keeper = Arc::new(Notify::new());
        let name: Arc<str> = name.into();
        let app = Arc::new(Self {
            name: Arc::clone(&name),
            buffers: buffers.clone(),
            spare: Arc::clone(spare),
            slabs: Slabs::new(spare, buffers.memory_bytes),
            files: Held::new(files_max),
            request_timeout: Duration::from_nanos(rules.request_timeout_ns),
            websocket,
            keepalive,
            reports,
            runtimes,
            next_runtime: AtomicUsize::new(0),
            state: Mutex::new(State::new(name, Dispatcher::new(rules))),
            keeper: Arc::clone(&keeper),
            needs: Needs::new(),
            lull,
            told_left_to_us: AtomicBool::new(false),
            told_beyond: AtomicBool::new(false),
        });
        if let Some(runtime) = app.runtimes.first() {
            runtime.spawn(keep(Arc::downgrade(&app), keeper));
        }
        app
    }

    /// How soon it has to be looked after, at any time.
    pub(crate) fn needs(&self) -> Arc<Needs> {
        Arc::clone(&self.needs)
    }

    /// A worker is ready.
    pub(crate) fn link(self: &Arc<Self>, parts: LinkParts) {
        let LinkParts {
            link,
            slot,
            pid,
            evented,
            concurrency,
            socket,
            page,
        } = parts;
        let page = match LinkPage::map(&page) {
            Ok(page) => page,
            Err(cause) => {
                error!(app = %self.name, slot, pid, link, %cause, "link refused");
                // A link that is idle without having been left is over: the supervisor replaces the worker.
                self.report(FromProxy::LinkIdle { link });
                return;
            }
        };
        let wake = Arc::new(Notify::new());
        let port = Port::new(link, slot, pid, Arc::clone(&wake));
        let index = self.turn(|state, now_ns| {
            state.dispatcher.set_host(evented, concurrency);
            let index = state.dispatcher.link_up(page, now_ns);
            state.open(index, port);
            index
        });
        let next = self.next_runtime.fetch_add(1, Ordering::Relaxed);
        if let Some(runtime) = self.runtimes.get(next % self.runtimes.len().max(1)) {
            runtime.spawn(link::run(Arc::clone(self), index, link, socket, wake));
        }
        debug!(app = %self.name, slot, pid, link, "link ready");
    }

    /// The worker is to be left. [`FromProxy::LinkIdle`] is reported once nothing is in flight on its link.
    pub(crate) fn unlink(&self, link: u64) {
        let known = self.turn(|state, now_ns| {
            let index = state.find(link)?;
            state.dispatcher.unlink(index, now_ns);
            state.tell_leaving(index);
            Some(())
        });
        if known.is_none() {
            self.report(FromProxy::LinkIdle { link });
        }
    }

    /// No worker can be had, or one is to be expected again.
    pub(crate) fn set_down(&self, down: bool) {
        self.turn(|state, _| state.dispatcher.set_down(down));
    }

    fn submit(&self, call: &Arc<Call>, idempotent: bool) -> Result<CallId, (Refusal, u64)> {
        self.turn(|state, now_ns| {
            state.asked = true;
            let id = state.dispatcher.submit(Arc::clone(call), idempotent, now_ns);
            id.map_err(|refusal| (refusal, state.dispatcher.retry_after_s()))
        })
    }

    fn retry_after_s(&self) -> u64 {
        self.turn(|state, _| state.dispatcher.retry_after_s())
    }

    /// Nobody waits for this request any more.
    fn leave(&self, id: CallId) {
        self.turn(|state, now_ns| state.dispatcher.leave(id, now_ns));
    }

    /// A piece of the request's body has come; `None`: that was all of it.
    fn upload(&self, id: CallId, call: &Call, piece: Option<Bytes>) {
        if let Some(mut upload) = call.upload() {
            upload.push(piece);
        }
        self.turn(|state, now_ns| {
            if let Some((index, stream)) = state.dispatcher.place(id) {
                state.feed(index, stream, call, now_ns);
            }
        });
    }

    /// The worker may send more of this answer.
    fn grant(&self, id: CallId, call: &Call, bytes: u32) {
        call.granted(bytes);
        self.turn(|state, _| {
            if let Some((index, stream)) = state.dispatcher.place(id) {
                state.write(index, |outbox| outbox.credit(stream, bytes));
            }
        });
    }

    /// The worker that answers this request breaks the protocol: its link is closed.
    fn give_up(&self, id: CallId) {
        self.turn(|state, _| {
            if let Some((index, _)) = state.dispatcher.place(id) {
                state.break_link(index);
            }
        });
    }

    /// Hands the frames of one reading to their requests and refills the worker.
    fn deliver(&self, index: LinkIndex, arrivals: &mut Vec<Arrival>) -> Result<(), Flooded> {
        self.turn(|state, now_ns| {
            state.dispatcher.heard(index, now_ns);
            let mut outcome = Ok(());
            for arrival in arrivals.drain(..) {
                if let Event::Returned(back) = arrival.event {
                    self.slabs.returned(index, back);
                    continue;
                }
                outcome = outcome.and(state.deliver(index, arrival, now_ns));
            }
            state.dispatcher.pump(now_ns);
            outcome
        })
    }

    /// For a link's writer: all that waits to be written.
    fn take_outbox(&self, index: LinkIndex, link: u64, into: &mut Outbox) -> Taken {
        self.turn(|state, now_ns| state.take_outbox(index, link, into, now_ns))
    }

    /// The kernel does not take the descriptor of this request's body.
    fn undelivered(&self, index: LinkIndex, stream: u32) {
        self.turn(|state, now_ns| {
            if let Some(call) = state.dispatcher.undelivered(index, stream) {
                call.take_back(index);
            }
            state.dispatcher.pump(now_ns);
        });
    }

    /// A link is over, by our will or not.
    fn link_ended(&self, index: LinkIndex, link: u64, cause: Option<LinkError>) {
        let port = self.turn(|state, now_ns| {
            state.tell_running(index);
            state.dispatcher.link_dead(index, now_ns);
            self.slabs.lost(index);
            state.forget(index, link)
        });
        let Some(port) = port else { return };
        let cause = match port.out_of_place {
            true => Some(LinkError::OutOfPlace),
            false => cause.filter(|_| !port.closing),
        };
        let breach = cause
            .as_ref()
            .filter(|cause| cause.is_breach())
            .map(LinkError::to_string);
        match cause {
            Some(cause) if !matches!(cause, LinkError::Closed) => {
                error!(app = %self.name, slot = port.slot, pid = port.pid, link, %cause, "link broken");
            }
            _ => debug!(app = %self.name, slot = port.slot, pid = port.pid, link, "link closed"),
        }
        if let Some(breach) = breach {
            self.report(FromProxy::LinkBroken { link, breach });
        } else if !port.told_idle {
            // Nothing is in flight on a link that is gone; whoever waits for that need not wait longer.
            self.report(FromProxy::LinkIdle { link });
        }
    }

    /// Looks at the time; returns for how long not to look again.
    fn tick(&self) -> Option<Duration> {
        self.turn(|state, now_ns| {
            let pause_ns = state.dispatcher.tick(now_ns);
            state.keeper_due_ns = pause_ns.map(|pause_ns| now_ns.saturating_add(pause_ns));
            pause_ns.map(Duration::from_nanos)
        })
    }

    /// Lets the dispatcher take an event, then does what it says: frames are queued in its order under the lock, tasks are
    /// woken after it.
    fn turn<R>(&self, event: impl FnOnce(&mut State, u64) -> R) -> R {
        let mut wakes = Wakes::default();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ns = now_ns();
        let result = event(&mut state, now_ns);
        state.perform(now_ns, &self.reports);
        if state.keeper_is_late(now_ns) {
            wakes.keeper = Some(Arc::clone(&self.keeper));
        }
        state.take_wakes(&mut wakes);
        self.needs.set(state.dispatcher.need());
        drop(state);
        if wakes.fire() {
            self.lull.end_others();
        }
        result
    }

    /// The application expects another server in front of it, and its answers are empty. Told once: it
    /// answers so again and again.
    fn tell_left_to_us(&self, field: &str, call: &Call) {
        if self.told_left_to_us.swap(true, Ordering::Relaxed) {
            return;
        }
        let target = call.request().map(|request| request.target);
        warn!(
            app = %self.name,
            field,
            target = %String::from_utf8_lossy(target.unwrap_or_default()),
            "the app leaves its response to the server, which is not supported: the response is sent as it is; \
             send the file itself, by wsgi.file_wrapper or pathsend"
        );
    }

    /// More of its answers wait for clients than may. Told once, it is so again and again then.
    fn tell_beyond(&self, call: &Call) {
        if self.told_beyond.swap(true, Ordering::Relaxed) {
            return;
        }
        let target = call.request().map(|request| request.target);
        error!(
            app = %self.name,
            target = %String::from_utf8_lossy(target.unwrap_or_default()),
            "too many answers wait for slow clients, some are cut; raise the limit of open files (LimitNOFILE, \
             ulimit -n), or server.buffers.shared where no temporary file can be made"
        );
    }

    fn report(&self, message: FromProxy) {
        // Nobody listens while the process ends.
        let _ = self.reports.send(message);
    }
}

/// Watches the deadlines of one app, and sleeps while it has nothing to do.
async fn keep(app: Weak<App>, wake: Arc<Notify>) {
    loop {
        let Some(pause) = app.upgrade().map(|app| app.tick()) else {
            return;
        };
        match pause {
            None => wake.notified().await,
            Some(pause) => {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = wake.notified() => {
                        // Something was sent: give it the time after which it counts as silent.
                        tokio::time::sleep(FIRST_LOOK).await;
                    }
                }
            }
        }
    }
}

/// Pause before the first look at a request that was just sent.
const FIRST_LOOK: Duration = Duration::from_millis(1);

/// The clock of the link page.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Both are positive and far from their ends for centuries.
    (now.tv_sec as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec as u64)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
