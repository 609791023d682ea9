//! The log files: opened by the supervisor, which may be root, and handed to the proxies.

use std::{fs::File, io};

use config::{Config, Need, To};

use crate::{Error, error::unusable};

/// Files a proxy writes its logs to; `None` where a log is not a file. Opened for the first proxy of a
/// generation, and kept for those that take its place.
#[derive(Debug)]
pub(crate) struct LogFiles {
    pub(crate) access: Option<File>,
    pub(crate) error: Option<File>,
}

impl LogFiles {
    /// Opens both.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let [access, error] = places(config).map(|(key, to)| to.map_or(Ok(None), |to| file(key, to)));
        Ok(Self {
            access: access?,
            error: error?,
        })
    }

    /// Descriptors of the same files.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let same = |file: &Option<File>| file.as_ref().map(File::try_clone).transpose();
        Ok(Self {
            access: same(&self.access)?,
            error: same(&self.error)?,
        })
    }

    /// Takes up those that were opened anew.
    pub(crate) fn replace(&mut self, reopened: Self) {
        for (kept, new) in [
            (&mut self.access, reopened.access),
            (&mut self.error, reopened.error),
        ] {
            *kept = new.or(kept.take());
        }
    }

    /// Opens of both what can be opened, and tells what cannot: that log goes on where it is.
    pub(crate) fn reopen(config: &Config) -> (Self, Vec<Error>) {
        let mut failures = Vec::new();
        let [access, error] = places(config).map(|(key, to)| {
            let opened = to.map_or(Ok(None), |to| file(key, to));
            opened.unwrap_or_else(|failure| {
                failures.push(failure);
                None
            })
        });
        (Self { access, error }, failures)
    }
}

/// The key of the supervisor's own log.
pub(crate) const ERROR_LOG: &str = "log.error.to";

/// The keys that say where a log goes, with what they say.
pub(crate) fn places(config: &Config) -> [(&'static str, Option<&To>); 2] {
    [
        ("log.access.to", config.access_log.as_ref().map(|log| &log.to)),
        (ERROR_LOG, Some(&config.error_log.to)),
    ]
}

/// The file that the log of this key goes to, opened for appending.
pub(crate) fn file(key: &'static str, to: &To) -> Result<Option<File>, Error> {
    match to {
        To::Stdout | To::Stderr => Ok(None),
        To::File(path) => logs::open_for_append(path).map(Some).map_err(|error| Error::Log {
            key,
            message: unusable(path, Need::Write, &error),
        }),
    }
}
