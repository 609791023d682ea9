//! The coroutine that a task runs: the application's own, with our beginning and end around it.
//!
//! Being between the task and the application, it learns how a call ended without a callback in a later turn of the loop, and
//! nothing that an application raises reaches the task: a `SystemExit` would end the loop.

use std::sync::{Arc, Mutex};

use pyo3::{
    exceptions::{PyOSError, PyStopIteration},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyString, PyTuple, PyType},
};

use super::{
    channel::{ClientLeft, broken, thrown},
    exchange::{CUT, Ending, Exchange, request_line},
    host::Host,
    lifespan::Lifespan,
    websocket::WebSocket,
};
use crate::{
    engine::lock,
    ffi::{
        coroutine::{Step, outcome, step},
        exit_now,
    },
    output, report, signature,
    wsgi::head::type_name,
};

/// Most coroutines of a stack that are told.
const DEPTH_MAX: usize = 100;

/// Exceptions that are looked at behind the one that an application raised.
const CHAIN_MAX: usize = 8;

/// An application, and how it is called.
#[derive(Debug)]
pub(crate) struct Application {
    callable: Py<PyAny>,
    /// ASGI 2: called with the scope alone, gives something to be called with the rest.
    double: bool,
}

impl Application {
    pub(crate) fn new(py: Python<'_>, callable: Py<PyAny>) -> Self {
        let double = signature::is_asgi_2(callable.bind(py));
        Self { callable, double }
    }

    fn call<'py>(
        &self,
        py: Python<'py>,
        scope: Bound<'py, PyDict>,
        receive: Bound<'py, PyAny>,
        send: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let callable = self.callable.bind(py);
        if self.double {
            callable.call1((scope,))?.call1((receive, send))
        } else {
            callable.call1((scope, receive, send))
        }
    }
}

/// What the application is called for.
#[derive(Debug, Clone)]
pub(crate) enum Unit {
    Http(Arc<Exchange>),
    WebSocket(Arc<WebSocket>),
    Lifespan(Arc<Lifespan>),
}

impl Unit {
    /// Tells the log something of this request, behind its method and target.
    pub(crate) fn tell(&self, py: Python<'_>, what: &str) {
        self.say(what, |id, text| output::tell_of(py, id, text));
    }

    /// As [`Unit::tell`]: the application has failed, and the first line is an error of the log.
    fn fail(&self, py: Python<'_>, what: &str) {
        self.say(what, |id, text| output::fail_of(py, id, text));
    }

    /// Calls `say` with the request's id and `what` behind its method and target.
    fn say(&self, what: &str, say: impl Fn(&[u8], &str)) {
        let said = match self {
            Self::Http(exchange) => exchange.request(|request| {
                say(request.request_id, &format!("{}: {what}", request_line(request)));
            }),
            Self::WebSocket(socket) => socket.request(|request| {
                say(
                    request.request_id,
                    &format!("WebSocket {}: {what}", request_line(request)),
                );
            }),
            Self::Lifespan(_) => None,
        };
        if said.is_none() {
            say(b"", what);
        }
    }

    /// Does nobody wait for it any more?
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Http(exchange) => exchange.is_gone(),
            Self::WebSocket(socket) => socket.is_gone(),
            Self::Lifespan(_) => false,
        }
    }

    /// Nobody waits for it any more.
    pub(crate) fn leave(&self, py: Python<'_>) {
        match self {
            Self::Http(exchange) => exchange.leave(py),
            Self::WebSocket(socket) => socket.leave(py),
            Self::Lifespan(_) => {}
        }
    }

    /// The application has returned or raised.
    fn finish(&self, py: Python<'_>, raised: Option<PyErr>) {
        let gone = self.is_gone();
        // Frameworks raise what tells a view that its client has closed, and most views let it pass: the
        // traceback may help, but a client must not be able to write errors.
        let closed = matches!(self, Self::WebSocket(socket) if socket.has_ended());
        let ending = match self {
            Self::Lifespan(lifespan) => return lifespan.finish(py, raised),
            Self::Http(exchange) => exchange.finish(py, raised.is_some()),
            Self::WebSocket(socket) => socket.finish(py, raised.is_some()),
        };
        match ending {
            Ending::Fine | Ending::Gone => {}
            Ending::Cut => self.tell(py, CUT),
            Ending::Broken(what) => self.fail(py, &what),
        }
        // What an application raises because its client left, or because we cancelled it, is no error of it.
        if let Some(error) = raised
            && !(gone && (error.is_instance_of::<PyOSError>(py) || is_cancelled(py, &error)))
            && !is_of_leaving(error.value(py), CHAIN_MAX)
        {
            let text = format!("the application {}", report::raised(py, &error));
            if closed {
                self.tell(py, &text);
            } else {
                self.fail(py, &text);
            }
        }
    }
}

