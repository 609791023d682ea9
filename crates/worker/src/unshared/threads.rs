//! Threads that are there at the moment of a fork.
//!
//! Not those of the moment before: libraries stop their threads in handlers that every fork calls (OpenBLAS
//! by `pthread_atfork`, applications by `os.register_at_fork`) and start them again when they are needed. So
//! one fork is rehearsed, and what counts are the threads that are left when all handlers have run.

use pyo3::prelude::*;

use super::library;
use crate::ffi::fork;

/// A word for each thread but the main one; threads of the same library are one word.
pub(crate) fn left(py: Python<'_>) -> PyResult<Vec<String>> {
    let main = std::process::id();
    let mut tasks = fork::rehearse(py)?;
    tasks.retain(|&task| task != main);
    let mut told = Vec::new();
    if tasks.is_empty() {
        return Ok(told);
    }
    for thread in py.import("threading")?.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        let native: Option<u32> = thread.getattr("native_id").ok().and_then(|id| id.extract().ok());
        if let Some(at) = native.and_then(|native| tasks.iter().position(|&task| task == native)) {
            tasks.swap_remove(at);
            told.push(format!("thread {:?}", thread.getattr("name")?.str()?.to_string()));
        }
    }
    told.extend(library::of_threads(&tasks));
    Ok(told)
}
