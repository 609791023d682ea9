//! `[log.access]` and `[log.error]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[log.access]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLog {
    /// Where lines go.
    pub to: To,
    /// How a line looks.
    pub format: Format,
    /// Bytes that may wait for the disk; past it lines are dropped and counted.
    pub buffer_bytes_max: usize,
}

/// `[log.error]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorLog {
    /// Where lines go.
    pub to: To,
    /// Least level written.
    pub level: Level,
}

/// Where a log goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum To {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
    /// A file, appended to, reopened on SIGUSR1.
    File(#[serde(with = "crate::serialised_path")] PathBuf),
}

/// How an access line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The combined log format of Apache and nginx.
    Combined,
    /// One JSON object per line, every field.
    Json,
}

/// Least level of the error log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// A human must look.
    Error,
    /// Odd, we carried on.
    Warn,
    /// A process changed state.
    Info,
    /// One request.
    Debug,
}
