//! What the front threads share of one app, and how the dispatcher's decisions are carried out.

use std::{sync::Arc, task::Waker};

use tokio::sync::{Notify, mpsc::UnboundedSender};
use tracing::{error, warn};
use wire::control::{FromProxy, TEXT_MAX};

use super::{
    call::{Call, Event, Flooded},
    dispatcher::{Action, Dispatcher, Failure, LinkIndex},
    link::{Arrival, Taken},
    outbox::Outbox,
};

/// A link with this much waiting gets nothing new until its worker has taken it.
const OUTBOX_BYTES_MAX: usize = 8 << 20;

/// How soon a request that was sent is looked at, where other workers could take it.
const LOOK_NS: u64 = 1_000_000;

/// Behind the app's lock.
#[derive(Debug)]
pub(super) struct State {
    app: Arc<str>,
    pub(super) dispatcher: Dispatcher<Arc<Call>>,
    /// By the dispatcher's index.
    ports: Vec<Option<Port>>,
    /// When the keeper looks next; `None` while it waits to be woken.
    pub(super) keeper_due_ns: Option<u64>,
    wakers: Vec<Waker>,
    writers: Vec<Arc<Notify>>,
    actions: Vec<Action<Arc<Call>>>,
    /// Something was queued or sent in this turn.
    pub(super) asked: bool,
}

/// The edge's side of a link.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) link: u64,
    pub(super) slot: u32,
    pub(super) pid: u32,
    outbox: Outbox,
    wake: Arc<Notify>,
    /// The writer is at work and will look at the outbox again by itself.
    writing: bool,
    held: bool,
    pub(super) closing: bool,
    /// It is closed because its worker has said something that had no place in an answer.
    pub(super) out_of_place: bool,
    pub(super) told_idle: bool,
}

/// Tasks to wake once the lock is released: writers first, so that workers are refilled before clients are answered.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    writers: Vec<Arc<Notify>>,
    wakers: Vec<Waker>,
    pub(super) keeper: Option<Arc<Notify>>,
}

impl Wakes {
    /// `true`: there was somebody to wake.
    pub(super) fn fire(self) -> bool {
        let some = !self.wakers.is_empty() || !self.writers.is_empty();
        for writer in self.writers {
            writer.notify_one();
        }
        for waker in self.wakers {
            waker.wake();
        }
        if let Some(keeper) = self.keeper {
            keeper.notify_one();
        }
        some
    }
}

impl Port {
    pub(super) fn new(link: u64, slot: u32, pid: u32, wake: Arc<Notify>) -> Self {
        Self {
            link,
            slot,
            pid,
            outbox: Outbox::default(),
            wake,
            writing: false,
            held: false,
            closing: false,
            out_of_place: false,
            told_idle: false,
        }
    }

    fn wake(&mut self, writers: &mut Vec<Arc<Notify>>) {
        if !self.writing {
            self.writing = true;
            writers.push(Arc::clone(&self.wake));
        }
    }
}

impl State {
    pub(super) fn new(app: Arc<str>, dispatcher: Dispatcher<Arc<Call>>) -> Self {
        Self {
            app,
            dispatcher,
            ports: Vec::new(),
            keeper_due_ns: None,
            wakers: Vec::new(),
            writers: Vec::new(),
            actions: Vec::new(),
            asked: false,
        }
    }

    pub(super) fn open(&mut self, index: LinkIndex, port: Port) {
        if self.ports.len() <= index {
            self.ports.resize_with(index + 1, || None);
        }
        self.ports[index] = Some(port);
    }

    pub(super) fn find(&self, link: u64) -> Option<LinkIndex> {
        self.ports
            .iter()
            .position(|port| port.as_ref().is_some_and(|port| port.link == link))
    }

    pub(super) fn forget(&mut self, index: LinkIndex, link: u64) -> Option<Port> {
        self.ports.get_mut(index)?.take_if(|port| port.link == link)
    }

    fn port(&mut self, index: LinkIndex) -> Option<&mut Port> {
        self.ports.get_mut(index)?.as_mut()
    }

    /// Queues a frame for a link.
    pub(super) fn write(&mut self, index: LinkIndex, frame: impl FnOnce(&mut Outbox)) {
        if let Some(Some(port)) = self.ports.get_mut(index) {
            frame(&mut port.outbox);
            port.wake(&mut self.writers);
        }
    }

    /// Closes a link once its writer has written what waits.
    pub(super) fn close(&mut self, index: LinkIndex) {
        if let Some(Some(port)) = self.ports.get_mut(index) {
            port.closing = true;
            port.wake(&mut self.writers);
        }
    }

