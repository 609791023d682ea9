//! The access log of one process.

use std::{fs::File, io, path::Path, sync::Arc, time::Duration};

use crate::{Error, OpenRecord, Record, Remote};

/// The access log of one process; a cheap handle, cloned into every front thread.
#[derive(Debug, Clone)]
pub struct AccessLog {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {}

impl AccessLog {
    /// Starts the log. `file` is the descriptor the supervisor opened; without one, `config.to` is opened here.
    ///
    /// # Errors
    /// When the file cannot be opened or the writer's thread cannot be started.
    pub fn new(_config: &config::AccessLog, _file: Option<File>) -> Result<Self, Error> {
        Ok(Self {
            inner: Some(Arc::new(Inner {})),
        })
    }

    /// A log that is switched off: records are made and forgotten.
    #[must_use]
    pub fn off() -> Self {
        Self { inner: None }
    }

    /// Opens the record of a request from `peer`, first seen now.
    pub fn open(&self, peer: Remote) -> OpenRecord {
        OpenRecord::new(Record::new(peer), self.clone())
    }

    /// Goes on in another file: lines of requests that ended before this call go to the old one, later ones to the new one.
    pub fn replace(&self, _file: File) {}

    /// Lines dropped so far because too many waited for the disk.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        0
    }

    /// Writes what waits, for at most `limit`, and ends the writer. `false` when something could not be written in time.
    pub fn close(&self, _limit: Duration) -> bool {
        true
    }

    pub(crate) fn write(&self, _record: &Record) {
        let _ = &self.inner;
    }
}

/// Opens a log file as every part of the product does: appending, made when missing (0640), not inherited over an exec.
///
/// # Errors
/// Those of open(2).
pub fn open_for_append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // std opens everything close-on-exec.
    File::options().append(true).create(true).mode(0o640).open(path)
}
