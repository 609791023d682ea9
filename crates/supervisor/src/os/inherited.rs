//! What an executed process of ours finds, and what it is called.
#![allow(unsafe_code)]

use std::{
    ffi::CStr,
    io,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{SocketType, sockopt::socket_type},
    thread::set_name,
};
use wire::control::CONTROL_FD;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The control socket that the supervisor left on its descriptor. Children of this process do not inherit it. The process
/// is called `name` from now on where only the file's name is shown (`top`, `pgrep`): that would be `exe`.
///
/// # Errors
/// When there is none, or it was taken before.
pub fn inherited_control(name: &CStr) -> io::Result<OwnedFd> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::other("the control socket was taken already"));
    }
    // SAFETY: only borrowed to ask what it is; a number that is not open makes the call fail.
    let borrowed = unsafe { BorrowedFd::borrow_raw(CONTROL_FD) };
    if socket_type(borrowed)? != SocketType::SEQPACKET {
        return Err(io::Error::other(format!(
            "descriptor {CONTROL_FD} is not a control socket"
        )));
    }
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    set_name(name)?;
    // SAFETY: it is open (asked above), was put there for this process by exec, and is handed out once.
    Ok(unsafe { OwnedFd::from_raw_fd(CONTROL_FD) })
}
