//! x
use pyo3::prelude::*;
#[pymodule]
fn appliance_worker(m: &Bound<'_, PyModule>) -> PyResult<()> { let _ = m; Ok(()) }
