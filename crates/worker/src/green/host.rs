//! Gives what arrives to the stream it belongs to, and says which greenlets are to start, to wake or to end.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use pyo3::{
    exceptions::PyBaseException,
    intern,
    prelude::*,
    types::{PyDict, PyType},
};
use wire::{frame::AbortReason, request::Request};

use super::stream::Stream;
use crate::{
    engine::{
        evented::{Event, Evented, Key},
        job::Job,
        lock, now_ns,
    },
    ffi::exit_now,
    output, report,
    wsgi::{client_socket::ClientSocket, environ::Environ, exchange::Exchange, input::Input},
};

/// What the driver calls. Nothing in it waits, and nothing in it calls what may switch greenlets.
#[pyclass(frozen, module = "appliance_worker")]
#[derive(Debug)]
pub(crate) struct Host {
    evented: Arc<Evented>,
    environ: Mutex<Environ>,
    id: output::Id,
    /// Most greenlets. A proxy keeps to that as its window; while two proxies are about (a reload) there may be more requests.
    limit: usize,
    /// Greenlets that have been given to the driver and have not ended.
    running: AtomicUsize,
    /// Those of them that have not begun.
    unbegun: AtomicUsize,
    streams: Mutex<HashMap<Key, Py<Stream>>>,
    waiting: Mutex<VecDeque<Py<Stream>>>,
}

/// What a turn asks of the driver: streams to start, to wake, to end; of the last, whether the client had left before.
type Turn = (Vec<Py<Stream>>, Vec<Py<Stream>>, Vec<(Py<Stream>, bool)>);

impl Host {
    /// For so many greenlets; `wrapper` becomes `wsgi.file_wrapper`, in Python because reading a file may switch.
    pub(crate) fn new(
        py: Python<'_>,
        evented: &Arc<Evented>,
        limit: usize,
        wrapper: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let environ = Environ::new(py, limit.max(2))?;
        environ.always(py, "wsgi.file_wrapper", wrapper)?;
        Ok(Self {
            evented: Arc::clone(evented),
            environ: Mutex::new(environ),
            id: output::Id::new(py)?,
            limit: limit.max(1),
            running: AtomicUsize::new(0),
            unbegun: AtomicUsize::new(0),
            streams: Mutex::default(),
            waiting: Mutex::default(),
        })
    }

    fn find(&self, py: Python<'_>, key: Key) -> Option<Py<Stream>> {
        lock(&self.streams).get(&key).map(|stream| stream.clone_ref(py))
    }

    /// A claimed request becomes a stream.
    fn accept(&self, py: Python<'_>, job: Job, starts: &mut Vec<Py<Stream>>) {
        let (link, stream) = (Arc::clone(&job.link), job.stream);
        match self.stream(py, job) {
            Ok(Some(stream)) => {
                lock(&self.streams).insert(stream.get().key, stream.clone_ref(py));
                if self.running.load(Ordering::Relaxed) < self.limit {
                    self.starts();
                    starts.push(stream);
                } else {
                    lock(&self.waiting).push_back(stream);
                }
            }
            Ok(None) => {}
            Err(error) => {
                output::fail(
                    py,
                    &format!("a request failed: the server {}", report::raised(py, &error)),
                );
                link.abort(stream, AbortReason::Exception);
            }
        }
    }

    fn starts(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.unbegun.fetch_add(1, Ordering::Relaxed);
    }

