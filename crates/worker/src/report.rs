//! Python's exceptions as text, at the edge where they become ours.

use pyo3::prelude::*;

/// The traceback as Python prints it.
pub(crate) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let formatted = || -> PyResult<String> {
        let lines = py.import("traceback")?.getattr("format_exception")?.call1((
            error.get_type(py),
            error.value(py),
            error.traceback(py),
        ))?;
        let lines: Vec<String> = lines.extract()?;
        Ok(lines.concat())
    };
    formatted().unwrap_or_else(|_| error.to_string())
}

/// What an application raised: type and text in the first line, then the traceback.
pub(crate) fn raised(py: Python<'_>, error: &PyErr) -> String {
    let line = line(py, error);
    let first = line.lines().next().unwrap_or_default();
    format!("raised {first}\n{}", traceback(py, error))
}

/// Type and text as at the end of a traceback; the text may have several lines.
pub(crate) fn line(py: Python<'_>, error: &PyErr) -> String {
    let name = error
        .get_type(py)
        .name()
        .map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
    let text = error.value(py).to_string();
    if text.is_empty() {
        name
    } else {
        format!("{name}: {text}")
    }
}
