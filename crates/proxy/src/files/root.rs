//! A directory that nothing opened below it can leave.

use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::walk;

/// The directory of a route. It is opened for each request, so that a deployment may replace it.
#[derive(Debug)]
pub(super) struct Root<'a> {
    path: &'a Path,
    fd: OwnedFd,
}

impl<'a> Root<'a> {
    /// Opens the directory; symbolic links on the way to it are the administrator's and are followed.
    pub(super) fn open(path: &'a Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { path, fd })
    }

    /// Opens what lies at a relative path. Symbolic links are followed as long as they stay inside; `XDEV` when one leads
    /// out.
    ///
    /// The kernel does this safely and in one call, but it takes every absolute link for one that leads out, and old
    /// kernels and some sandboxes do not know the call: there the path is [walked](walk).
    pub(super) fn open_beneath(&self, relative: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat2(&self.fd, relative, flags, Mode::empty(), resolve) {
                // A rename got in between while `..` was resolved.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::XDEV | Errno::NOSYS | Errno::PERM) => break,
                opened => return opened,
            }
        }
        walk::open(self.fd.as_fd(), self.path, relative, flags)
    }
}

/// A path as bytes.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

const ATTEMPTS: usize = 4;
