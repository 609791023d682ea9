//! The WSGI host on greenlets of gevent or eventlet: one greenlet per request, all in one thread.
//!
//! A greenlet that waits has its part of the C stack copied away and another one's copied there. Rust must never be on that
//! part: what it holds there (borrows, guards, the interpreter's token) would be gone while others run and look at it. So nothing
//! in Rust calls anything that may switch. What calls the application, iterates and closes is Python (`driver.py`); it calls
//! [`host`] and [`stream`], which take and give bytes and never wait. Where an answer has no credit, [`stream`] keeps
//! the rest and says so, and the driver waits on an event of the library. Only [`serve`] stands below everything, on the main
//! greenlet's stack, in a place that no other greenlet ever uses.
//!
//! What the libraries do about forks, and what is done here:
//!
//! * gevent's `patch_all` makes no hub and starts no thread, so a zygote can patch and import. Importing an
//!   application may make a hub (it sleeps, connects, spawns); the hub's epoll descriptor would then be
//!   shared by all workers, so a worker calls `gevent.reinit()`, which does nothing without a hub. Its
//!   resolver and its thread pool start native threads when they are first used; the zygote sees those, as
//!   any other, and starts anew without the application.
//! * eventlet's `monkey_patch` makes a hub. A worker that has it from the zygote takes a new one (`use_hub`):
//!   greenlets that an import has spawned in the zygote do not come with it. Those of a worker's own import
//!   stay on the hub they are on.
//! * What is patched stays patched over a fork, and patching again does nothing, so a worker that imports the
//!   application itself patches without asking who it is.
//!
//! An application that patches the standard library itself, in its module, runs here as well where the
//! configuration says more than one thread: its `threading.Thread` makes greenlets, and its locks wake those
//! of one thread only. Real threads are no way out. Of eight requests that want one lock of the module's on
//! four real threads, gevent leaves three hanging for ever, eventlet all but the first; an `Event` that one
//! thread sets and another waits for is an `InvalidThreadUseError`, or is waited for in vain; and loggers
//! have locks. gunicorn's threads (`gthread`) are greenlets for such an application, too, when it is imported
//! in time (`--preload`); otherwise it does not answer at all. `deploy/APPLICATIONS.md` has all that was
//! measured.
//!
//! Drivers in C wait where nothing is patched. Under gevent psycopg2 blocks the whole worker unless the application makes it wait
//! in a greenlet (`psycogreen`), and psycopg 3 sees the patch and needs nothing. Under eventlet it is the other way round:
//! patching takes psycopg2 along, and psycopg 3 with its C part has to be told (`PSYCOPG_WAIT_FUNC=wait_select`). That is the
//! application's choice, as it is under every other server. Drivers in pure Python need nothing.

pub(crate) mod host;
pub(crate) mod stream;

use std::{ffi::CStr, sync::Arc};

use pyo3::{exceptions::PyModuleNotFoundError, prelude::*, types::PyModule};

use self::host::Host;
use crate::{application, boot::Boot, engine::evented::Evented, refusal::Refusal};

/// The driver's source, for the interpreter.
const DRIVER: &CStr = match CStr::from_bytes_with_nul(concat!(include_str!("driver.py"), "\0").as_bytes()) {
    Ok(source) => source,
    Err(_) => panic!("the driver has a zero byte"),
};

/// The library whose greenlets run the requests, if any do: the one of the configuration, or that with which
/// the application has patched the standard library. Where nobody has said `threads`, or 1, such an
/// application keeps the main thread, one request at a time.
pub(crate) fn library<'a>(py: Python<'_>, boot: &'a Boot) -> Option<&'a str> {
    if boot.interface == "asgi" {
        None
    } else if !boot.green.is_empty() {
        Some(&boot.green)
    } else if boot.threads_patched > 1 {
        application::patched_by(py, boot.threads_patched)
    } else {
        None
    }
}

/// Makes the standard library wait in greenlets. Before the application is imported; nothing for an app without greenlets.
pub(crate) fn patch(py: Python<'_>, boot: &Boot) -> Result<(), Refusal> {
    let (library, module, function) = match boot.green.as_str() {
        "" => return Ok(()),
        "eventlet" => ("eventlet", "eventlet", "monkey_patch"),
        _ => ("gevent", "gevent.monkey", "patch_all"),
    };
    if library == "eventlet" {
        // `appliance check` says so once, and each worker of it need not.
        let _ = py.import("warnings").and_then(|warnings| {
            warnings.call_method1("filterwarnings", ("ignore", r"\s*Eventlet is deprecated"))
        });
    }
    let module = py.import(module).map_err(|error| missing(py, library, &error))?;
    module
        .call_method0(function)
        .map(drop)
        .map_err(|error| Refusal::raised(py, "python", &format!("{library}'s {function}"), &error))
}

fn missing(py: Python<'_>, library: &str, error: &PyErr) -> Refusal {
    let mut refusal = Refusal::raised(py, "python", &format!("importing {library}"), error);
    if error.is_instance_of::<PyModuleNotFoundError>(py) {
        let interpreter = py
            .import("sys")
            .and_then(|sys| sys.getattr("executable"))
            .map_or_else(|_| "python".to_owned(), |executable| executable.to_string());
        refusal.message = format!(
            "green = {library:?}, but {library} is not installed for {interpreter}: \
             pip install {library} there ({interpreter} -m pip install {library})"
        );
        refusal.traceback.clear();
    }
    refusal
}

/// What serves requests, ready to start.
#[derive(Debug)]
pub(crate) struct Green {
    serve: Py<PyAny>,
}

impl Green {
    /// In a worker whose application has been imported; `inherited`: by the zygote, whose hub is shared.
    pub(crate) fn new(
        py: Python<'_>,
        boot: &Boot,
        library: &str,
        inherited: bool,
        evented: &Arc<Evented>,
        application: &Py<PyAny>,
    ) -> Result<Self, Refusal> {
        let prepare = || {
            let driver = PyModule::from_code(py, DRIVER, c"appliance/green.py", c"appliance_green")?;
            let wrapper = driver.getattr("FileWrapper")?;
            let host = Host::new(py, evented, boot.concurrency, &wrapper)?;
            driver
                .getattr("prepare")?
                .call1((library, inherited, application, host))
                .map(Bound::unbind)
        };
        prepare()
            .map(|serve| Self { serve })
            .map_err(|error: PyErr| Refusal::raised(py, "after_fork", "preparing the greenlets", &error))
    }

    /// Runs requests until the worker is to leave and none is left.
    pub(crate) fn serve(&self, py: Python<'_>) -> PyResult<()> {
        self.serve.bind(py).call0().map(drop)
    }
}
