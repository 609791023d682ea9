//! Gives what arrives to the stream it belongs to, starts requests, and sends what they have said, once per turn of the loop.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use pyo3::{
    prelude::*,
    types::{PyCFunction, PyDict, PyTuple},
};
use wire::{frame::AbortReason, request::Request};

use super::{
    call::{Application, Call, Unit},
    channel::{Done, Peer, Receive, Send_},
    event_loop::EventLoop,
    exchange::Exchange,
    scope::Scopes,
    websocket::WebSocket,
};
use crate::{
    engine::{
        evented::{Event, Evented, Key},
        job::Job,
        link::Link,
        lock, now_ns,
    },
    ffi::exit_now,
    output, report,
};

/// What a worker needs to run an ASGI application.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) evented: Arc<Evented>,
    pub(crate) event_loop: EventLoop,
    pub(crate) application: Application,
    /// Given to the application when a `send` need not wait.
    pub(crate) done: Py<Done>,
    id: output::Id,
    scopes: OnceLock<Mutex<Scopes>>,
    streams: Mutex<HashMap<Key, Stream>>,
    /// Calls of the application that have not returned.
    running: AtomicUsize,
    /// Something is on a link, and a flush will come.
    flush_comes: AtomicBool,
    flush: OnceLock<Py<PyAny>>,
    events: Mutex<Vec<Event>>,
    /// What runs has been given its time.
    bounded: AtomicBool,
    /// The loop has been told to stop.
    left: AtomicBool,
}

/// What cancelled requests get for their end.
const CANCELLED_WITHIN: Duration = Duration::from_millis(500);

/// What a stream is to the application, and the call that serves it.
#[derive(Debug)]
struct Stream {
    unit: Unit,
    call: Py<Call>,
}

