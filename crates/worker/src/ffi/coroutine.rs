//! One step of a coroutine, without an exception at its end where the interpreter has a way for that.

use std::sync::OnceLock;

use pyo3::{exceptions::PyStopIteration, ffi, intern, prelude::*};

/// What a step gave.
pub(crate) enum Step<'py> {
    /// Something to wait for.
    Yielded(Bound<'py, PyAny>),
    /// The end; its result means nothing to us.
    Returned,
}

type Send =
    unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject, *mut *mut ffi::PyObject) -> std::ffi::c_int;

/// `PyIter_Send` is part of the stable ABI since 3.10, so an engine for 3.9 has to look whether it is there.
fn iter_send() -> Option<Send> {
    static FOUND: OnceLock<Option<Send>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the name is a C string; the interpreter that we are loaded into exports its symbols to the whole process.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"PyIter_Send".as_ptr()) };
        // SAFETY: not null, and this is the function's signature in every version that has it.
        (!found.is_null()).then(|| unsafe { std::mem::transmute::<*mut libc::c_void, Send>(found) })
    })
}

/// Sends `value` into a coroutine or an iterator.
#[inline]
pub(crate) fn step<'py>(of: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
    let py = of.py();
    let Some(send) = iter_send() else {
        return outcome(py, of.call_method1(intern!(py, "send"), (value,)));
    };
    let mut result = std::ptr::null_mut();
    // SAFETY: the GIL is held and both are objects. The result is a new reference with 0 and 1, and null with an exception set
    // with -1.
    unsafe {
        match send(of.as_ptr(), value.as_ptr(), &mut result) {
            0 => {
                drop(Bound::from_owned_ptr_or_opt(py, result));
                Ok(Step::Returned)
            }
            1 => Ok(Step::Yielded(Bound::from_owned_ptr_or_err(py, result)?)),
            _ => Err(PyErr::fetch(py)),
        }
    }
}

/// What a call of `send` or `throw` means.
pub(crate) fn outcome<'py>(py: Python<'py>, called: PyResult<Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
    match called {
        Ok(yielded) => Ok(Step::Yielded(yielded)),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => Ok(Step::Returned),
        Err(error) => Err(error),
    }
}
