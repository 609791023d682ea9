//! Python strings to and from bytes without an object in between.

use std::ffi::c_char;

use pyo3::{ffi, prelude::*, types::PyString};

unsafe extern "C" {
    // Exported by every CPython since 3.3, but part of the stable ABI only since 3.10, so not in pyo3's view of 3.9.
    fn PyUnicode_AsUTF8AndSize(text: *mut ffi::PyObject, size: *mut ffi::Py_ssize_t) -> *const c_char;
}

/// The string whose code points are these bytes, as PEP 3333 wants its native strings.
#[inline]
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let len = ffi::Py_ssize_t::try_from(bytes.len())?;
    // SAFETY: the GIL is held, the pointer is good for `len` bytes and is only read; the result is a new reference to a str, or
    // null with an exception set.
    unsafe {
        let text = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), len, std::ptr::null());
        Ok(Bound::from_owned_ptr_or_err(py, text)?.cast_into_unchecked())
    }
}

/// The string as UTF-8, kept inside the string itself. An error when it holds a lone surrogate.
#[inline]
pub(crate) fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    let mut len = 0;
    // SAFETY: the GIL is held and `text` is a str. The bytes live as long as the string, which is borrowed for 'a, and are
    // valid UTF-8 by the function's contract.
    unsafe {
        let bytes = PyUnicode_AsUTF8AndSize(text.as_ptr(), &mut len);
        if bytes.is_null() {
            return Err(PyErr::fetch(text.py()));
        }
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(len).unwrap_or(0));
        Ok(std::str::from_utf8_unchecked(bytes))
    }
}
