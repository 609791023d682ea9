//! `environ["gunicorn.socket"]`: an application that speaks the WebSocket protocol itself.
//!
//! Libraries as simple-websocket (and with it Flask-Sock, and python-engineio below Flask-SocketIO) take the
//! client's connection from under the server, write the head of status 101 and frames to it, and then tell
//! the server in some odd way that there is nothing left to answer. They find the connection by its name in
//! the environ; ours is the one that gunicorn has. It is one end of a socket pair, and the other one goes to
//! the proxy ([`Kind::Socket`]).
//!
//! It is a `socket.socket` as the application has it: where the standard library is patched, one that waits
//! in greenlets.

use std::{
    ffi::CStr,
    os::fd::{AsRawFd, IntoRawFd},
};

use pyo3::{
    exceptions::{PyConnectionError, PyStopIteration},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyModule},
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use wire::frame::{self, Kind};

use crate::engine::link::Link;

/// The source of its class, for the interpreter.
const SOURCE: &CStr =
    match CStr::from_bytes_with_nul(concat!(include_str!("client_socket.py"), "\0").as_bytes()) {
        Ok(source) => source,
        Err(_) => panic!("the class has a zero byte"),
    };

/// The application's end.
#[derive(Debug)]
pub(crate) struct ClientSocket(Py<PyAny>);

impl ClientSocket {
    /// Makes a pair: one end into the environ, the other one to the proxy, with the next frames of the link.
    pub(crate) fn give(
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        link: &Link,
        stream: u32,
    ) -> PyResult<Self> {
        static GIVE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let give = GIVE.get_or_try_init(py, || {
            let module = PyModule::from_code(
                py,
                SOURCE,
                c"appliance/client_socket.py",
                c"appliance_client_socket",
            )?;
            module.getattr("give").map(Bound::unbind)
        })?;
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(std::io::Error::from)?;
        let socket = give.bind(py).call1((ours.as_raw_fd(),))?;
        // The object closes it.
        let _ = ours.into_raw_fd();
        environ.set_item(intern!(py, "gunicorn.socket"), &socket)?;
        link.put(Some(theirs), |out| frame::put(out, stream, Kind::Socket, 0, &[]));
        Ok(Self(socket.unbind()))
    }

    /// Has the application answered on it?
    pub(crate) fn has_switched(&self, py: Python<'_>) -> bool {
        self.0
            .bind(py)
            .getattr(intern!(py, "switched"))
            .and_then(|switched| switched.is_truthy())
            .unwrap_or(false)
    }

    /// Is this how an application ends that has answered on its socket? It raises what made gunicorn
    /// (`StopIteration`) or the development server of Werkzeug (`ConnectionError`) let go of the connection;
    /// or its client has left it.
    pub(crate) fn is_end(py: Python<'_>, error: &PyErr) -> bool {
        error.is_instance_of::<PyStopIteration>(py) || error.is_instance_of::<PyConnectionError>(py)
    }
}
