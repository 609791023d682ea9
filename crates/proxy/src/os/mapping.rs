//! Shared memory of a memory file, seen as atomic words.

use std::{io, os::fd::OwnedFd, ptr::NonNull, sync::atomic::AtomicU64};

use rustix::{
    fs::{SealFlags, fcntl_get_seals, fstat},
    mm::{MapFlags, ProtFlags, mmap, munmap},
};

/// A shared mapping of a whole memory file; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

/// Why a descriptor can not be mapped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MappingError {
    /// Without the seal its owner could shrink it under us, and touching the lost part is a SIGBUS.
    #[error("link page is not sealed against shrinking")]
    NotSealed,
    /// Nothing to map, or absurdly much.
    #[error("link page has {0} bytes, expected 32 to {max}", max = Mapping::LEN_MAX)]
    Size(u64),
    /// The kernel refused.
    #[error("link page cannot be mapped: {0}")]
    Os(#[from] io::Error),
}

impl Mapping {
    /// Largest file that is mapped.
    pub(crate) const LEN_MAX: u64 = 8 << 20;

    /// Maps the file. The descriptor is closed; the mapping stays.
    pub(crate) fn new(file: &OwnedFd) -> Result<Self, MappingError> {
        let seals = fcntl_get_seals(file).map_err(io::Error::from)?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(MappingError::NotSealed);
        }
        let size = fstat(file).map_err(io::Error::from)?.st_size;
        let len = u64::try_from(size).unwrap_or(0);
        let words = len / size_of::<AtomicU64>() as u64;
        let (Ok(words), 32..=Self::LEN_MAX) = (usize::try_from(words), len) else {
            return Err(MappingError::Size(len));
        };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory Rust knows of. It covers only
        // bytes of the file (`words` is rounded down from its size), and the seal keeps them there.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                words * size_of::<AtomicU64>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )
        }
        .map_err(io::Error::from)?;
        let start = NonNull::new(start.cast())
            .ok_or_else(|| MappingError::Os(io::Error::from(io::ErrorKind::OutOfMemory)))?;
        Ok(Self { start, words })
    }

    /// The words, shared with whoever else maps the file.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `new` mapped `words` whole words at `start`, page-aligned and thus aligned for AtomicU64, and `drop`
        // unmaps them only once no borrow of `self` is left. Another process writes them too; atomics allow that, and every
        // bit pattern is a valid AtomicU64.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

// SAFETY: the mapping belongs to no thread, and all access goes through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped, and nothing borrows it any more.
        // An error could only mean a wrong range; there is nothing to be done about it here.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.words * size_of::<AtomicU64>()) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;

    fn memory_file(len: u64) -> OwnedFd {
        let file = memfd_create("page", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd");
        ftruncate(&file, len).expect("ftruncate");
        file
    }

    #[test]
    fn two_mappings_of_one_file_share_their_words() {
        let file = memory_file(4096);
        fcntl_add_seals(&file, SealFlags::SHRINK).expect("seal");
        let one = Mapping::new(&file).expect("map");
        let two = Mapping::new(&file).expect("map");
        one.words()[511].store(7, Ordering::Release);
        assert_eq!(two.words().len(), 512);
        assert_eq!(two.words()[511].load(Ordering::Acquire), 7);
    }

    #[test]
    fn a_file_that_could_shrink_or_is_empty_is_refused() {
        assert!(matches!(
            Mapping::new(&memory_file(4096)),
            Err(MappingError::NotSealed)
        ));
        let empty = memory_file(0);
        fcntl_add_seals(&empty, SealFlags::SHRINK).expect("seal");
        assert!(matches!(Mapping::new(&empty), Err(MappingError::Size(0))));
    }
}
