//! `wsgi.early_hints`: fields that the client gets before the answer, as a 103 (RFC 8297). As gunicorn offers
//! it.
//!
//! What the application calls must know its own request, also when it is kept and called much later. A new
//! object for each request would cost all applications for what few of them use; so a host thread gives the
//! same one again, unless somebody kept it.

use std::sync::Mutex;

use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};

use super::{head, start_response::StartResponse};
use crate::{engine::lock, ffi::references::references};

/// What the application calls with an iterable of names and values.
#[pyclass(frozen, module = "appliance_worker")]
#[derive(Debug, Default)]
pub(crate) struct EarlyHints {
    /// The request that it belongs to, while that runs.
    running: Mutex<Option<Py<StartResponse>>>,
}

#[pymethods]
impl EarlyHints {
    fn __call__(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = headers.py();
        let running = lock(&self.running).as_ref().map(|running| running.clone_ref(py));
        let Some(running) = running else { return Ok(()) };
        let fields = PyList::new(py, headers.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
        let payload = head::hints(&fields)?;
        // One that is in use is being sent by another thread: it is too late for hints.
        if let Ok(mut running) = running.bind(py).try_borrow_mut() {
            running.exchange.hint(&payload);
            running.exchange.flush(py);
        }
        Ok(())
    }
}

/// The one object of a host thread, as it stands in the template of its environs.
#[derive(Debug)]
pub(crate) struct Hints {
    current: Py<EarlyHints>,
}

/// References to it when no application has one: ours and the template's.
const UNSHARED: isize = 2;

impl Hints {
    pub(crate) fn new(py: Python<'_>, template: &Bound<'_, PyDict>) -> PyResult<Self> {
        let current = Py::new(py, EarlyHints::default())?;
        template.set_item(KEY, &current)?;
        Ok(Self { current })
    }

    /// Before an environ is made.
    pub(crate) fn renew(&mut self, py: Python<'_>, template: &Bound<'_, PyDict>) -> PyResult<()> {
        if references(self.current.bind(py)) > UNSHARED {
            *self = Self::new(py, template)?;
        }
        Ok(())
    }

    /// This request runs now.
    pub(crate) fn begin(&self, start_response: &Bound<'_, StartResponse>) {
        *lock(&self.current.get().running) = Some(start_response.clone().unbind());
    }

    /// It is over.
    pub(crate) fn end(&self) {
        let over = lock(&self.current.get().running).take();
        drop(over);
    }
}

/// The variable's name.
const KEY: &str = "wsgi.early_hints";
