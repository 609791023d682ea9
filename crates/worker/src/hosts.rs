//! The threads that run a WSGI application.
//!
//! An application that patches the standard library itself (`gevent.monkey.patch_all()` in its module) runs
//! in the main greenlet of the main thread, as under gunicorn's sync workers. Where the configuration says
//! more than one thread for it, it is the business of [`green`](crate::green).

use std::sync::Arc;

use pyo3::{
    prelude::*,
    types::{PyCFunction, PyDict, PyTuple},
};

use crate::{
    application,
    boot::Boot,
    engine::queue::Queue,
    wsgi::host::{self, Select},
};

/// How many threads this application gets.
pub(crate) fn threads(py: Python<'_>, boot: &Boot) -> usize {
    match application::patched_by(py, boot.threads_patched) {
        Some(_) => boot.threads_patched,
        None => boot.threads,
    }
}

/// Runs the host threads until the worker is told to leave. The first one is the main thread, where Python
/// runs signal handlers and where applications expect to be; with one thread there is no other.
pub(crate) fn serve(py: Python<'_>, queue: &Arc<Queue>, application: &Py<PyAny>) -> PyResult<()> {
    if application::patched_by(py, queue.slots.len()).is_some() {
        // Its greenlets run while there is no request.
        let select = Select::new(py)?;
        return host::run(py, queue, 0, application.clone_ref(py), Some(&select));
    }
    let threading = py.import("threading")?;
    let mut others = Vec::new();
    for index in 1..queue.slots.len() {
        let (of_thread, called) = (Arc::clone(queue), application.clone_ref(py));
        let life = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            let py = arguments.py();
            host::run(py, &of_thread, index, called.clone_ref(py), None)
        };
        let options = PyDict::new(py);
        options.set_item("target", PyCFunction::new_closure(py, None, None, life)?)?;
        options.set_item("name", format!("appliance-{index}"))?;
        options.set_item("daemon", true)?;
        let thread = threading.getattr("Thread")?.call((), Some(&options))?;
        thread.call_method0("start")?;
        others.push(thread);
    }
    host::run(py, queue, 0, application.clone_ref(py), None)?;
    for thread in others {
        thread.call_method0("join")?;
    }
    Ok(())
}
