//! Files that live in memory only.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

/// A memory file with these bytes that nobody can change any more. `executable`: its pages may be mapped as
/// code, which an administrator can forbid (`vm.memfd_noexec=2`).
pub fn sealed(name: &str, bytes: &[u8], executable: bool) -> io::Result<OwnedFd> {
    let kind = if executable {
        MemfdFlags::EXEC
    } else {
        MemfdFlags::NOEXEC_SEAL
    };
    let mut file = File::from(create(name, kind)?);
    file.write_all(bytes)?;
    seal(file)
}

/// An empty memory file, to be written and then [sealed](seal).
pub fn unsealed(name: &str) -> io::Result<File> {
    Ok(create(name, MemfdFlags::NOEXEC_SEAL)?.into())
}

/// From now on nobody can change it any more.
pub fn seal(file: File) -> io::Result<OwnedFd> {
    fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

/// A memory file of this length, all zero, that two processes map and write. Its length cannot change, so
/// that neither can make the other fail with SIGBUS.
pub fn shared(name: &str, len: u64) -> io::Result<OwnedFd> {
    let fd = create(name, MemfdFlags::NOEXEC_SEAL)?;
    ftruncate(&fd, len)?;
    fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(fd)
}

fn create(name: &str, kind: MemfdFlags) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(name, flags | kind) {
        // Kernels before 6.3 know neither kind.
        Err(rustix::io::Errno::INVAL) => Ok(memfd_create(name, flags)?),
        created => Ok(created?),
    }
}
