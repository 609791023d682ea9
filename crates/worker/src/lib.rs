//! The engine that runs inside the application's own Python interpreter.
//!
//! The interpreter is executed with a few lines (`bootstrap.py`) that load this module and call [`main`]; it is then a
//! [`zygote`], which forks [`worker`]s. A worker takes requests off its links ([`engine`]) and gives them to the application
//! ([`wsgi`], on greenlets [`green`], [`asgi`]). All unsafe code is in [`ffi`].

mod application;
mod asgi;
mod bench;
mod boot;
mod control;
mod engine;
mod factory;
mod ffi;
mod green;
mod hosts;
mod loggers;
mod output;
mod refusal;
mod report;
mod signature;
mod stateful;
mod unshared;
mod worker;
mod wsgi;
mod zygote;

/// The module that the bootstrap loads.
#[pyo3::pymodule]
mod appliance_worker {
    use std::os::fd::RawFd;

    use pyo3::prelude::*;

    /// Runs the process; the control socket to the supervisor is on this descriptor.
    #[pyfunction]
    fn main(py: Python<'_>, control: RawFd) -> PyResult<()> {
        crate::zygote::run(py, control)
    }

    /// Nanoseconds to build one environ, for `cargo bench`.
    #[pyfunction]
    fn _bench_environ(py: Python<'_>, times: u32) -> PyResult<f64> {
        crate::bench::environ(py, times)
    }

    /// Nanoseconds to build one scope, for `cargo bench`.
    #[pyfunction]
    fn _bench_scope(py: Python<'_>, times: u32) -> PyResult<f64> {
        crate::bench::scope(py, times)
    }
}