    fn stream(&self, py: Python<'_>, mut job: Job) -> PyResult<Option<Py<Stream>>> {
        let Ok((request, inline)) = Request::decode(&job.payload) else {
            output::tell(py, "a request of the proxy can not be read");
            job.link.abort(job.stream, AbortReason::Protocol);
            return Ok(None);
        };
        if !job.whole {
            output::tell_of(
                py,
                request.request_id,
                "a request whose body is still arriving can not be given to WSGI",
            );
            job.link.abort(job.stream, AbortReason::Protocol);
            return Ok(None);
        }
        let exchange = Exchange::unwaiting(&job.link, job.stream, request.method == b"HEAD");
        let file = job
            .body
            .take()
            .map(|file| Input::file(file, request.content_length));
        let environ: Bound<'_, PyDict> = lock(&self.environ).build(py, &request, file)?;
        let (id, websocket) = (request.request_id.to_vec(), request.websocket);
        let inline_at = job.payload.len() - inline.len();
        if inline_at < job.payload.len() {
            let input = Input::memory(std::mem::take(&mut job.payload), inline_at);
            environ.set_item(intern!(py, "wsgi.input"), Bound::new(py, input)?)?;
        }
        let key = Key {
            link: job.link.serial,
            stream: job.stream,
        };
        let socket = if websocket {
            Some(ClientSocket::give(py, &environ, &job.link, job.stream)?)
        } else {
            None
        };
        Py::new(
            py,
            Stream::new(key, job.link, exchange, socket, environ.unbind(), id),
        )
        .map(Some)
    }

    /// Nobody waits for the answer: what never began is forgotten, what waits for credit is woken to hear it.
    fn cancel(&self, py: Python<'_>, stream: Py<Stream>, wakes: &mut Vec<Py<Stream>>) {
        stream.get().cancel();
        let mut waiting = lock(&self.waiting);
        let at = waiting.iter().position(|other| other.is(&stream));
        let never_began = at.and_then(|at| waiting.remove(at));
        drop(waiting);
        if never_began.is_some() {
            stream.get().abort(AbortReason::Cancelled);
            let forgotten = lock(&self.streams).remove(&stream.get().key);
            drop(forgotten);
        } else {
            wakes.push(stream.clone_ref(py));
        }
    }
}

#[pymethods]
impl Host {
    /// Readable when there is something for [`Host::turn`].
    #[getter]
    fn descriptor(&self) -> i32 {
        self.evented.descriptor()
    }

    /// The calling thread runs the hub.
    fn begin(&self) {
        self.evented.begin();
    }

    /// The descriptor is readable.
    fn turn(&self, py: Python<'_>) -> Turn {
        if self.evented.is_disowned() {
            // The application has forked, and its child has come back to the hub.
            exit_now(0);
        }
        let (mut starts, mut wakes, mut ends) = Turn::default();
        let mut events = Vec::new();
        self.evented.read(&mut events);
        for event in events {
            match event {
                Event::Request(job) => self.accept(py, job, &mut starts),
                Event::Credit { key, bytes } => {
                    if let Some(stream) = self.find(py, key)
                        && stream.get().grant(bytes)
                    {
                        wakes.push(stream);
                    }
                }
                Event::Cancel { key, overdue } => {
                    if let Some(stream) = self.find(py, key) {
                        if overdue {
                            ends.push((stream.clone_ref(py), stream.get().is_cancelled()));
                        }
                        self.cancel(py, stream, &mut wakes);
                    }
                }
                Event::Lost { link } => {
                    let lost: Vec<_> = lock(&self.streams)
                        .iter()
                        .filter(|(key, _)| key.link == link)
                        .map(|(_, stream)| stream.clone_ref(py))
                        .collect();
                    for stream in lost {
                        self.cancel(py, stream, &mut wakes);
                    }
                }
                // More of a body whose request was refused; WSGI has no messages, but a socket.
                Event::Body { .. } | Event::Message { .. } | Event::Close { .. } => {}
            }
        }
        // What credit has set free, and refusals. Answers of the greenlets that start now leave together.
        self.evented.flush();
        (starts, wakes, ends)
    }

    /// The greenlet of this stream runs: what it prints belongs to the request. Gives the environ.
    fn enter(&self, py: Python<'_>, stream: &Bound<'_, Stream>) -> Option<Py<PyDict>> {
        self.unbegun.fetch_sub(1, Ordering::Relaxed);
        self.id.set(py, stream.get().id());
        stream.get().take_environ()
    }

