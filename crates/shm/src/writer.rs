//! A memory file that this process fills for another one to read.

use std::{io, ops::Range, os::fd::OwnedFd};

use memmap2::{Advice, MmapRaw, UncheckedAdvice};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::map;

/// All bytes of one file. They are written and never read here: a process that was forked from this one has
/// the same mapping. The descriptor is not kept: an application that closes what it does not know, and opens
/// something else, must not get a hole punched into that.
#[derive(Debug)]
pub struct Writer(MmapRaw);

impl Writer {
    /// Makes a file of zeroes, and the descriptor that whoever is to read it needs. It stays as long as it
    /// is. Pages that were never written take no memory.
    pub fn new(name: &str, len: usize) -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, len as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let map = map::writable(&file, len)?;
        Ok((Self(map), file))
    }

    /// Writes these bytes from its beginning on. `false`: it has not room for so many, and is as before.
    #[must_use]
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.0.len();
        if fits {
            // SAFETY: `bytes` is good for its length, which the mapping has room for; the seals keep the file
            // that long. They do not overlap: no slice is ever given out of the mapping. Whoever reads it
            // meanwhile knows that it may change.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.as_mut_ptr(), bytes.len()) };
        }
        fits
    }

    /// Gets memory for these bytes: in one go, and with an error where writing would find none and be a
    /// SIGBUS. A kernel before 5.14 does nothing.
    pub fn populate(&mut self, bytes: Range<usize>) -> io::Result<()> {
        let end = bytes.end.min(self.0.len());
        let start = bytes.start.min(end);
        match self.0.advise_range(Advice::PopulateWrite, start, end - start) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            done => done,
        }
    }

    /// Gives the memory of the first bytes back; they are zero afterwards. Where the kernel cannot, they
    /// stay.
    pub fn vacate(&mut self, len: usize) {
        let len = len.min(self.0.len());
        // SAFETY: the range is inside the mapping, and nothing borrows its bytes, which become zero: none is
        // ever given out.
        let _ = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::Remove, 0, len) };
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::FileExt};

    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_descriptor_and_given_back_as_zeroes() {
        let (mut writer, file) = Writer::new("answer", 1 << 16).expect("a file");
        let file = File::from(file);
        let read = || {
            let mut read = [9; 4];
            file.read_exact_at(&mut read, 0).expect("four bytes");
            read
        };
        writer.populate(0..3).expect("memory");
        assert!(writer.write(b"abc"));
        assert_eq!(&read(), b"abc\0");
        writer.vacate(3);
        assert_eq!(read(), [0; 4]);
    }

    #[test]
    fn what_has_no_room_is_not_written_and_no_range_is_too_large() {
        let (mut writer, file) = Writer::new("answer", 4096).expect("a file");
        assert!(!writer.write(&[1; 4097]));
        let mut read = [9; 1];
        let file = File::from(file);
        file.read_exact_at(&mut read, 0).expect("a byte");
        assert_eq!(read, [0]);
        writer.populate(8192..1 << 20).expect("nothing to do");
        writer.vacate(1 << 20);
        assert!(writer.write(&[1; 4096]));
        assert!(file.set_len(0).is_err());
    }
}
