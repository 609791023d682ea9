//! The fork. It happens in one place, in a process with one thread.
//!
//! Between the fork and Python's own `AfterFork` hook nothing runs here but a second fork and `_exit`. The second fork is what
//! gives the worker to the supervisor: its parent ends at once and the nearest subreaper adopts it.

use std::io;

use pyo3::{Python, ffi};

/// Which process has returned from [`twice`].
pub(crate) enum Side {
    /// The zygote, as before.
    Parent,
    /// The new worker.
    Child,
}

/// Forks a grandchild. In the parent an error says that there is none.
pub(crate) fn twice(_py: Python<'_>) -> io::Result<Side> {
    // SAFETY: the GIL is held (token). The three PyOS hooks are called in the order that CPython demands, each in the process
    // that it is for; the process in the middle runs only fork and _exit, both async-signal-safe.
    unsafe {
        ffi::PyOS_BeforeFork();
        let middle = libc::fork();
        if middle == 0 {
            let worker = libc::fork();
            if worker == 0 {
                ffi::PyOS_AfterFork_Child();
                return Ok(Side::Child);
            }
            let code = if worker == -1 {
                *libc::__errno_location()
            } else {
                0
            };
            libc::_exit(code);
        }
        let forked = if middle == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        };
        ffi::PyOS_AfterFork_Parent();
        forked?;
        let mut status = 0;
        while libc::waitpid(middle, &mut status, 0) == -1 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                // Somebody else's SIGCHLD handling reaped it; the worker tells of itself by its first message.
                return Ok(Side::Parent);
            }
        }
        match libc::WEXITSTATUS(status) {
            0 => Ok(Side::Parent),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}