/// Was it raised because a `send` told that its client has left? Frameworks make exceptions of their own of
/// that, and task groups make groups.
fn is_of_leaving<'py>(error: &Bound<'py, PyAny>, depth: usize) -> bool {
    let py = error.py();
    if error.is_instance_of::<ClientLeft>() {
        return true;
    }
    if depth == 0 {
        return false;
    }
    let attribute = |name: &Bound<'py, PyString>| error.getattr_opt(name).ok().flatten();
    if let Some(members) = attribute(intern!(py, "exceptions")) {
        let Ok(members) = members.cast_into::<PyTuple>() else {
            return false;
        };
        return !members.is_empty() && members.iter().all(|member| is_of_leaving(&member, depth - 1));
    }
    [intern!(py, "__cause__"), intern!(py, "__context__")]
        .into_iter()
        .filter_map(attribute)
        .any(|before| is_of_leaving(&before, depth - 1))
}

pub(crate) fn is_cancelled(py: Python<'_>, error: &PyErr) -> bool {
    py.import("asyncio")
        .and_then(|asyncio| asyncio.getattr("CancelledError"))
        .and_then(|cancelled| Ok(cancelled.cast_into::<PyType>()?))
        .is_ok_and(|cancelled| error.is_instance(py, &cancelled))
}

/// One call of the application.
#[pyclass(frozen, module = "appliance_worker")]
#[derive(Debug)]
pub(crate) struct Call {
    host: Arc<Host>,
    unit: Unit,
    state: Mutex<State>,
    /// The task that runs it. Held here until its end: asyncio itself only remembers tasks weakly.
    task: Mutex<Option<Py<PyAny>>>,
}

#[derive(Debug)]
enum State {
    /// Not begun: scope, receive, send.
    New(Py<PyDict>, Py<PyAny>, Py<PyAny>),
    /// The application's coroutine, or the iterator of what it returned.
    Running(Py<PyAny>),
    Over,
}

impl Call {
    pub(crate) fn new(
        host: &Arc<Host>,
        unit: Unit,
        scope: Bound<'_, PyDict>,
        receive: Bound<'_, PyAny>,
        send: Bound<'_, PyAny>,
    ) -> Self {
        Self {
            host: Arc::clone(host),
            unit,
            state: Mutex::new(State::New(scope.unbind(), receive.unbind(), send.unbind())),
            task: Mutex::default(),
        }
    }

    /// Holds the task until the call is over.
    pub(crate) fn keep(&self, task: Bound<'_, PyAny>) {
        if !matches!(*lock(&self.state), State::Over) {
            *lock(&self.task) = Some(task.unbind());
        }
    }

    /// No task runs it. `false`: one has begun to.
    pub(crate) fn give_up(&self) -> bool {
        let mut state = lock(&self.state);
        let new = matches!(*state, State::New(..));
        // Dropped without the lock: it may hold the last of an object whose end runs Python code.
        let unused = new.then(|| std::mem::replace(&mut *state, State::Over));
        drop(state);
        drop(unused);
        new
    }

