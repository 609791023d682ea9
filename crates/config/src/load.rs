//! From a file, or its text, to a configuration.

use std::path::Path;

use crate::{Config, Machine, Problems, Surroundings, started_in, text_file, written};

impl Config {
    /// Reads the file at `path`, where its links lead now. Start, reload and `appliance check` all come in by
    /// this door, so that they say the same.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let path = started_in::resolved(path);
        let text = text_file::configuration(&path)
            .map_err(|error| Problems::unreadable(&path, &format!("cannot be read: {error}")))?;
        Self::parse(&text, &path)
    }

    /// Reads `text` as if it stood in the file at `path`, which need not exist.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Problems> {
        Self::parse_in(&Machine, text, path)
    }

    /// Reads `text` on the machine given.
    pub fn parse_in(surroundings: &dyn Surroundings, text: &str, path: &Path) -> Result<Self, Problems> {
        written::config(surroundings, text, path)
    }
}
