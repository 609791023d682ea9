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
        let [access, error] = places(config).map(|(_, to)| to.map_or(Ok(None), file));
        Ok(Self {
            access: access?,
            error: error?,
        })
    }

    /// Opens of both what can be opened, and tells what cannot: that log goes on where it is.
    pub(crate) fn reopen(config: &Config) -> (Self, Vec<Error>) {
        let mut failures = Vec::new();
        let [access, error] = places(config).map(|(_, to)| {
            let opened = to.map_or(Ok(None), file);
            opened.unwrap_or_else(|failure| {
                failures.push(failure);
                None
            })
        });
        (Self { access, error }, failures)
    }
}

/// The keys that say where a log goes, with what they say.
pub(crate) fn places(config: &Config) -> [(&'static str, Option<&To>); 2] {
    [
        ("log.access.to", config.access_log.as_ref().map(|log| &log.to)),
        ("log.error.to", Some(&config.error_log.to)),
    ]
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
