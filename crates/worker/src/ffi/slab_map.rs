//! A slab, mapped to be read.

use std::{io, os::fd::OwnedFd, ptr::NonNull};

use rustix::{
    fs::{SealFlags, fcntl_get_seals, fstat},
    mm::{MapFlags, ProtFlags, mmap, munmap},
};

/// Longest file that is mapped: a proxy's slabs have 4 MiB. A larger one has no business here, and its pages are not ours to keep.
const LEN_MAX: u64 = 16 << 20;

/// All of a memory file that a proxy lends bodies in. The proxy goes on to write it, while it is not lent.
#[derive(Debug)]
pub(crate) struct SlabMap {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to no thread, and is only ever read.
unsafe impl Send for SlabMap {}
// SAFETY: as above.
unsafe impl Sync for SlabMap {}

impl SlabMap {
    /// Maps all of the file. An error when it could become shorter: who reads where a mapped file has been cut is killed.
    pub(crate) fn new(file: &OwnedFd) -> io::Result<Self> {
        if !fcntl_get_seals(file)?.contains(SealFlags::SHRINK) {
            return Err(io::Error::other("a file that may become shorter"));
        }
        // Only now: the seal keeps it at least as long as it is from here on.
        let len = u64::try_from(fstat(file)?.st_size).unwrap_or(0);
        if !(1..=LEN_MAX).contains(&len) {
            return Err(io::Error::other(format!("slab of {len} bytes")));
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
        }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("slab mapped at 0"))?;
        Ok(Self { start, len })
    }

    /// The first `len` bytes; `None` when there are not as many. Only for a body of this length that is lent in it, and only until
    /// it is given back.
    #[inline]
    pub(crate) fn bytes(&self, len: usize) -> Option<&[u8]> {
        if len > self.len {
            return None;
        }
        // SAFETY: `new` mapped at least `len` bytes at `start`, `drop` unmaps them only once no borrow of `self` is left, and the
        // seal keeps every page of the file until then. The proxy, the only one that can write them, does not while the body
        // is lent; the one caller, `BodyFile`, says that it is given back when it is dropped, and its slices borrow from it.
        Some(unsafe { std::slice::from_raw_parts(self.start.as_ptr(), len) })
    }
}

impl Drop for SlabMap {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped, and nothing borrows it any more.
        // An error could only mean a wrong range; there is nothing to be done about it here.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
