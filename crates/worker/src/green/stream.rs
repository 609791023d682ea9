//! One request and its answer, as the driver sees it.

use std::sync::{Arc, Mutex};

use pyo3::{
    exceptions::{PyException, PyTypeError},
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyTuple},
};
use wire::frame::AbortReason;

use crate::{
    engine::{evented::Key, link::Link, lock},
    wsgi::{
        client_socket::ClientSocket,
        exchange::{Exchange, Stop},
        file_wrapper::OpenFile,
        head::{hints, type_name},
        start_response::Before,
    },
};

pyo3::create_exception!(
    appliance_worker,
    Broken,
    PyException,
    "The application broke the interface."
);
pyo3::create_exception!(
    appliance_worker,
    Gone,
    PyException,
    "Nobody waits for the answer."
);

/// Most bytes of a list's elements that are put together before they are sent.
const GATHER: usize = 64 << 10;

/// A request in the hands of a greenlet. The lock is held only while no Python code runs, so it is never waited for.
#[pyclass(frozen, module = "appliance_worker")]
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) key: Key,
    link: Arc<Link>,
    exchange: Mutex<Exchange>,
    /// What a request for a WebSocket came with.
    socket: Option<ClientSocket>,
    environ: Mutex<Option<Py<PyDict>>>,
    id: Vec<u8>,
}

impl From<Stop> for PyErr {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancelled => Gone::new_err("the client has left"),
            Stop::NoHead => Broken::new_err("the application sent a body before it called start_response"),
        }
    }
}

impl Stream {
    pub(crate) fn new(
        key: Key,
        link: Arc<Link>,
        exchange: Exchange,
        socket: Option<ClientSocket>,
        environ: Py<PyDict>,
        id: Vec<u8>,
    ) -> Self {
        Self {
            key,
            link,
            exchange: Mutex::new(exchange),
            socket,
            environ: Mutex::new(Some(environ)),
            id,
        }
    }

    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }

    /// The environ, once.
    pub(crate) fn take_environ(&self) -> Option<Py<PyDict>> {
        lock(&self.environ).take()
    }

    /// So many bytes more may be sent. `true`: whoever waited for that need not wait longer.
    pub(crate) fn grant(&self, bytes: u32) -> bool {
        let mut exchange = lock(&self.exchange);
        exchange.grant(bytes);
        !exchange.is_waiting()
    }

    pub(crate) fn cancel(&self) {
        lock(&self.exchange).cancel();
    }

    /// Does nobody wait for the answer any more?
    pub(crate) fn is_cancelled(&self) -> bool {
        lock(&self.exchange).is_cancelled()
    }

    /// The answer will not be completed; nothing when it is complete.
    pub(crate) fn abort(&self, reason: AbortReason) {
        lock(&self.exchange).abort(reason);
    }

    fn list(&self, py: Python<'_>, list: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut gathered = Vec::new();
        for element in list.try_iter()? {
            let element = element?;
            let bytes = chunk(&element)?.as_bytes();
            if gathered.len() + bytes.len() > GATHER && !gathered.is_empty() {
                lock(&self.exchange).body(py, &gathered, false)?;
                gathered.clear();
            }
            if bytes.len() > GATHER {
                lock(&self.exchange).body(py, bytes, false)?;
            } else {
                gathered.extend_from_slice(bytes);
            }
        }
        lock(&self.exchange).body(py, &gathered, true)?;
        Ok(())
    }
}

#[pymethods]
impl Stream {
    /// `start_response` without its result.
    #[pyo3(signature = (status, headers, exc_info = None))]
    fn start(
        &self,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let before = Before::of(&lock(&self.exchange));
        let head = before.replace(status, headers, exc_info)?;
        lock(&self.exchange).start(head);
        Ok(())
    }

    /// `wsgi.early_hints`, with a list of tuples.
    fn hint(&self, headers: &Bound<'_, PyList>) -> PyResult<()> {
        let payload = hints(headers)?;
        // Who is offered a socket answers there.
        if self.socket.is_none() {
            lock(&self.exchange).hint(&payload);
        }
        Ok(())
    }

    /// `write`; what has no credit is kept, and [`Stream::waits`].
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = data.cast::<PyBytes>().map_err(|_| {
            PyTypeError::new_err(format!("write() was given {}, and not bytes", type_name(data)))
        })?;
        if !bytes.as_bytes().is_empty() {
            lock(&self.exchange).body(data.py(), bytes.as_bytes(), false)?;
        }
        Ok(())
    }

    /// Sends all of an exact list or tuple. `False`: it is something else, and has to be iterated.
    fn whole(&self, iterable: &Bound<'_, PyAny>) -> PyResult<bool> {
        let exact = iterable.is_exact_instance_of::<PyList>() || iterable.is_exact_instance_of::<PyTuple>();
        if exact {
            self.list(iterable.py(), iterable)?;
        }
        Ok(exact)
    }

    /// Sends one element of an iterable. `True`: the rest need not come.
    fn chunk(&self, element: &Bound<'_, PyAny>) -> PyResult<bool> {
        let bytes = chunk(element)?.as_bytes();
        let mut exchange = lock(&self.exchange);
        if bytes.is_empty() {
            return if exchange.is_cancelled() {
                Err(Stop::Cancelled.into())
            } else {
                Ok(false)
            };
        }
        exchange.body(element.py(), bytes, false)?;
        Ok(exchange.is_full())
    }

    /// Has the last frame been written? Then it leaves with the other answers of its turn.
    fn over(&self) -> bool {
        lock(&self.exchange).over
    }

    /// Sends a regular file from a position on as the rest of the answer. `False`: it is none.
    fn file(&self, number: i32, offset: u64) -> PyResult<bool> {
        let Some(open) = OpenFile::of(number, offset) else {
            return Ok(false);
        };
        lock(&self.exchange).file(open)?;
        Ok(true)
    }

    /// Is there a rest that waits for credit?
    fn waits(&self) -> bool {
        lock(&self.exchange).is_waiting()
    }

    /// The application has no more. Gives what there is to complain about.
    fn finish(&self) -> PyResult<Option<&'static str>> {
        let mut exchange = lock(&self.exchange);
        let left = exchange.finish()?;
        if left > 0 {
            return Err(Broken::new_err(format!(
                "the application's answer ended {left} bytes short of its Content-Length"
            )));
        }
        let cut = exchange.cut;
        Ok(cut.then_some("the application sent more than its Content-Length; the rest was cut"))
    }

    /// [`Stream::is_cancelled`]
    fn cancelled(&self) -> bool {
        self.is_cancelled()
    }

    /// Ends an answer that will not be completed: the application raised, or else broke the interface.
    fn fail(&self, raised: bool) {
        self.abort(if raised {
            AbortReason::Exception
        } else {
            AbortReason::Protocol
        });
    }

    /// Ends a request whose application has answered on its socket, if an application that has may end like
    /// this: by an error, or without an answer (`None`). `False`: it is an ordinary failure.
    fn conclude(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>) -> bool {
        let Some(socket) = &self.socket else { return false };
        let ends = error.is_none_or(|error| ClientSocket::is_end(py, &PyErr::from_value(error)));
        let concluded = ends && socket.has_switched(py);
        if concluded {
            self.abort(AbortReason::Switched);
        }
        concluded
    }

    /// Has something been said that has not left?
    fn dirty(&self) -> bool {
        self.link.is_dirty()
    }
}

fn chunk<'a, 'py>(element: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyBytes>> {
    element.cast::<PyBytes>().map_err(|_| {
        Broken::new_err(format!(
            "the application's iterable gave {}, and not bytes",
            type_name(element)
        ))
    })
}
