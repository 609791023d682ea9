//! An exception raised in another thread.

use std::ffi::c_long;

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

/// `threading.get_ident()` of the main thread; 0 when it is unknown.
pub(crate) fn main_ident(py: Python<'_>) -> u64 {
    py.import("threading")
        .and_then(|threading| threading.call_method0("main_thread"))
        .and_then(|thread| thread.getattr("ident"))
        .and_then(|ident| ident.extract())
        .unwrap_or(0)
}
