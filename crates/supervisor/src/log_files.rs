//! The log files: opened by the supervisor, which may be root, and handed to the proxies.

use std::{fs::File, path::Path};

use config::{Config, To};

use crate::Error;

/// Files a proxy writes its logs to; `None` where a log is not a file.
#[derive(Debug)]
pub(crate) struct LogFiles {
    pub(crate) access: Option<File>,
    pub(crate) error: Option<File>,
}

impl LogFiles {
    /// Opens both.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let access = match &config.access_log {
            Some(log) => file(&log.to)?,
            None => None,
        };
        Ok(Self {
            access,
            error: file(&config.error_log.to)?,
        })
    }
}

/// The file a log goes to, opened for appending.
pub(crate) fn file(to: &To) -> Result<Option<File>, Error> {
    match to {
        To::Stdout | To::Stderr => Ok(None),
        To::File(path) => append(path).map(Some),
    }
}

fn append(path: &Path) -> Result<File, Error> {
    logs::open_for_append(path).map_err(|error| Error::Log {
        path: path.display().to_string(),
        message: error.to_string(),
    })
}
