//! `receive` and `send` as the application sees them, and what a call of them returns.
//!
//! Both return something that can be awaited and, because applications make tasks of it, something that asyncio takes for a
//! coroutine. When the result is at hand, awaiting it makes no future and the loop does not turn.

use std::sync::Arc;

use pyo3::{
    exceptions::{PyRuntimeError, PyStopIteration},
    intern,
    prelude::*,
};

use super::host::Host;
use crate::engine::lock;

/// The other end of `receive` and `send`: an exchange, a WebSocket, a lifespan.
pub(crate) trait Peer: Send + Sync + std::fmt::Debug {
    /// The next event for the application, when there is one.
    fn receive(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>>;
    /// Takes an event of the application.
    fn send(&self, py: Python<'_>, event: &Bound<'_, PyAny>) -> PyResult<Sent>;
    /// May an application go on that had to wait after a `send`?
    fn is_sent(&self) -> bool;
    /// Who waits for the one or for the other.
    fn waiters(&self, of: Wanted) -> std::sync::MutexGuard<'_, Vec<Py<PyAny>>>;
    fn host(&self) -> &Host;
}

/// May the application go on at once?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    Wait,
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
        Waiting {
            peer: Arc::clone(&self.peer),
            wanted: Wanted::Received,
        }
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
        match self.peer.send(py, event)? {
            Sent::All => Ok(self.peer.host().done.bind(py).clone().into_any()),
            Sent::Wait => Ok(Bound::new(
                py,
                Waiting {
                    peer: Arc::clone(&self.peer),
                    wanted: Wanted::Sent,
                },
            )?
            .into_any()),
        }
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
    wanted: Wanted,
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
        match self.wanted {
            Wanted::Received => {
                if let Some(event) = self.peer.receive(py)? {
                    return Err(PyStopIteration::new_err((event,)));
                }
            }
            Wanted::Sent => {
                if self.peer.is_sent() {
                    return Ok(None);
                }
            }
        }
        let future = self.peer.host().event_loop.future(py)?;
        // What the future's own `__await__` does before it gives itself to the task.
        future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
        wait(py, &mut self.peer.waiters(self.wanted), &future)?;
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
