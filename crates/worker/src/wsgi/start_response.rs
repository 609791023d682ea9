//! `start_response` and the `write` that it returns.

use pyo3::{
    exceptions::{PyAssertionError, PyBrokenPipeError, PyTypeError},
    prelude::*,
    types::{PyBytes, PyTuple},
};

use super::{
    client_socket::ClientSocket,
    exchange::{Exchange, Stop},
    head::{Head, type_name},
};

/// What the application calls before its first byte.
#[pyclass(module = "appliance_worker")]
pub(crate) struct StartResponse {
    pub(crate) exchange: Exchange,
    /// What a request for a WebSocket came with.
    pub(crate) socket: Option<ClientSocket>,
}

#[pymethods]
impl StartResponse {
    // PEP 3333 has three positional parameters; middleware that names the last one relies on what every server takes.
    #[pyo3(signature = (status, headers, exc_info = None))]
    fn __call__(
        this: &Bound<'_, Self>,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Write> {
        let before = Before::of(&this.try_borrow()?.exchange);
        let head = before.replace(status, headers, exc_info)?;
        this.try_borrow_mut()?.exchange.start(head);
        Ok(Write {
            start_response: this.clone().unbind(),
        })
    }
}

/// How far an answer was when `start_response` was called.
pub(crate) struct Before {
    sent: bool,
    again: bool,
}

impl Before {
    pub(crate) fn of(exchange: &Exchange) -> Self {
        Self {
            sent: exchange.sent || exchange.over,
            again: exchange.has_head(),
        }
    }

    /// The head from the arguments of `start_response`, when one may come now.
    pub(crate) fn replace(
        &self,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Head> {
        match exc_info {
            // Too late to replace the head: the error goes on to us.
            Some(exc_info) if self.sent => return Err(raised(exc_info)?),
            Some(_) => {}
            None if self.again => {
                return Err(PyAssertionError::new_err(
                    "start_response was called again without exc_info",
                ));
            }
            None if self.sent => {
                return Err(PyAssertionError::new_err(
                    "start_response was called after the answer's end",
                ));
            }
            None => {}
        }
        Head::new(status.py(), status, headers)
    }
}

/// The exception of an `exc_info` triple.
fn raised(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let triple = exc_info
        .cast::<PyTuple>()
        .map_err(|_| PyTypeError::new_err(format!("exc_info is {}, and not a tuple", type_name(exc_info))))?;
    let value = triple.get_item(1)?;
    let traceback = triple.get_item(2)?;
    if !traceback.is_none() {
        return Ok(PyErr::from_value(
            value.call_method1("with_traceback", (traceback,))?,
        ));
    }
    Ok(PyErr::from_value(value))
}

/// The imperative way to send body bytes; each call sends at once.
#[pyclass(frozen, module = "appliance_worker")]
pub(crate) struct Write {
    start_response: Py<StartResponse>,
}

#[pymethods]
impl Write {
    #[pyo3(signature = (data, /))]
    fn __call__(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        let bytes = data.cast::<PyBytes>().map_err(|_| {
            PyTypeError::new_err(format!("write() was given {}, and not bytes", type_name(data)))
        })?;
        let mut start_response = self.start_response.bind(py).try_borrow_mut()?;
        if bytes.as_bytes().is_empty() {
            return Ok(());
        }
        match start_response.exchange.body(py, bytes.as_bytes(), false) {
            Ok(()) => {
                start_response.exchange.flush(py);
                Ok(())
            }
            Err(Stop::Cancelled) => Err(PyBrokenPipeError::new_err("the client has left")),
            Err(Stop::NoHead) => Err(PyAssertionError::new_err(
                "write() was called before start_response",
            )),
        }
    }
}
