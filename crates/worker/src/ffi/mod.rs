//! The only unsafe code of the worker: one small module per demand, each with a safe signature.
#![allow(unsafe_code)]

pub(crate) mod bytes;
pub(crate) mod coroutine;
pub(crate) mod descriptors;
pub(crate) mod fork;
pub(crate) mod references;
pub(crate) mod signals;
pub(crate) mod text;
pub(crate) mod threads;
pub(crate) mod title;

/// Ends the process at once: no destructors, no Python finalisation, which may hang on somebody's thread.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any code and does not return; nothing of ours has to outlive the process.
    unsafe { libc::_exit(code) }
}
