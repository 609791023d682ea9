//! The loggers that other servers set up, and that applications use as if they were their own:
//! `uvicorn.error` to say something at all, the handlers of `gunicorn.error` for the logger of a Flask
//! application. Without a handler what they say below WARNING would be nowhere.

use pyo3::prelude::*;

/// Those of the servers that applications of an interface come from.
fn names(interface: &str) -> &'static [&'static str] {
    match interface {
        // Workers of gunicorn that run uvicorn have both.
        "asgi" => &["uvicorn", "uvicorn.access", "gunicorn.error", "hypercorn.error"],
        _ => &["gunicorn.error"],
    }
}

/// Lets them write to standard error from INFO on, and nowhere else, as those servers do. An application that
/// configures them itself comes afterwards. `uvicorn.error` writes through `uvicorn`.
pub(crate) fn set_up(py: Python<'_>, interface: &str) -> PyResult<()> {
    let logging = py.import("logging")?;
    let info = logging.getattr("INFO")?;
    let handler = logging.call_method1("StreamHandler", (py.import("sys")?.getattr("stderr")?,))?;
    // The line of the error log has the time and the process.
    let format = logging.call_method1("Formatter", ("%(levelname)s %(name)s: %(message)s",))?;
    handler.call_method1("setFormatter", (format,))?;
    for name in names(interface) {
        let logger = logging.call_method1("getLogger", (name,))?;
        logger.call_method1("addHandler", (&handler,))?;
        logger.call_method1("setLevel", (&info,))?;
        logger.setattr("propagate", false)?;
    }
    Ok(())
}
