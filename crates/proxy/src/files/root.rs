//! A directory that nothing opened below it can leave.

use std::{
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::walk;

/// The directory of a route. It is opened for each request that looks into it, so that a deployment may replace it.
#[derive(Debug)]
pub(super) struct Root<'a> {
    pub(super) path: &'a Path,
    fd: Option<OwnedFd>,
}

impl<'a> Root<'a> {
    /// Not opened yet.
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, fd: None }
    }

    /// Opens the directory; symbolic links on the way to it are the administrator's and are followed.
    pub(super) fn open(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        let fd = match self.fd.take() {
            Some(fd) => fd,
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::openat(CWD, self.path, flags, Mode::empty())?
            }
        };
        let fd: &OwnedFd = self.fd.insert(fd);
        Ok(fd.as_fd())
    }

    /// Opens what lies at a relative path. Symbolic links are followed as long as they stay inside; `XDEV` when one leads
    /// out.
    ///
    /// The kernel does this safely and in one call, but it takes every absolute link for one that leads out, and old
    /// kernels and some sandboxes do not know the call: there the path is [walked](walk).
    pub(super) fn open_beneath(&mut self, relative: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = self.path;
        let fd = self.open()?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat2(fd, relative, flags, Mode::empty(), resolve) {
                // A rename got in between while `..` was resolved.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::XDEV | Errno::NOSYS | Errno::PERM) => break,
                opened => return opened,
            }
        }
        walk::open(fd, path, relative, flags)
    }
}

/// A path as bytes.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

const ATTEMPTS: usize = 4;
