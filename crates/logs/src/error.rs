//! Why a log cannot be started.

use std::{io, path::PathBuf};

/// Why a log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open log file {}: {source}; its directory must exist and be writable", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What open(2) said.
        source: io::Error,
    },
    /// Standard output or standard error cannot be used.
    #[error("cannot use {name} as a log: {source}")]
    Stream {
        /// `standard output` or `standard error`
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The writer's thread cannot be started.
    #[error("cannot start the thread that writes the {log} log: {source}")]
    Thread {
        /// `access` or `error`
        log: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// This process has an error log already.
    #[error("the error log of this process was started twice")]
    Twice,
}
