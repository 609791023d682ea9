//! Why an application is not run.

use pyo3::prelude::*;

use crate::report;

/// Why there is no application.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// `python`, `import`, `callable`: as in [`wire::control::FromZygote::Failed`].
    pub(crate) step: &'static str,
    pub(crate) message: String,
    pub(crate) traceback: String,
}

impl Refusal {
    pub(crate) fn new(step: &'static str, message: String) -> Self {
        Self {
            step,
            message,
            traceback: String::new(),
        }
    }

    pub(crate) fn raised(py: Python<'_>, step: &'static str, what: &str, error: &PyErr) -> Self {
        Self {
            step,
            message: format!("{what} raised {}", report::line(py, error)),
            traceback: report::traceback(py, error),
        }
    }
}
