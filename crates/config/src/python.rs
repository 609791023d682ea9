//! Which interpreter an application runs in.
//!
//! The path is used as found and never resolved: a virtualenv's `bin/python` is a symbolic link, and the link is what
//! makes it the virtualenv.

use std::path::{Path, PathBuf};

use crate::{Surroundings, climb::climbed};

/// The interpreter of a virtualenv.
pub(crate) fn in_venv(venv: &Path, surroundings: &dyn Surroundings) -> Result<PathBuf, String> {
    let python = venv.join("bin/python");
    if surroundings.is_executable(&python) {
        return Ok(python);
    }
    if let Some(closed) = surroundings.closed(&python) {
        return Err(closed);
    }
    let shown = venv.display();
    if surroundings.is_directory(&venv.join("bin")) {
        return Err(format!(
            "virtualenv {shown} is broken: its bin/python leads nowhere"
        ));
    }
    Err(format!("no virtualenv at {shown}"))
}

/// An interpreter that was named: a path, or a command looked up on PATH.
pub(crate) fn named(
    written: &str,
    absolute: PathBuf,
    surroundings: &dyn Surroundings,
) -> Result<PathBuf, String> {
    if !written.contains('/') {
        return on_path(written, surroundings).ok_or_else(|| format!("no `{written}` on PATH"));
    }
    if surroundings.is_directory(&absolute) {
        return Err(format!(
            "{} is a directory, not an interpreter",
            absolute.display()
        ));
    }
    if !surroundings.is_executable(&absolute) {
        return Err(surroundings
            .closed(&absolute)
            .unwrap_or_else(|| format!("no executable file at {}", absolute.display())));
    }
    Ok(absolute)
}

/// The interpreter that nobody named: the application's own virtualenv, the one that is active, the system's.
pub(crate) fn found(directory: &Path, surroundings: &dyn Surroundings) -> Result<PathBuf, String> {
    for name in [".venv", "venv"] {
        let venv = directory.join(name);
        // A broken virtualenv is told, not passed over: the system's Python would fail later with a riddle.
        if surroundings.is_file(&venv.join("pyvenv.cfg")) {
            return in_venv(&venv, surroundings);
        }
    }
    if let Some(active) = surroundings
        .variable("VIRTUAL_ENV")
        .filter(|active| active.starts_with('/'))
    {
        let active = climbed(Path::new(&active), |path| surroundings.canonical(path));
        return in_venv(&active, surroundings);
    }
    on_path("python3", surroundings).ok_or_else(|| "no python3 on PATH".to_owned())
}

fn on_path(command: &str, surroundings: &dyn Surroundings) -> Option<PathBuf> {
    let path = surroundings
        .variable("PATH")
        .unwrap_or_else(|| PATH_DEFAULT.to_owned());
    let candidates = path.split(':').filter(|directory| directory.starts_with('/'));
    candidates
        .map(|directory| Path::new(directory).join(command))
        .find(|file| surroundings.is_executable(file))
}

/// A service manager may start us without PATH.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";
