//! What a configuration depends on besides its text: the machine it is read on.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::sys::resource::{Resource, getrlimit};

use crate::{
    Identity, Need, cpus, followed, open_regular, path_problem,
    regular_file::regular,
    text_file::{FILE_BYTES_MAX, read_bounded},
};

/// The machine, as far as reading a configuration needs it. Tests give a made-up one.
pub trait Surroundings {
    /// True when we may become another user.
    fn is_root(&self) -> bool;
    /// Our own user.
    fn uid(&self) -> u32;
    /// The user of this name or number, with all groups, when the user database knows one.
    fn user(&self, name: &str) -> Option<Identity>;
    /// The id of the group of this name, when the group database knows one.
    fn group(&self, name: &str) -> Option<u32>;
    /// Processors we may use: the affinity mask capped by the quota of our control group, rounded up; at least 1.
    fn cpus(&self) -> usize;
    /// True for a directory.
    fn is_directory(&self, path: &Path) -> bool;
    /// True for a file.
    fn is_file(&self, path: &Path) -> bool;
    /// True for a file that somebody may execute.
    fn is_executable(&self, path: &Path) -> bool;
    /// Why our own user may not see or read what is at this path, if it may not; with the way out.
    fn closed(&self, path: &Path) -> Option<String>;
    /// The path of what is there, without links.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    /// The text of a small regular file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// The same of a file whose content an application is given: links on the way are followed where that
    /// gives nothing away.
    fn read_for_app(&self, path: &Path) -> io::Result<String>;
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// Where temporary files go.
    fn temp_dir(&self) -> PathBuf;
    /// Open files that a process may have, its hard limit.
    fn open_files_max(&self) -> u64;
}

/// The machine we run on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Surroundings for Machine {
    fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }

    fn uid(&self) -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn user(&self, name: &str) -> Option<Identity> {
        Identity::from_database(name)
    }

    fn group(&self, name: &str) -> Option<u32> {
        nix::unistd::Group::from_name(name)
            .ok()
            .flatten()
            .map(|group| group.gid.as_raw())
    }

    fn cpus(&self) -> usize {
        cpus::available()
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn is_executable(&self, path: &Path) -> bool {
        path.metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    }

    fn closed(&self, path: &Path) -> Option<String> {
        let need = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Need::Enter,
            Ok(_) => Need::Read,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Need::Read,
            Err(_) => return None,
        };
        path_problem(path, &Identity::current(), need)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        read_bounded(open_regular(path)?, FILE_BYTES_MAX)
    }

    fn read_for_app(&self, path: &Path) -> io::Result<String> {
        if self.is_root() {
            read_bounded(regular(followed::open(path)?)?, FILE_BYTES_MAX)
        } else {
            // The application runs as our own user and may read the same files.
            self.read(path)
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn temp_dir(&self) -> PathBuf {
        std::env::temp_dir()
    }

    fn open_files_max(&self) -> u64 {
        getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(_, hard)| hard)
    }
}
