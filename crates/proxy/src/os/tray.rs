//! A worker's memory file that answers travel in, mapped.

use std::{io, os::fd::OwnedFd, ptr::NonNull};

use rustix::{
    fs::{SealFlags, fcntl_get_seals, fstat},
    mm::{MapFlags, ProtFlags, mmap, munmap},
};

/// All bytes of one file, to be read.
#[derive(Debug)]
pub(crate) struct TrayMap {
    start: NonNull<u8>,
    len: usize,
}

/// Why a descriptor is no tray.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrayError {
    /// Without the seals its worker could shrink it under us, and touching the lost part is a SIGBUS.
    #[error("tray is not sealed against another length")]
    NotSealed,
    /// Not what was agreed upon.
    #[error("tray has {0} bytes")]
    Size(i64),
    /// The kernel refused.
    #[error("tray cannot be mapped: {0}")]
    Os(#[from] io::Error),
}

impl TrayMap {
    /// Maps a file of this length. The descriptor is closed; the mapping stays.
    pub(crate) fn new(file: &OwnedFd, len: u32) -> Result<Self, TrayError> {
        // Only memory files have seals; for any other file this is an error.
        let seals = fcntl_get_seals(file).map_err(io::Error::from)?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
            return Err(TrayError::NotSealed);
        }
        let size = fstat(file).map_err(io::Error::from)?.st_size;
        if size != i64::from(len) || len == 0 {
            return Err(TrayError::Size(size));
        }
        let len = len as usize;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory Rust knows of.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ,
                MapFlags::SHARED,
                file,
                0,
            )
        }
        .map_err(io::Error::from)?;
        let start = NonNull::new(start.cast()).ok_or(io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { start, len })
    }

    /// Its bytes. The worker does not write them while it has lent them to us.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `new` mapped `len` bytes at `start`, and `drop` unmaps them only once no borrow of `self` is left. The seals
        // keep the file that long, so no page of it can be lost. The worker, which maps it too, does not write while a tray is
        // lent. One that breaks this rule changes bytes of answers of its own application and nothing else: all that is done with
        // a body here is to copy it, as it is, to a client or a file; no length, index or text is taken from it and
        // nothing is read twice to be decided on.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

// SAFETY: the mapping belongs to no thread.
unsafe impl Send for TrayMap {}
// SAFETY: a shared reference gives out bytes to be read only.
unsafe impl Sync for TrayMap {}

impl Drop for TrayMap {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped, and nothing borrows it any more.
        // An error could only mean a wrong range; there is nothing to be done about it here.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::FileExt};

    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;

    fn memory_file(len: u64, seals: SealFlags) -> OwnedFd {
        let file = memfd_create("tray", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd");
        ftruncate(&file, len).expect("ftruncate");
        fcntl_add_seals(&file, seals).expect("seal");
        file
    }

    #[test]
    fn what_the_worker_writes_is_read_here() {
        let file = memory_file(1 << 16, SealFlags::SHRINK | SealFlags::GROW);
        let tray = TrayMap::new(&file, 1 << 16).expect("a tray");
        let file = File::from(file);
        file.write_all_at(b"abc", 65_533).expect("write");
        drop(file);
        assert_eq!(&tray.bytes()[65_532..], b"\0abc");
    }

    #[test]
    fn a_file_that_could_change_its_length_or_has_another_is_refused() {
        let sealed = SealFlags::SHRINK | SealFlags::GROW;
        for seals in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE] {
            let refused = TrayMap::new(&memory_file(4096, seals), 4096);
            assert!(matches!(refused, Err(TrayError::NotSealed)), "{seals:?}");
        }
        for len in [0, 4095, 4097] {
            let refused = TrayMap::new(&memory_file(len, sealed), 4096);
            assert!(matches!(refused, Err(TrayError::Size(size)) if size == len as i64));
        }
        assert!(matches!(
            TrayMap::new(&memory_file(0, sealed), 0),
            Err(TrayError::Size(0))
        ));
        let other = OwnedFd::from(tempfile::tempfile().expect("a file"));
        assert!(matches!(TrayMap::new(&other, 4096), Err(TrayError::Os(_))));
    }
}