    /// The task, while it runs.
    pub(crate) fn task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        lock(&self.task).as_ref().map(|task| task.bind(py).clone())
    }

    /// What it serves, if that is a request.
    pub(crate) fn request(&self) -> Option<&Unit> {
        (!matches!(self.unit, Unit::Lifespan(_))).then_some(&self.unit)
    }

    /// The coroutine, which begins with the first step, so that the application is called inside its task.
    fn coroutine<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let new = {
            let mut state = lock(&self.state);
            match &*state {
                State::Running(coroutine) => return Ok(Some(coroutine.bind(py).clone())),
                State::Over => return Ok(None),
                State::New(..) => std::mem::replace(&mut *state, State::Over),
            }
        };
        let State::New(scope, receive, send) = new else {
            return Ok(None);
        };
        let returned = self.host.application.call(
            py,
            scope.into_bound(py),
            receive.into_bound(py),
            send.into_bound(py),
        )?;
        let coroutine = awaited(&returned)?;
        *lock(&self.state) = State::Running(coroutine.clone().unbind());
        Ok(Some(coroutine))
    }

    /// What the application waits for now; `None`: it is over.
    fn after<'py>(&self, py: Python<'py>, step: PyResult<Step<'py>>) -> Option<Bound<'py, PyAny>> {
        if self.host.evented.is_disowned() {
            // The application has forked, and its child comes back out of the view.
            exit_now(0);
        }
        let raised = match step {
            Ok(Step::Yielded(yielded)) => return Some(yielded),
            Ok(Step::Returned) => None,
            Err(error) => Some(error),
        };
        self.end(py, raised);
        None
    }

    fn end(&self, py: Python<'_>, raised: Option<PyErr>) {
        // Dropped without the locks: the end of a coroutine runs Python code.
        let ended = std::mem::replace(&mut *lock(&self.state), State::Over);
        let task = lock(&self.task).take();
        drop((ended, task));
        self.unit.finish(py, raised);
        if !matches!(self.unit, Unit::Lifespan(_)) {
            self.host.returned(py);
        }
    }

    /// Where the application stands, innermost last.
    pub(crate) fn stack(&self, py: Python<'_>) -> String {
        let mut next = match &*lock(&self.state) {
            State::Running(coroutine) => Some(coroutine.bind(py).clone()),
            _ => None,
        };
        let mut text = String::new();
        for _ in 0..DEPTH_MAX {
            let Some(current) = next.take() else { break };
            for (frame, inner) in [
                ("cr_frame", "cr_await"),
                ("gi_frame", "gi_yieldfrom"),
                ("ag_frame", "ag_await"),
            ] {
                let Ok(frame) = current.getattr(frame) else {
                    continue;
                };
                let lines: PyResult<Vec<String>> = py
                    .import("traceback")
                    .and_then(|traceback| traceback.call_method1("format_stack", (frame, 1)))
                    .and_then(|lines| lines.extract());
                text.push_str(&lines.unwrap_or_default().concat());
                next = current.getattr(inner).ok().filter(|inner| !inner.is_none());
                break;
            }
        }
        text
    }
}

/// The coroutine itself, or the iterator of another awaitable.
fn awaited<'py>(returned: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = returned.py();
    static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    // A coroutine can be sent into as it is.
    if returned
        .get_type()
        .is(COROUTINE.import(py, "types", "CoroutineType")?)
    {
        return Ok(returned.clone());
    }
    match returned.getattr_opt(intern!(py, "__await__"))? {
        Some(method) => method.call0(),
        None => Err(broken(format!(
            "the application returned {}, which can not be awaited: is it a WSGI application?",
            type_name(returned)
        ))),
    }
}

#[pymethods]
impl Call {
    fn __await__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let stepped = match self.coroutine(py) {
            Ok(Some(coroutine)) => step(&coroutine, py.None().bind(py)),
            Ok(None) => return None,
            Err(error) => Err(error),
        };
        self.after(py, stepped).map(Bound::unbind)
    }

    fn send(&self, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = value.py();
        let stepped = match self.coroutine(py) {
            Ok(Some(coroutine)) => step(&coroutine, value),
            Ok(None) => return Err(PyStopIteration::new_err(())),
            Err(error) => Err(error),
        };
        match self.after(py, stepped) {
            Some(yielded) => Ok(yielded.unbind()),
            None => Err(PyStopIteration::new_err(())),
        }
    }

    #[pyo3(signature = (error, value = None, traceback = None))]
    fn throw(
        &self,
        error: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = error.py();
        let running = match &*lock(&self.state) {
            State::Running(coroutine) => Some(coroutine.bind(py).clone()),
            _ => None,
        };
        let raised = thrown(error, value, traceback);
        let stepped = match running {
            Some(coroutine) => match coroutine.getattr_opt(intern!(py, "throw"))? {
                Some(throw) => outcome(py, throw.call1((raised.value(py),))),
                None => Err(raised),
            },
            None if matches!(*lock(&self.state), State::Over) => return Err(raised),
            None => Err(raised),
        };
        match self.after(py, stepped) {
            Some(yielded) => Ok(yielded.unbind()),
            None => Err(PyStopIteration::new_err(())),
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let running = match &*lock(&self.state) {
            State::Running(coroutine) => Some(coroutine.bind(py).clone()),
            State::New(..) => None,
            State::Over => return Ok(()),
        };
        if let Some(coroutine) = running
            && let Some(close) = coroutine.getattr_opt(intern!(py, "close"))?
        {
            close.call0()?;
        }
        self.end(py, None);
        Ok(())
    }

    #[getter]
    fn __qualname__<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, "request")
    }
}
