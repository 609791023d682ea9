//! A memory file that is filled through one mapping and read by others who are given its descriptor.

use std::{fs::File, io, os::fd::OwnedFd, sync::Arc};

use memmap2::MmapRaw;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::map;

/// A memory file of fixed length. Whoever is given its descriptor can read it and nothing else: it is sealed
/// against any other writing than through the one mapping, which is here, and against another length. Pages
/// that were never written take no memory.
#[derive(Debug)]
pub struct Exclusive {
    file: Arc<File>,
    map: MmapRaw,
}

impl Exclusive {
    /// Makes one of zeroes.
    pub fn new(name: &str, len: usize) -> io::Result<Self> {
        let file: OwnedFd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, len as u64)?;
        let map = map::writable(&file, len)?;
        // Only now: what is mapped for writing before this seal stays so.
        let seals = SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        Ok(Self {
            file: Arc::new(file.into()),
            map,
        })
    }

    /// The file, to be read by `pread` or through a mapping of the reader's own.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Its bytes, to be written.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `map` is `len` bytes long, and is unmapped only once no borrow of `self` is left. The seals
        // keep the file that long, so no page of it can be lost, and nobody can write it but through this
        // mapping, which is borrowed as a whole: for as long as the slice lives these bytes change by it
        // alone.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr(), self.map.len()) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_written_here_is_read_there_and_nobody_else_can_write() {
        let mut own = Exclusive::new("body", 1 << 16).expect("a file");
        own.bytes()[..3].copy_from_slice(b"abc");
        let other = own.file().try_clone().expect("a duplicate");
        let mut read = [0; 4];
        other.read_exact_at(&mut read, 0).expect("four bytes");
        assert_eq!(&read, b"abc\0");
        assert!(other.write_at(b"x", 0).is_err());
        assert!(other.set_len(0).is_err() && other.set_len(1 << 20).is_err());
        assert!(map::writable(&other.into(), 1 << 16).is_err());
    }
}
