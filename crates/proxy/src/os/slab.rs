//! A memory file that is filled through a mapping and read by others who are given its descriptor.

use std::{fs::File, io, ptr::NonNull, sync::Arc};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap, munmap},
};

/// A memory file of fixed length. Whoever is given its descriptor can read it and nothing else: it is sealed against any other
/// writing than through the one mapping, which is here, and against another length. Pages that were never written take no memory.
#[derive(Debug)]
pub(crate) struct Slab {
    file: Arc<File>,
    start: NonNull<u8>,
    len: usize,
}

impl Slab {
    /// Makes one of zeroes.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        let file = memfd_create("body", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, len as u64)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory Rust knows of.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let slab = Self {
            file: Arc::new(file.into()),
            start,
            len,
        };
        // Only now: what is mapped for writing before this seal stays so.
        let seals = SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&*slab.file, seals)?;
        Ok(slab)
    }

    /// The file, to be read by `pread` or through a mapping of the reader's own.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Its bytes, to be written.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `new` mapped `len` bytes at `start`, and `drop` unmaps them only once no borrow of `self` is left. The seals
        // keep the file that long, so no page of it can be lost, and nobody can write it but through this mapping, which is
        // borrowed as a whole: for as long as the slice lives these bytes change by it alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

// SAFETY: the mapping belongs to no thread, and `Slab` gives it out by the usual rules of borrowing.
unsafe impl Send for Slab {}
// SAFETY: a shared reference gives out the descriptor only.
unsafe impl Sync for Slab {}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped, and nothing borrows it any more.
        // An error could only mean a wrong range; there is nothing to be done about it here.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_written_here_is_read_there_and_nobody_else_can_write() {
        let mut slab = Slab::new(1 << 16).expect("slab");
        slab.bytes()[..3].copy_from_slice(b"abc");
        let other = slab.file().try_clone().expect("dup");
        let mut read = [0; 4];
        other.read_exact_at(&mut read, 0).expect("read");
        assert_eq!(&read, b"abc\0");
        assert!(other.write_at(b"x", 0).is_err());
        assert!(other.set_len(0).is_err() && other.set_len(1 << 20).is_err());
        // SAFETY: as in `Slab::new`; it is expected to fail.
        let mapped = unsafe {
            mmap(
                std::ptr::null_mut(),
                1 << 16,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &other,
                0,
            )
        };
        assert!(mapped.is_err());
    }
}
