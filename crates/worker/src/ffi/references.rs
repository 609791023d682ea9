//! How many references there are to an object.

use pyo3::{ffi, prelude::*};

/// All of them, the given one among them. Only good for telling whether anybody else has one.
pub(crate) fn references<T>(object: &Bound<'_, T>) -> isize {
    // SAFETY: the GIL is held and the reference keeps the object alive; the count is only read.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}