impl Host {
    pub(crate) fn new(
        py: Python<'_>,
        evented: &Arc<Evented>,
        event_loop: EventLoop,
        application: Application,
    ) -> PyResult<Arc<Self>> {
        let host = Arc::new(Self {
            evented: Arc::clone(evented),
            event_loop,
            application,
            done: Py::new(py, Done)?,
            id: output::Id::new(py)?,
            scopes: OnceLock::new(),
            streams: Mutex::default(),
            running: AtomicUsize::new(0),
            flush_comes: AtomicBool::new(false),
            flush: OnceLock::new(),
            events: Mutex::default(),
            bounded: AtomicBool::new(false),
            left: AtomicBool::new(false),
        });
        let of_callback = Arc::clone(&host);
        let flush = PyCFunction::new_closure(
            py,
            None,
            None,
            move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
                of_callback.flush();
                of_callback.leave_when_idle(arguments.py());
            },
        )?;
        let _ = host.flush.set(flush.into_any().unbind());
        Ok(host)
    }

    /// From here on requests are taken; each scope gets a copy of this state, and offers the extensions by
    /// which a file is the body of an answer or does not.
    pub(crate) fn open(
        self: &Arc<Self>,
        py: Python<'_>,
        state: Option<Py<PyDict>>,
        pathsend: bool,
    ) -> PyResult<()> {
        let _ = self.scopes.set(Mutex::new(Scopes::new(py, state, pathsend)?));
        let host = Arc::clone(self);
        let turn = PyCFunction::new_closure(
            py,
            None,
            None,
            move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| host.turn(arguments.py()),
        )?;
        self.evented.begin();
        self.event_loop
            .watch(py, self.evented.descriptor(), turn.into_any())
    }

    /// The engine's descriptor is readable.
    fn turn(self: &Arc<Self>, py: Python<'_>) {
        if self.evented.is_disowned() {
            // The application has forked, and its child has come back to the loop.
            exit_now(0);
        }
        let mut events = std::mem::take(&mut *lock(&self.events));
        self.evented.read(&mut events);
        let later = self.flush_comes.swap(true, Ordering::Relaxed);
        let mut started = false;
        for event in events.drain(..) {
            match event {
                Event::Request(job) => {
                    self.begin(py, job);
                    started = true;
                    if self.event_loop.is_eager() && self.evented.is_due(now_ns()) {
                        self.evented.flush();
                    }
                }
                event => self.tell(py, event),
            }
        }
        *lock(&self.events) = events;
        if self.evented.is_draining() && !self.bounded.swap(true, Ordering::Relaxed) {
            self.bound(py);
        }
        if started {
            self.id.set(py, b"");
        }
        if started && !self.event_loop.is_eager() {
            // Tasks take their first step in the next turn; what they say then goes out together.
            if !later {
                self.flush_soon(py);
            }
        } else {
            self.evented.flush();
            if !later {
                self.flush_comes.store(false, Ordering::Relaxed);
            }
        }
        self.leave_when_idle(py);
    }

    /// An event of a stream that runs, or ran.
    fn tell(&self, py: Python<'_>, event: Event) {
        match event {
            Event::Request(_) => {}
            Event::Body { key, bytes, last } => {
                if let Some(Unit::Http(exchange)) = self.unit(key) {
                    exchange.arrive(py, bytes, last);
                }
            }
            Event::Credit { key, bytes } => match self.unit(key) {
                Some(Unit::Http(exchange)) => exchange.grant(py, bytes),
                Some(Unit::WebSocket(socket)) => socket.grant(py, bytes),
                _ => {}
            },
            Event::Cancel { key, overdue } => {
                if overdue {
                    self.overdue(py, key);
                }
                if let Some(unit) = self.unit(key) {
                    unit.leave(py);
                }
            }
            Event::Message {
                key,
                bytes,
                text,
                more,
            } => {
                if let Some(Unit::WebSocket(socket)) = self.unit(key) {
                    socket.arrive(py, bytes, text, more);
                }
            }
            Event::Close { key, code, reason } => {
                if let Some(Unit::WebSocket(socket)) = self.unit(key) {
                    socket.closed(py, code, reason);
                }
            }
            Event::Lost { link } => {
                let lost: Vec<Unit> = lock(&self.streams)
                    .iter()
                    .filter(|(key, _)| key.link == link)
                    .map(|(_, stream)| stream.unit.clone())
                    .collect();
                for unit in lost {
                    unit.leave(py);
                }
            }
        }
    }

    fn unit(&self, key: Key) -> Option<Unit> {
        lock(&self.streams).get(&key).map(|stream| stream.unit.clone())
    }

    /// Calls the application for a claimed request.
    fn begin(self: &Arc<Self>, py: Python<'_>, job: Job) {
        let (link, stream) = (Arc::clone(&job.link), job.stream);
        if let Err(error) = self.start(py, job) {
            output::fail(
                py,
                &format!("a request failed: the server {}", report::raised(py, &error)),
            );
            link.abort(stream, AbortReason::Exception);
        }
    }

    fn start(self: &Arc<Self>, py: Python<'_>, job: Job) -> PyResult<()> {
        let Ok((request, inline)) = Request::decode(&job.payload) else {
            output::tell(py, "a request of the proxy can not be read");
            job.link.abort(job.stream, AbortReason::Protocol);
            return Ok(());
        };
        let Some(scopes) = self.scopes.get() else {
            job.link.abort(job.stream, AbortReason::NotStarted);
            return Ok(());
        };
        let scope = lock(scopes).build(py, &request)?;
        self.id.set(py, request.request_id);
        let inline = job.payload.len() - inline.len();
        let (websocket, head_only, length) = (
            request.websocket,
            request.method == b"HEAD",
            request.content_length,
        );
        let key = Key {
            link: job.link.serial,
            stream: job.stream,
        };
        let (peer, unit): (Arc<dyn Peer>, Unit) = if websocket {
            let socket = Arc::new(WebSocket::new(self, job));
            (socket.clone(), Unit::WebSocket(socket))
        } else {
            let exchange = Arc::new(Exchange::new(self, job, inline, head_only, length));
            (exchange.clone(), Unit::Http(exchange))
        };
        let receive = Bound::new(
            py,
            Receive {
                peer: Arc::clone(&peer),
            },
        )?;
        let send = Bound::new(py, Send_ { peer })?;
        let call = Call::new(self, unit.clone(), scope, receive.into_any(), send.into_any());
        let call = Bound::new(py, call)?;
        let stream = Stream {
            unit,
            call: call.clone().unbind(),
        };
        lock(&self.streams).insert(key, stream);
        self.running.fetch_add(1, Ordering::Relaxed);
        // Counted and found before the task is made, which may run to its end in there.
        match self.event_loop.task(py, call.clone().into_any()) {
            Ok(task) => {
                call.get().keep(task);
                Ok(())
            }
            Err(error) => {
                if call.get().give_up() {
                    self.forget(key);
                    self.returned(py);
                }
                Err(error)
            }
        }
    }

    /// The request ran past its deadline: where it stands goes to the log, and its task is cancelled. Or its client has left long
    /// ago, and the application does not end.
    fn overdue(&self, py: Python<'_>, key: Key) {
        let found = lock(&self.streams)
            .get(&key)
            .map(|stream| (stream.unit.clone(), stream.call.clone_ref(py)));
        let Some((unit, call)) = found else { return };
        let call = call.bind(py).get();
        if unit.is_gone() {
            unit.tell(py, "still runs though its client has left, and is cancelled");
        } else {
            let stack = call.stack(py);
            unit.tell(
                py,
                &format!("ran past its deadline and is cancelled; it stands at\n{stack}"),
            );
        }
        if let Some(task) = call.task(py)
            && let Err(error) = task.call_method0("cancel")
        {
            output::tell(py, &report::traceback(py, &error));
        }
    }

    /// A stream is over.
    pub(crate) fn forget(&self, key: Key) {
        let forgotten = lock(&self.streams).remove(&key);
        // Dropped without the lock: it may hold the last of an object whose end runs Python code.
        drop(forgotten);
    }

    /// Are requests taken already?
    pub(crate) fn is_open(&self) -> bool {
        self.scopes.get().is_some()
    }

    /// A call of the application has returned.
    pub(crate) fn returned(&self, py: Python<'_>) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        if self.evented.is_draining() {
            self.leave_when_idle(py);
        }
    }

    /// Something may be on a link now: it leaves with everything else that this turn says.
    #[inline]
    pub(crate) fn wrote(&self, py: Python<'_>, link: &Link) {
        if !link.is_dirty() {
            return;
        }
        // The application may go on for long before the loop turns again.
        self.evented.watch();
        if !self.flush_comes.swap(true, Ordering::Relaxed) {
            self.flush_soon(py);
        }
    }

    fn flush_soon(&self, py: Python<'_>) {
        if let Some(flush) = self.flush.get()
            && let Err(error) = self.event_loop.call_soon(py, flush.bind(py))
        {
            output::tell(py, &report::traceback(py, &error));
        }
    }

    fn flush(&self) {
        self.flush_comes.store(false, Ordering::Relaxed);
        self.evented.flush();
    }

    /// The drain begins: what runs has its time, is cancelled then, and is not waited for much longer.
    fn bound(self: &Arc<Self>, py: Python<'_>) {
        let of_callback = Arc::clone(self);
        let set = PyCFunction::new_closure(
            py,
            None,
            None,
            move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
                let py = arguments.py();
                let host = &of_callback;
                host.cancel_all(py)?;
                let of_callback = Arc::clone(host);
                let stop = PyCFunction::new_closure(
                    py,
                    None,
                    None,
                    move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
                        of_callback.stop(arguments.py());
                    },
                )?;
                host.event_loop.call_later(py, CANCELLED_WITHIN, stop.into_any())
            },
        )
        .and_then(|callback| {
            self.event_loop
                .call_later(py, self.evented.drains_within(), callback.into_any())
        });
        if let Err(error) = set {
            output::tell(py, &report::traceback(py, &error));
        }
    }

    /// Ends every call of the application but its lifespan, also those whose answer is complete. What the application has started
    /// itself goes on: its lifespan's shutdown ends that.
    fn cancel_all(&self, py: Python<'_>) -> PyResult<()> {
        let units: Vec<Unit> = lock(&self.streams)
            .values()
            .map(|stream| stream.unit.clone())
            .collect();
        for unit in units {
            unit.leave(py);
        }
        for task in self.event_loop.tasks(py)? {
            let coroutine = task.call_method0("get_coro")?;
            if let Ok(call) = coroutine.cast::<Call>()
                && let Some(unit) = call.get().request()
            {
                unit.tell(py, "still runs at the end of the drain, and is cancelled");
                task.call_method0("cancel")?;
            }
        }
        self.leave_when_idle(py);
        Ok(())
    }

    /// When the worker is to leave and nothing runs any more, the loop stops.
    fn leave_when_idle(&self, py: Python<'_>) {
        if self.evented.is_draining()
            && self.running.load(Ordering::Relaxed) == 0
            && lock(&self.streams).is_empty()
        {
            self.stop(py);
        }
    }

    fn stop(&self, py: Python<'_>) {
        if !self.left.swap(true, Ordering::Relaxed)
            && let Err(error) = self.event_loop.stop(py)
        {
            output::tell(py, &report::traceback(py, &error));
        }
    }

    /// Has the loop been told to stop because all is done?
    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }
}
