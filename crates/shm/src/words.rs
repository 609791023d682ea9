//! A memory file as atomic words, which several processes write.

use std::{os::fd::OwnedFd, ptr::NonNull, sync::atomic::AtomicU64};

use memmap2::MmapRaw;
use rustix::fs::SealFlags;

use crate::{Error, map};

/// All whole words of a file.
#[derive(Debug)]
pub struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
    /// Keeps the mapping.
    _map: MmapRaw,
}

// SAFETY: the mapping belongs to no thread, and all access goes through atomics.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Largest file that is mapped.
    pub const LEN_MAX: u64 = 8 << 20;

    /// Maps the file, which must not be able to shrink. The descriptor may be closed; the mapping stays.
    pub fn map(file: &OwnedFd) -> Result<Self, Error> {
        let len = map::sealed_len(file, SealFlags::SHRINK, LEN_MIN..=Self::LEN_MAX)?;
        let map = map::writable(file, len)?;
        let start = NonNull::new(map.as_mut_ptr().cast());
        let start = start.ok_or(std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
        let count = len / size_of::<AtomicU64>();
        Ok(Self {
            start,
            count,
            _map: map,
        })
    }

    /// The words, shared with whoever else maps the file.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: `_map` is at least `count` whole words long, begins at a page and so is aligned for
        // AtomicU64, and is unmapped only once no borrow of `self` is left; the seal keeps every page of the
        // file until then. Another process writes the words too; atomics allow that, and every bit pattern is
        // a valid AtomicU64.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

/// One entry of a link page.
const LEN_MIN: u64 = 32;

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::file;

    #[test]
    fn two_mappings_of_one_file_share_their_words() {
        let file = file::shared("page", 4096).expect("a file");
        let one = Words::map(&file).expect("a mapping");
        let two = Words::map(&file).expect("a mapping");
        one.words()[511].store(7, Ordering::Release);
        assert_eq!(two.words().len(), 512);
        assert_eq!(two.words()[511].load(Ordering::Acquire), 7);
    }

    #[test]
    fn a_file_that_could_shrink_or_has_no_entry_is_refused() {
        let open = OwnedFd::from(file::unsealed("page").expect("a file"));
        rustix::fs::ftruncate(&open, 4096).expect("a length");
        assert!(matches!(Words::map(&open), Err(Error::NotSealed)));
        for len in [0, 31, Words::LEN_MAX + 1] {
            let file = file::shared("page", len).expect("a file");
            assert!(matches!(Words::map(&file), Err(Error::Size(size)) if size == len));
        }
    }
}
