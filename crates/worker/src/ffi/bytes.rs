//! Python bytes from memory of any size.

use pyo3::{ffi, prelude::*, types::PyBytes};
use shm::Shared;

/// A copy. What pyo3 has either panics where there is no memory left, or clears it before it is written.
#[inline]
pub(crate) fn copied<'py, 'a>(
    py: Python<'py>,
    bytes: impl Into<Shared<'a>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = bytes.into();
    let len = ffi::Py_ssize_t::try_from(bytes.len())?;
    // SAFETY: the GIL is held, the pointer is good for `len` bytes, which are only copied; the result is a
    // new reference to a bytes object, or null with an exception set.
    unsafe {
        let copy = ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), len);
        Ok(Bound::from_owned_ptr_or_err(py, copy)?.cast_into_unchecked())
    }
}