    /// Closes a link whose worker has said something that had no place in an answer.
    pub(super) fn break_link(&mut self, index: LinkIndex) {
        if let Some(port) = self.port(index) {
            port.out_of_place = true;
        }
        self.close(index);
    }

    /// Hands one frame to its request.
    pub(super) fn deliver(&mut self, index: LinkIndex, arrival: Arrival, now_ns: u64) -> Result<(), Flooded> {
        let Arrival { stream, event, end } = arrival;
        if let Event::Abort(wire::frame::AbortReason::NotStarted) = event
            && !self.is_spent(index, stream)
            && self.dispatcher.not_started(index, stream)
        {
            return Ok(());
        }
        if let Some(call) = self.dispatcher.stream(index, stream).map(Arc::clone) {
            if let Event::Credit(bytes) = event
                && let Some(mut upload) = call.upload()
            {
                upload.credit(bytes);
                drop(upload);
                self.feed(index, stream, &call, now_ns);
                return Ok(());
            }
            if matches!(event, Event::Response { .. } | Event::Accept(_) | Event::Abort(_)) {
                call.started(self.dispatcher.answered(index, stream));
            }
            if end {
                call.ended(now_ns);
            }
            self.wakers.extend(call.push(event)?);
        }
        if end {
            self.dispatcher.ended(index, stream);
        }
        Ok(())
    }

    /// Has a worker taken what another one could not be given any more?
    fn is_spent(&self, index: LinkIndex, stream: u32) -> bool {
        let call = self.dispatcher.stream(index, stream);
        call.and_then(|call| call.upload())
            .is_some_and(|upload| upload.is_spent())
    }

    /// The worker is to be left: a WebSocket would never end by itself.
    pub(super) fn tell_leaving(&mut self, index: LinkIndex) {
        for call in self.dispatcher.on_link(index) {
            if call.request().is_some_and(|request| request.websocket)
                && let Ok(waker) = call.push(Event::Leaving)
            {
                self.wakers.extend(waker);
            }
        }
    }

    /// Gives the worker what has come of a request's body, as far as it takes it.
    pub(super) fn feed(&mut self, index: LinkIndex, stream: u32, call: &Call, now_ns: u64) {
        let (Some(id), Some(mut upload), Some(Some(port))) = (
            self.dispatcher.call(index, stream),
            call.upload(),
            self.ports.get_mut(index),
        ) else {
            return;
        };
        let runs = self.dispatcher.runs(id);
        if upload.flush(&mut port.outbox, stream, runs) {
            self.dispatcher.fed(id, now_ns);
            port.wake(&mut self.writers);
        }
        self.wakers.extend(upload.wake());
    }

    pub(super) fn take_outbox(
        &mut self,
        index: LinkIndex,
        link: u64,
        into: &mut Outbox,
        now_ns: u64,
    ) -> Taken {
        let Some(port) = self.port(index).filter(|port| port.link == link) else {
            return Taken::Close;
        };
        if !port.outbox.is_empty() {
            std::mem::swap(&mut port.outbox, into);
            if std::mem::take(&mut port.held) {
                self.dispatcher.hold(index, false, now_ns);
            }
            return Taken::Some;
        }
        port.writing = false;
        if port.closing {
            Taken::Close
        } else {
            Taken::Nothing
        }
    }

    /// Carries out what the dispatcher decided, in its order.
    pub(super) fn perform(&mut self, now_ns: u64, reports: &UnboundedSender<FromProxy>) {
        // Holding a link makes no new actions, and nothing else in here talks to the dispatcher.
        let mut actions = std::mem::take(&mut self.actions);
        std::mem::swap(&mut actions, self.dispatcher.actions());
        for action in actions.drain(..) {
            match action {
                Action::Send {
                    link,
                    stream,
                    entry,
                    item,
                    waited_ns,
                } => {
                    self.asked = true;
                    let Some(Some(port)) = self.ports.get_mut(link) else {
                        continue;
                    };
                    item.sent(port.slot, port.pid, waited_ns, now_ns);
                    port.outbox.request(&item, link, stream, entry);
                    port.wake(&mut self.writers);
                    if port.outbox.len() > OUTBOX_BYTES_MAX && !port.held {
                        port.held = true;
                        self.dispatcher.hold(link, true, now_ns);
                    }
                    if let Some(mut upload) = item.upload() {
                        upload.place();
                        drop(upload);
                        self.feed(link, stream, &item, now_ns);
                    }
                }
                Action::Cancel {
                    link,
                    stream,
                    overdue,
                } => self.write(link, |outbox| outbox.cancel(stream, overdue)),
                Action::Overdue {
                    link,
                    item,
                    elapsed_ns,
                } => self.tell_overdue(link, &item, elapsed_ns),
                Action::Fail { item, failure } => self.fail(&item, failure, now_ns),
                Action::Overrun {
                    link,
                    item,
                    thread,
                    elapsed_ns,
                } => {
                    if let Some(port) = self.port(link) {
                        // Nobody listens while the process ends.
                        let _ = reports.send(overrun(port.link, item.as_deref(), thread, elapsed_ns));
                    }
                }
                Action::Wanted => {
                    let app = self.app.to_string();
                    let _ = reports.send(FromProxy::Wanted { app });
                }
                Action::Idle { link } => {
                    if let Some(port) = self.port(link) {
                        port.told_idle = true;
                        let _ = reports.send(FromProxy::LinkIdle { link: port.link });
                    }
                    self.close(link);
                }
            }
        }
        self.actions = actions;
    }

