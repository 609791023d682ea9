//! The one fork without exec of the supervisor, for `--daemon`.
#![allow(unsafe_code)]

use std::io;

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Side {
    /// The old process; the child's pid.
    Parent(u32),
    /// The new one.
    Child,
}

/// Forks. Refused when the process has more than one thread: the child would have the others' locks without them.
pub(crate) fn fork() -> io::Result<Side> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!(
            "{threads} threads are running, a fork needs exactly one"
        )));
    }
    // SAFETY: there is one thread (checked above), so the child has a consistent copy of all memory and locks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid.cast_unsigned())),
    }
}
