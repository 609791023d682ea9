//! The error log: events of our own, of the libraries, and the lines applications print.

use std::{fs::File, time::Duration};

use crate::Error;

/// Keeps the error log running; what waits is written when it is dropped.
#[derive(Debug)]
#[must_use = "the error log ends when this is dropped"]
pub struct Guard {}

impl Guard {
    /// Goes on in another file: events before this call go to the old one, later ones to the new one.
    pub fn replace(&self, _file: File) {}

    /// Waits until everything said so far is written, for at most `limit`; `false` when it took longer.
    pub fn flush(&self, _limit: Duration) -> bool {
        true
    }

    /// Events dropped so far because too many waited for the disk.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        0
    }
}

/// Starts the error log of this process. `role` is its name in every line (`supervisor`, `proxy`); `file` is the
/// descriptor the supervisor opened; without one, `config.to` is opened here.
///
/// # Errors
/// When the file cannot be opened, the writer's thread cannot be started, or an error log runs already.
pub fn init(_config: &config::ErrorLog, _role: &str, _file: Option<File>) -> Result<Guard, Error> {
    Ok(Guard {})
}

/// Writes a line an application printed, whatever the log's level: an application's output has no level of ours.
/// `worker` is its slot, `None` for the zygote; `stream` is `stdout` or `stderr`. Line ends inside `line` make several
/// events.
pub fn app_output(
    _app: &str,
    _worker: Option<u32>,
    _pid: u32,
    _request_id: Option<&str>,
    _stream: &str,
    _line: &[u8],
) {
}
