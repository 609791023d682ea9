//! `receive` and `send` as the application sees them, and what a call of them returns.
//!
//! Both return something that can be awaited and, because applications make tasks of it, something that asyncio takes for a
//! coroutine. When the result is at hand, awaiting it makes no future and the loop does not turn.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use pyo3::{
    exceptions::{PyBrokenPipeError, PyRuntimeError, PyStopIteration},
    intern,
    prelude::*,
};

use super::host::Host;
use crate::engine::lock;

pyo3::create_exception!(
    appliance_worker,
    ClientLeft,
    PyBrokenPipeError,
    "Nobody takes what is sent."
);

/// The other end of `receive` and `send`: an exchange, a WebSocket, a lifespan.
pub(crate) trait Peer: Send + Sync + std::fmt::Debug {
    /// The next event for the application, when there is one.
    fn receive(&self, py: Python<'_>) -> PyResult<Received>;
    /// Takes an event of the application.
    fn send(&self, py: Python<'_>, event: &Bound<'_, PyAny>) -> PyResult<Sent>;
    /// May an application go on that had to wait after a `send`?
    fn is_sent(&self) -> bool;
    /// Who waits for the one or for the other.
    fn waiters(&self, of: Wanted) -> std::sync::MutexGuard<'_, Vec<Py<PyAny>>>;
    fn host(&self) -> &Host;
}

/// What there is to receive.
#[derive(Debug)]
pub(crate) enum Received {
    Event(Py<PyAny>),
    /// An event that the application has been given before: who asks again and again lets the loop turn in
    /// between.
    Again(Py<PyAny>),
    Nothing,
}

/// May the application go on at once?
#[derive(Debug)]
pub(crate) enum Sent {
    All,
    Wait,
    /// After a turn of the loop: it has sent to nobody, or nothing, and might never stop.
    Turn,
    /// After a turn of the loop, with this error: who catches it and goes on might never stop either.
    Refused(PyErr),
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Received,
    Sent,
}

/// `receive`
#[pyclass(frozen, module = "appliance_worker")]
#[derive(Debug)]
pub(crate) struct Receive {
    pub(crate) peer: Arc<dyn Peer>,
}

#[pymethods]
impl Receive {
    fn __call__(&self) -> Waiting {
        Waiting::new(&self.peer, Some(Wanted::Received))
    }
}

/// `send`
#[pyclass(frozen, module = "appliance_worker")]
#[derive(Debug)]
pub(crate) struct Send_ {
    pub(crate) peer: Arc<dyn Peer>,
}

#[pymethods]
impl Send_ {
    #[pyo3(signature = (event, /))]
    fn __call__<'py>(&self, event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = event.py();
        let waiting = match self.peer.send(py, event)? {
            Sent::All => return Ok(self.peer.host().done.bind(py).clone().into_any()),
            Sent::Wait => Waiting::new(&self.peer, Some(Wanted::Sent)),
            Sent::Turn => Waiting::new(&self.peer, None),
            Sent::Refused(error) => Waiting {
                refusal: Some(error),
                ..Waiting::new(&self.peer, None)
            },
        };
        Ok(Bound::new(py, waiting)?.into_any())
    }
}

/// The result of a `send` that need not wait; one for all.
#[pyclass(frozen, module = "appliance_worker")]
#[derive(Debug)]
pub(crate) struct Done;

#[pymethods]
impl Done {
    fn __await__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self) -> Option<Py<PyAny>> {
        None
    }

    fn send(&self, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        Err(PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (error, value = None, traceback = None))]
    fn throw(
        &self,
        error: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Err(thrown(error, value, traceback))
    }

    fn close(&self) {}
}

/// What is awaited until the peer has something.
#[pyclass(frozen, module = "appliance_worker")]
#[derive(Debug)]
pub(crate) struct Waiting {
    peer: Arc<dyn Peer>,
    /// `None`: nothing but that the loop turns.
    wanted: Option<Wanted>,
    /// The loop has turned since.
    turned: AtomicBool,
    /// What is raised then.
    refusal: Option<PyErr>,
}

impl Waiting {
    fn new(peer: &Arc<dyn Peer>, wanted: Option<Wanted>) -> Self {
        Self {
            peer: Arc::clone(peer),
            wanted,
            turned: AtomicBool::new(false),
            refusal: None,
        }
    }

    /// Has the loop turned since this was asked the first time?
    fn has_turned(&self) -> bool {
        self.turned.swap(true, Ordering::Relaxed)
    }
}

#[pymethods]
impl Waiting {
    fn __await__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        // A task that is given nothing to wait for is called again in the next turn.
        let Some(wanted) = self.wanted else {
            return match &self.refusal {
                _ if !self.has_turned() => Ok(Some(py.None())),
                Some(error) => Err(error.clone_ref(py)),
                None => Ok(None),
            };
        };
        match wanted {
            Wanted::Received => match self.peer.receive(py)? {
                Received::Again(_) if !self.has_turned() => return Ok(Some(py.None())),
                Received::Event(event) | Received::Again(event) => {
                    return Err(PyStopIteration::new_err((event,)));
                }
                Received::Nothing => {}
            },
            Wanted::Sent => {
                if self.peer.is_sent() {
                    return Ok(None);
                }
            }
        }
        let future = self.peer.host().event_loop.future(py)?;
        // What the future's own `__await__` does before it gives itself to the task.
        future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
        wait(py, &mut self.peer.waiters(wanted), &future)?;
        Ok(Some(future.unbind()))
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.__next__(py)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (error, value = None, traceback = None))]
    fn throw(
        &self,
        error: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Err(thrown(error, value, traceback))
    }

    fn close(&self) {}
}

/// The exception that `throw` was called with, in either of its forms.
pub(crate) fn thrown(
    error: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    traceback: Option<&Bound<'_, PyAny>>,
) -> PyErr {
    let raised = match value {
        Some(value) if !value.is_none() && !value.is_instance(error).unwrap_or(false) => {
            match error.call1((value,)) {
                Ok(made) => PyErr::from_value(made),
                Err(error) => error,
            }
        }
        Some(value) if !value.is_none() => PyErr::from_value(value.clone()),
        // A type stands for a new one of it.
        _ => PyErr::from_value(error.clone()),
    };
    if let Some(traceback) = traceback.and_then(|traceback| traceback.cast().ok()) {
        raised.set_traceback(error.py(), Some(traceback.clone()));
    }
    raised
}

/// Adds one who waits. Those who gave up are forgotten: a stream may be asked with a timeout for hours, and nothing comes.
fn wait(py: Python<'_>, waiters: &mut Vec<Py<PyAny>>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    let mut at = 0;
    while let Some(other) = waiters.get(at) {
        if other.bind(py).call_method0(intern!(py, "done"))?.is_truthy()? {
            waiters.swap_remove(at);
        } else {
            at += 1;
        }
    }
    waiters.push(future.clone().unbind());
    Ok(())
}

/// Wakes all of them; each looks again whether its turn has come.
pub(crate) fn wake(py: Python<'_>, waiters: &std::sync::Mutex<Vec<Py<PyAny>>>) {
    let woken = {
        let mut waiters = lock(waiters);
        if waiters.is_empty() {
            return;
        }
        std::mem::take(&mut *waiters)
    };
    for future in woken {
        // One that was cancelled meanwhile says so by an exception, and nobody waits on it.
        let _ = future
            .bind(py)
            .call_method1(intern!(py, "set_result"), (py.None(),));
    }
}

/// The application has said something that it may not, or not now.
pub(crate) fn broken(what: String) -> PyErr {
    PyRuntimeError::new_err(what)
}
