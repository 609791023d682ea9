//! The directory we were started in, as the caller that started us names it.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{Problems, climb::climbed};

/// The path from the directory we were started in. Each [reading](crate::Config::load) follows its links
/// anew.
///
/// Releases are often switched by a link, `current`. Whoever starts us there means the link, and a reload is
/// to find what it leads to then. The kernel knows only the release; the shell says the link in `$PWD`, which
/// counts where both are the same directory.
pub fn absolute(path: &Path) -> Result<PathBuf, Problems> {
    let named = env::var_os("PWD").map(PathBuf::from);
    let absolute = match named.filter(|named| path.is_relative() && is_here(named)) {
        Some(named) => std::path::absolute(named.join(path)),
        None => std::path::absolute(path),
    };
    absolute.map_err(|error| Problems::unreadable(path, &format!("has no absolute path: {error}")))
}

/// The same place without `..`, as the links lead now.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    climbed(path, |path| fs::canonicalize(path))
}

fn is_here(named: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    named.is_absolute() && identity(named).is_some_and(|named| identity(Path::new(".")) == Some(named))
}
