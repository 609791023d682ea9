//! Threads as Python's C API knows them.

use std::{
    ffi::c_long,
    sync::atomic::{AtomicU64, Ordering},
};

use pyo3::{exceptions::PySystemExit, ffi, prelude::*};

/// Raises SystemExit in the thread with this `threading.get_ident()`, as soon as it runs Python code again.
pub(crate) fn raise_system_exit(py: Python<'_>, ident: u64) {
    let Ok(ident) = c_long::try_from(ident) else {
        return;
    };
    let exception = py.get_type::<PySystemExit>();
    // SAFETY: the GIL is held; the function takes its own reference to the type and does nothing for an unknown thread.
    unsafe { ffi::PyThreadState_SetAsyncExc(ident, exception.as_ptr()) };
}

/// The main thread's own number; 0 when it is unknown. Not `threading.main_thread().ident`: where gevent has put its own functions
/// in the place of `threading`'s that is the number of a greenlet.
pub(crate) fn main_ident() -> u64 {
    MAIN.load(Ordering::Relaxed)
}

static MAIN: AtomicU64 = AtomicU64::new(0);

/// The calling thread is the main thread.
pub(crate) fn this_is_main() {
    MAIN.store(ident(), Ordering::Relaxed);
}

/// The calling thread's own number: what `threading.get_ident()` gives on Linux, where nothing is patched.
pub(crate) fn ident() -> u64 {
    // SAFETY: the function has no demands.
    unsafe { libc::pthread_self() as u64 }
}
