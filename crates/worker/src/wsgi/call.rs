//! One request: the application is called, its iterable is sent, `close()` is called.

use std::sync::Arc;

use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyTuple},
};
use wire::{frame::AbortReason, request::Request};

use super::{
    client_socket::ClientSocket,
    early_hints::Hints,
    environ::Environ,
    exchange::{Exchange, Stop},
    file_wrapper::FileWrapper,
    head::type_name,
    input::Input,
    start_response::StartResponse,
};
use crate::{
    engine::{job::Job, queue::Queue},
    output, report,
};

/// Most bytes of a list's elements that are put together before they are sent.
const GATHER: usize = 64 << 10;

/// What one host thread needs to call a WSGI application.
#[derive(Debug)]
pub(crate) struct Caller {
    application: Py<PyAny>,
    environ: Environ,
    hints: Hints,
    queue: Arc<Queue>,
    slot: usize,
}

/// Why an answer was not completed.
enum Failure {
    /// The application raised.
    Raised(PyErr),
    /// The application broke the interface, in words.
    Broken(String),
    /// Nobody waits for it.
    Cancelled,
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancelled => Self::Cancelled,
            Stop::NoHead => {
                Self::Broken("the application sent a body before it called start_response".to_owned())
            }
        }
    }
}

impl Caller {
    pub(crate) fn new(
        py: Python<'_>,
        application: Py<PyAny>,
        queue: &Arc<Queue>,
        slot: usize,
    ) -> PyResult<Self> {
        let environ = Environ::new(py, queue.slots.len())?;
        Ok(Self {
            application,
            hints: Hints::new(py, environ.template(py))?,
            environ,
            queue: Arc::clone(queue),
            slot,
        })
    }

    /// Runs a claimed request. Whatever happens, the stream has ended afterwards.
    pub(crate) fn run(&mut self, py: Python<'_>, mut job: Job) {
        let Ok((request, inline)) = Request::decode(&job.payload) else {
            output::tell(py, "a request of the proxy can not be read");
            job.link.abort(job.stream, AbortReason::Protocol);
            return;
        };
        output::begin(request.request_id);
        let mut exchange = Exchange::new(
            &self.queue,
            self.slot,
            &job.link,
            job.stream,
            request.method == b"HEAD",
        );
        if !job.whole {
            output::tell(
                py,
                "a request whose body is still arriving can not be given to WSGI",
            );
            exchange.abort(AbortReason::Protocol);
            output::end(py);
            return;
        }
        let websocket = request.websocket;
        let file = job
            .body
            .take()
            .map(|file| Input::file(file, request.content_length));
        let environ = self
            .hints
            .renew(py, self.environ.template(py))
            .and_then(|()| self.environ.build(py, &request, file));
        let inline_at = job.payload.len() - inline.len();
        let environ = match environ {
            Ok(environ) if inline_at == job.payload.len() => Ok(environ),
            Ok(environ) => {
                let input = Input::memory(std::mem::take(&mut job.payload), inline_at);
                Bound::new(py, input)
                    .and_then(|input| environ.set_item(intern!(py, "wsgi.input"), input))
                    .map(|()| environ)
            }
            Err(error) => Err(error),
        };
        let socket = match &environ {
            Ok(environ) if websocket => ClientSocket::give(py, environ, &job.link, job.stream).map(Some),
            _ => Ok(None),
        };
        let prepared = environ.and_then(|environ| {
            let socket = socket?;
            Ok((Bound::new(py, StartResponse { exchange, socket })?, environ))
        });
        match prepared {
            Ok((start_response, environ)) => {
                if websocket {
                    // Nobody knows when the application's first byte comes, and the proxy has to listen for
                    // it.
                    py.detach(|| job.link.flush());
                } else {
                    self.hints.begin(&start_response);
                }
                self.answer(py, &start_response, environ);
                self.hints.end();
            }
            Err(error) => {
                output::fail(
                    py,
                    &format!("a request failed: the server {}", report::raised(py, &error)),
                );
                job.link.abort(job.stream, AbortReason::Exception);
            }
        }
        output::end(py);
    }

