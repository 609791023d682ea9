//! A memory file that another process writes, mapped to be read.

use std::{ops::RangeInclusive, os::fd::OwnedFd};

use memmap2::MmapRaw;
use rustix::fs::SealFlags;

use crate::{Error, Shared, map};

/// All bytes of a file that somebody else made, and may write.
#[derive(Debug)]
pub struct Reader(MmapRaw);

impl Reader {
    /// Maps a file that cannot change its length, which is one of these. The descriptor may be closed; the
    /// mapping stays.
    pub fn map(file: &OwnedFd, bytes: RangeInclusive<u64>) -> Result<Self, Error> {
        let len = map::sealed_len(file, SealFlags::SHRINK | SealFlags::GROW, bytes)?;
        Ok(Self(map::readable(file, len)?))
    }

    /// The first `len` bytes; `None` when there are not as many.
    #[inline]
    pub fn bytes(&self, len: usize) -> Option<Shared<'_>> {
        Shared::of(&self.0).get(..len)
    }

    /// The first `len` bytes as a socket or a file is given them, and nobody else; empty when there are not
    /// as many.
    ///
    /// Whoever calls this passes the bytes on as they are. No length, index or text may be taken from them,
    /// and nothing may be read twice to be decided on: that is for copies ([`Reader::bytes`]). The writing
    /// process does not write while it has lent them to us; one that breaks this rule changes bytes of its
    /// own answers and nothing else.
    #[inline]
    pub fn to_be_sent(&self, len: usize) -> &[u8] {
        let len = if len <= self.0.len() { len } else { 0 };
        // SAFETY: the mapping is at least `len` bytes long, and is unmapped only once no borrow of `self` is
        // left; the seals keep the file that long. What is done with the bytes is to have the kernel copy
        // them, which any content allows.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), len) }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::FileExt};

    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;

    fn memory_file(len: u64, seals: SealFlags) -> OwnedFd {
        let file = memfd_create("tray", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a file");
        ftruncate(&file, len).expect("a length");
        fcntl_add_seals(&file, seals).expect("seals");
        file
    }

    #[test]
    fn what_the_other_process_writes_is_read_here() {
        let file = memory_file(1 << 16, SealFlags::SHRINK | SealFlags::GROW);
        let reader = Reader::map(&file, 1 << 16..=1 << 16).expect("a mapping");
        let file = File::from(file);
        file.write_all_at(b"abc", 65_533).expect("three bytes");
        drop(file);
        let mut end = [9; 4];
        let bytes = reader.bytes(1 << 16).expect("so many");
        bytes.get(65_532..).expect("four bytes").copy_to(&mut end);
        assert_eq!(&end, b"\0abc");
        assert_eq!(&reader.to_be_sent(1 << 16)[65_532..], b"\0abc");
        assert!(reader.bytes((1 << 16) + 1).is_none());
        assert!(reader.to_be_sent((1 << 16) + 1).is_empty());
    }

    #[test]
    fn a_file_that_could_change_its_length_or_has_another_is_refused() {
        let sealed = SealFlags::SHRINK | SealFlags::GROW;
        for seals in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE] {
            let refused = Reader::map(&memory_file(4096, seals), 4096..=4096);
            assert!(matches!(refused, Err(Error::NotSealed)), "{seals:?}");
        }
        for len in [0, 4095, 4097] {
            let refused = Reader::map(&memory_file(len, sealed), 4096..=4096);
            assert!(matches!(refused, Err(Error::Size(size)) if size == len));
        }
        let empty = Reader::map(&memory_file(0, sealed), 0..=4096);
        assert!(matches!(empty, Err(Error::Size(0))));
        let other = OwnedFd::from(tempfile::tempfile().expect("a file"));
        assert!(matches!(Reader::map(&other, 0..=4096), Err(Error::Os(_))));
    }
}