    /// The one line about a request that an evented worker did not begin to answer in time. The worker goes on, so the
    /// supervisor has nothing to do with it.
    fn tell_overdue(&self, index: LinkIndex, call: &Call, elapsed_ns: u64) {
        let Some(Some(port)) = self.ports.get(index) else {
            return;
        };
        let request = call.request();
        error!(
            app = %self.app, slot = port.slot, pid = port.pid,
            request_id = text(request.map(|request| request.request_id)),
            method = text(request.map(|request| request.method)),
            target = text(request.map(|request| request.target)),
            client = text(request.map(|request| request.client)),
            elapsed_ms = elapsed_ns / 1_000_000,
            "request ran past timeout.request: it is cancelled, its worker goes on"
        );
    }

    /// The worker is dead: what it ran is named, since it may be what killed it.
    pub(super) fn tell_running(&self, index: LinkIndex) {
        let Some(Some(port)) = self.ports.get(index) else {
            return;
        };
        let mut more = 0;
        for (number, call) in self.dispatcher.running_on(index).enumerate() {
            if number >= RUNNING_TOLD_MAX {
                more += 1;
                continue;
            }
            let request = call.request();
            warn!(
                app = %self.app, slot = port.slot, pid = port.pid,
                request_id = text(request.map(|request| request.request_id)),
                method = text(request.map(|request| request.method)),
                target = text(request.map(|request| request.target)),
                client = text(request.map(|request| request.client)),
                "request was running when its worker died"
            );
        }
        if more > 0 {
            warn!(app = %self.app, slot = port.slot, pid = port.pid, more, "more requests were running when it died");
        }
    }

    fn fail(&mut self, call: &Call, failure: Failure, now_ns: u64) {
        call.ended(now_ns);
        if let Ok(waker) = call.push(Event::Fail(failure)) {
            self.wakers.extend(waker);
        }
    }

    /// Does the keeper sleep too long for what was just sent?
    pub(super) fn keeper_is_late(&mut self, now_ns: u64) -> bool {
        if !std::mem::take(&mut self.asked) {
            return false;
        }
        let several = self.ports.iter().flatten().count() > 1;
        let late = match self.keeper_due_ns {
            None => true,
            Some(due_ns) => several && due_ns > now_ns.saturating_add(2 * LOOK_NS),
        };
        if late {
            self.keeper_due_ns = Some(now_ns.saturating_add(LOOK_NS));
        }
        late
    }

    pub(super) fn take_wakes(&mut self, wakes: &mut Wakes) {
        std::mem::swap(&mut self.writers, &mut wakes.writers);
        std::mem::swap(&mut self.wakers, &mut wakes.wakers);
    }
}

/// Requests that are named when their worker dies.
const RUNNING_TOLD_MAX: usize = 16;

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// The report of a request, or a worker, that is stuck.
fn overrun(link: u64, call: Option<&Call>, thread: u32, elapsed_ns: u64) -> FromProxy {
    let request = call.and_then(Call::request);
    let text = |bytes: Option<&[u8]>| {
        let bytes = bytes.unwrap_or_default();
        // Together they must fit in one message.
        String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_MAX / 16)]).into_owned()
    };
    FromProxy::Overrun {
        link,
        thread,
        request_id: text(request.map(|request| request.request_id)),
        method: text(request.map(|request| request.method)),
        target: text(request.map(|request| request.target)),
        client: text(request.map(|request| request.client)),
        elapsed_ms: elapsed_ns / 1_000_000,
    }
}
