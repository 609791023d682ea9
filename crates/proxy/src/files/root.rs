//! A directory, and how far what is opened below it may leave it.
//!
//! A front thread opens nothing on a file system that may let it wait ([`distant`]): there it stops, and
//! others go on.

use std::{
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use config::{Files, Symlinks};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{
    distant,
    walk::{self, NotOpened},
};

/// Where files may lie that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// On a file system that answers at once; for a front thread.
    Near,
    /// Anywhere; for a thread that may wait.
    Anywhere,
}

/// The directory of a route. It is opened for each request that looks into it, so that a deployment may replace it.
#[derive(Debug)]
pub(super) struct Root<'a> {
    pub(super) path: &'a Path,
    pub(super) symlinks: Symlinks,
    pub(super) reach: Reach,
    fd: Option<OwnedFd>,
}

impl<'a> Root<'a> {
    /// Not opened yet.
    pub(super) fn new(files: &'a Files, reach: Reach) -> Self {
        Self::at(&files.root, files.symlinks, reach)
    }

    pub(super) fn at(path: &'a Path, symlinks: Symlinks, reach: Reach) -> Self {
        Self {
            path,
            symlinks,
            reach,
            fd: None,
        }
    }

    /// Opens the directory; symbolic links on the way to it are the administrator's and are followed.
    pub(super) fn open(&mut self) -> Result<BorrowedFd<'_>, NotOpened> {
        let fd = match self.fd.take() {
            Some(fd) => fd,
            None => {
                if self.reach == Reach::Near && !distant::is_near(self.path) {
                    return Err(NotOpened::Elsewhere);
                }
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::openat(CWD, self.path, flags, Mode::empty())?
            }
        };
        let fd: &OwnedFd = self.fd.insert(fd);
        Ok(fd.as_fd())
    }

    /// Opens what lies at a relative path without `..`.
    ///
    /// Where links must stay inside, the kernel sees to it in one call, but it takes every absolute link for
    /// one that leads out, and old kernels and some sandboxes do not know the call: there the path is
    /// [walked](walk). The links of /proc that are somebody's open files are nobody's to follow.
    pub(super) fn open_below(&mut self, relative: &[u8], flags: OFlags) -> Result<OwnedFd, NotOpened> {
        let (path, symlinks, reach) = (self.path, self.symlinks, self.reach);
        let fd = self.open()?;
        let mut resolve = reach.resolve();
        if symlinks == Symlinks::Inside {
            resolve |= ResolveFlags::BENEATH;
        }
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat2(fd, relative, flags, Mode::empty(), resolve) {
                // A rename got in between while `..` was resolved.
                Err(Errno::AGAIN | Errno::INTR) => {}
                // The way leads over the root of another file system.
                Err(Errno::XDEV) if symlinks == Symlinks::Follow => return Err(NotOpened::Elsewhere),
                Err(Errno::XDEV | Errno::NOSYS | Errno::PERM) => break,
                opened => return Ok(opened?),
            }
        }
        match symlinks {
            Symlinks::Follow => Ok(rustix::fs::openat(fd, relative, flags, Mode::empty())?),
            Symlinks::Inside => walk::open(fd, path, relative, flags, reach),
        }
    }
}

impl Reach {
    pub(super) fn resolve(self) -> ResolveFlags {
        match self {
            Self::Near => ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
            Self::Anywhere => ResolveFlags::NO_MAGICLINKS,
        }
    }
}

/// A path as bytes.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

const ATTEMPTS: usize = 4;