    fn answer(
        &mut self,
        py: Python<'_>,
        start_response: &Bound<'_, StartResponse>,
        environ: Bound<'_, PyDict>,
    ) {
        let called = self.application.bind(py).call1((&environ, start_response));
        let (sent, iterable) = match called {
            Ok(iterable) => (self.send(start_response, &iterable), Some(iterable)),
            Err(error) => (Err(Failure::Raised(error)), None),
        };
        if let Err(failure) = sent {
            tell_failure(py, start_response, &environ, failure);
        }
        let Some(iterable) = iterable else { return };
        if iterable.is_exact_instance_of::<PyList>() || iterable.is_exact_instance_of::<PyTuple>() {
            return;
        }
        self.close(py, start_response, &iterable, &environ);
    }

    fn close(
        &self,
        py: Python<'_>,
        start_response: &Bound<'_, StartResponse>,
        iterable: &Bound<'_, PyAny>,
        environ: &Bound<'_, PyDict>,
    ) {
        let close = match iterable.getattr_opt(intern!(py, "close")) {
            Ok(Some(close)) => close,
            Ok(None) => return,
            Err(error) => return tell_failure(py, start_response, environ, Failure::Raised(error)),
        };
        // It may do real work (signals, database connections, callbacks), and the answer should not wait for
        // that.
        if let Ok(start_response) = start_response.try_borrow() {
            self.flush_idle(py, &start_response.exchange);
        }
        if let Err(error) = close.call0() {
            tell_failure(py, start_response, environ, Failure::Raised(error));
        }
    }

    /// Code of the application runs next, behind the end of its answer. The last answer of a batch would be
    /// sent right afterwards, so it can as well be sent now.
    fn flush_idle(&self, py: Python<'_>, exchange: &Exchange) {
        if self.queue.is_empty() {
            exchange.flush(py);
        } else {
            self.queue.ticker.watch();
        }
    }

    /// Sends what the application returned.
    fn send(
        &self,
        start_response: &Bound<'_, StartResponse>,
        iterable: &Bound<'_, PyAny>,
    ) -> Result<(), Failure> {
        let py = start_response.py();
        if let Some(only) = only_element(iterable) {
            let bytes = chunk(&only)?;
            exchange(start_response, |exchange| {
                exchange.body(py, bytes.as_bytes(), true)
            })?;
            return finish(start_response);
        }
        if let Ok(wrapper) = iterable.cast_exact::<FileWrapper>()
            && let Some(open) = wrapper.try_borrow().map_err(PyErr::from)?.open_file(py)
        {
            exchange(start_response, |exchange| exchange.file(open))?;
            return finish(start_response);
        }
        if iterable.is_exact_instance_of::<PyList>() || iterable.is_exact_instance_of::<PyTuple>() {
            return send_list(start_response, iterable);
        }
        for element in iterable.try_iter()? {
            let element = element?;
            let bytes = chunk(&element)?;
            if bytes.as_bytes().is_empty() {
                if exchange(start_response, |exchange| Ok(exchange.is_cancelled()))? {
                    return Err(Failure::Cancelled);
                }
                continue;
            }
            let done = exchange(start_response, |exchange| {
                exchange.body(py, bytes.as_bytes(), false)?;
                if exchange.over {
                    self.flush_idle(py, exchange);
                } else {
                    exchange.flush(py);
                }
                Ok(exchange.is_full())
            })?;
            if done {
                break;
            }
        }
        finish(start_response)
    }
}

/// The elements of a list are all there, so nothing waits for the next one: they go out together.
fn send_list(start_response: &Bound<'_, StartResponse>, list: &Bound<'_, PyAny>) -> Result<(), Failure> {
    let py = start_response.py();
    let mut gathered = Vec::new();
    for element in list.try_iter()? {
        let element = element?;
        let bytes = chunk(&element)?.as_bytes();
        if gathered.len() + bytes.len() > GATHER && !gathered.is_empty() {
            exchange(start_response, |exchange| exchange.body(py, &gathered, false))?;
            gathered.clear();
        }
        if bytes.len() > GATHER {
            exchange(start_response, |exchange| exchange.body(py, bytes, false))?;
        } else {
            gathered.extend_from_slice(bytes);
        }
    }
    exchange(start_response, |exchange| exchange.body(py, &gathered, true))?;
    finish(start_response)
}

