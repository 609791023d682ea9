//! Paths that climb by `..`.
//!
//! The kernel follows a link before it climbs: where `current` leads to `releases/7`, `current/../venv` is
//! `releases/venv`. Programs that tidy up the text of a path take it for `venv`; Python does so with its own,
//! and then starts without its virtualenv. So a path without `..` is what we work with and hand on. Links
//! that it does not climb out of stay, because a reload follows them anew.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// The path without `..`, the same place for the kernel; `canonical` is the path of what is there without
/// links. What climbs out of nothing stays as it is written, and fails as it would.
pub(crate) fn climbed(path: &Path, canonical: impl Fn(&Path) -> io::Result<PathBuf>) -> PathBuf {
    let mut walked = PathBuf::new();
    for part in path.components() {
        if part != Component::ParentDir {
            walked.push(part);
        } else if let Ok(here) = canonical(&walked) {
            let above = here.parent().unwrap_or(&here);
            let same = |named: &Path| canonical(named).is_ok_and(|real| real == above);
            walked = match walked.parent() {
                Some(named) if same(named) => named.to_owned(),
                _ => above.to_owned(),
            };
        } else {
            walked.push(part);
        }
    }
    walked
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/srv/current` leads to `/srv/releases/7`, and in that `tmp` to `/tmp`; `missing` is not there.
    fn canonical(path: &Path) -> io::Result<PathBuf> {
        let text = path.to_string_lossy().replace("/srv/current", "/srv/releases/7");
        let text = text.replace("/srv/releases/7/tmp", "/tmp");
        match text.contains("missing") || text.contains("..") {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(PathBuf::from(text)),
        }
    }

    #[test]
    fn a_link_is_followed_before_it_is_climbed_out_of_and_else_it_stays() {
        for (written, expected) in [
            ("/srv/current/site.toml", "/srv/current/site.toml"),
            ("/srv/current/./conf/../site.toml", "/srv/current/site.toml"),
            ("/srv/current/../site.toml", "/srv/releases/site.toml"),
            ("/srv/current/../../site.toml", "/srv/site.toml"),
            ("/srv/current/../7/conf/..", "/srv/releases/7"),
            ("/srv/current/tmp/../venv", "/venv"),
            ("/srv/site/../venv", "/srv/venv"),
            ("/../../srv", "/srv"),
            ("/srv/missing/../venv", "/srv/missing/../venv"),
            ("/srv/missing/../../venv", "/srv/missing/../../venv"),
        ] {
            assert_eq!(
                climbed(Path::new(written), canonical),
                Path::new(expected),
                "{written}"
            );
        }
    }
}