    /// The greenlet of this stream is about to end. Gives one that may start in its place.
    fn ended(&self, py: Python<'_>, stream: &Bound<'_, Stream>) -> Option<Py<Stream>> {
        if self.evented.is_disowned() {
            // The application has forked, and its child came back out of the view.
            exit_now(0);
        }
        // What it printed without an end of line has its end now.
        output::end(py);
        // Nothing when the answer is complete.
        stream.get().abort(AbortReason::Exception);
        let forgotten = lock(&self.streams).remove(&stream.get().key);
        drop(forgotten);
        self.running.fetch_sub(1, Ordering::Relaxed);
        let next = lock(&self.waiting).pop_front()?;
        self.starts();
        Some(next)
    }

    /// Sends what waits, as much as the sockets take.
    fn flush(&self) {
        self.evented.flush();
    }

    /// As [`Host::flush`], when it should not wait for the greenlets that are about to begin.
    fn flush_due(&self) {
        if self.evented.is_due(now_ns()) {
            self.evented.flush();
        } else {
            self.evented.watch();
        }
    }

    /// As [`Host::flush`], unless greenlets are about to begin, whose answers leave together.
    fn flush_idle(&self) {
        if self.unbegun.load(Ordering::Relaxed) == 0 {
            self.evented.flush();
        } else {
            self.flush_due();
        }
    }

    /// Is the worker to leave, and does nothing run any more?
    fn done(&self) -> bool {
        self.evented.is_draining() && self.running.load(Ordering::Relaxed) == 0
    }

    /// How many seconds from now on what runs has until it is ended, when the worker is to leave.
    fn bound(&self) -> Option<f64> {
        self.evented
            .is_draining()
            .then(|| self.evented.drains_within().as_secs_f64())
    }

    /// The drain is over: every answer that is not complete is cut, and what waits for its turn never begins. Gives the streams
    /// whose greenlets are to end.
    fn cut(&self, py: Python<'_>) -> Vec<Py<Stream>> {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        let mut streams = lock(&self.streams);
        let mut running = Vec::with_capacity(streams.len());
        for stream in streams.values() {
            stream.get().cancel();
            stream.get().abort(AbortReason::Cancelled);
            running.push(stream.clone_ref(py));
        }
        for stream in &waiting {
            streams.remove(&stream.get().key);
        }
        drop(streams);
        running.retain(|stream| !waiting.iter().any(|other| other.is(stream)));
        self.evented.flush();
        running
    }

    /// Writes to the error log, as this request.
    fn tell(&self, py: Python<'_>, stream: &Bound<'_, Stream>, text: &str) {
        output::tell_of(py, stream.get().id(), text);
    }

    /// As `tell`: the application has failed, and the first line is an error of the log.
    fn fail(&self, py: Python<'_>, stream: &Bound<'_, Stream>, text: &str) {
        output::fail_of(py, stream.get().id(), text);
    }

    /// As `fail`, of what the application raised.
    fn raised(
        &self,
        py: Python<'_>,
        stream: &Bound<'_, Stream>,
        request_line: &str,
        error: Bound<'_, PyBaseException>,
    ) {
        let raised = report::raised(py, &PyErr::from_value(error.into_any()));
        self.fail(py, stream, &format!("{request_line}: the application {raised}"));
    }

    /// What is raised when the application breaks the interface, and when nobody waits any more.
    #[classattr]
    #[pyo3(name = "Broken")]
    fn broken(py: Python<'_>) -> Bound<'_, PyType> {
        py.get_type::<super::stream::Broken>()
    }

    #[classattr]
    #[pyo3(name = "Gone")]
    fn gone(py: Python<'_>) -> Bound<'_, PyType> {
        py.get_type::<super::stream::Gone>()
    }
}