/// The one element of a list or tuple: by far the most frequent answer.
#[inline]
fn only_element<'py>(iterable: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if let Ok(list) = iterable.cast_exact::<PyList>() {
        return (list.len() == 1).then(|| list.get_item(0).ok()).flatten();
    }
    let tuple = iterable.cast_exact::<PyTuple>().ok()?;
    (tuple.len() == 1).then(|| tuple.get_item(0).ok()).flatten()
}

fn chunk<'a, 'py>(element: &'a Bound<'py, PyAny>) -> Result<&'a Bound<'py, PyBytes>, Failure> {
    element.cast::<PyBytes>().map_err(|_| {
        Failure::Broken(format!(
            "the application's iterable gave {}, and not bytes",
            type_name(element)
        ))
    })
}

/// Works on the answer; no Python code runs meanwhile, so nobody else borrows it.
#[inline]
fn exchange<T>(
    start_response: &Bound<'_, StartResponse>,
    work: impl FnOnce(&mut Exchange) -> Result<T, Stop>,
) -> Result<T, Failure> {
    let mut start_response = start_response.try_borrow_mut().map_err(PyErr::from)?;
    Ok(work(&mut start_response.exchange)?)
}

fn finish(start_response: &Bound<'_, StartResponse>) -> Result<(), Failure> {
    let py = start_response.py();
    let (left, cut) = exchange(start_response, |exchange| Ok((exchange.finish()?, exchange.cut)))?;
    if cut {
        output::tell(
            py,
            "the application sent more than its Content-Length; the rest was cut",
        );
    }
    if left > 0 {
        return Err(Failure::Broken(format!(
            "the application's answer ended {left} bytes short of its Content-Length"
        )));
    }
    Ok(())
}

/// Ends the answer and tells why, with the traceback when there is one.
fn tell_failure(
    py: Python<'_>,
    start_response: &Bound<'_, StartResponse>,
    environ: &Bound<'_, PyDict>,
    failure: Failure,
) {
    let Ok(mut start_response) = start_response.try_borrow_mut() else {
        return;
    };
    let cancelled = start_response.exchange.is_cancelled();
    let socket = start_response.socket.as_ref();
    if socket.is_some_and(|socket| socket.has_switched(py))
        && match &failure {
            Failure::Raised(error) => ClientSocket::is_end(py, error),
            Failure::Broken(_) | Failure::Cancelled => true,
        }
    {
        return start_response.exchange.abort(AbortReason::Switched);
    }
    let interrupted = start_response.exchange.was_interrupted();
    let reason = match &failure {
        // It ended because we wanted it to.
        Failure::Raised(_) if interrupted => AbortReason::Cancelled,
        Failure::Raised(_) => AbortReason::Exception,
        Failure::Broken(_) => AbortReason::Protocol,
        Failure::Cancelled => AbortReason::Cancelled,
    };
    start_response.exchange.abort(reason);
    drop(start_response);
    let variable = |name: &str| {
        environ
            .get_item(name)
            .ok()
            .flatten()
            .map_or_else(String::new, |value| value.to_string())
    };
    let request = || format!("{} {}", variable("REQUEST_METHOD"), variable("REQUEST_URI"));
    match failure {
        // What an application raises because its client left is no error of it.
        Failure::Cancelled => {}
        Failure::Raised(error)
            if cancelled && error.is_instance_of::<pyo3::exceptions::PyBrokenPipeError>(py) => {}
        Failure::Raised(error) if interrupted => output::tell(
            py,
            &format!(
                "{}: still ran when its time was over, and was interrupted; it stood at\n{}",
                request(),
                report::traceback(py, &error)
            ),
        ),
        Failure::Raised(error) => {
            output::fail(
                py,
                &format!("{}: the application {}", request(), report::raised(py, &error)),
            );
        }
        Failure::Broken(what) => output::fail(py, &format!("{}: {what}", request())),
    }
}
