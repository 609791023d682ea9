//! The threads that run a WSGI application.
//!
//! An application that patches the standard library itself (`gevent.monkey.patch_all()` in its module) runs
//! in the main thread alone, one request at a time, as under gunicorn's sync workers. There
//! `threading.Thread` makes greenlets, which would all run in the main thread, and real threads are no way
//! out: of a lock that gevent made and two threads want, one gets `LoopExit` (imports inside of functions are
//! enough for that) or the process a segmentation fault; eventlet's never wake another thread.

use std::sync::Arc;

use pyo3::{
    prelude::*,
    types::{PyCFunction, PyDict, PyTuple},
};

use crate::{
    application,
    engine::{
        host::{self, Select},
        queue::Queue,
    },
};

/// Runs the host threads until the worker is told to leave. The first one is the main thread, where Python
/// runs signal handlers and where applications expect to be; with one thread there is no other.
pub(crate) fn serve(py: Python<'_>, queue: &Arc<Queue>, application: &Py<PyAny>) -> PyResult<()> {
    if application::patched_by(py).is_some() {
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
