//! The memory file of a tray, mapped.

use std::{io, ops::Range, os::fd::OwnedFd, ptr::NonNull};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    io::Errno,
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap},
};

/// All bytes of one file. The descriptor is not kept: an application that closes what it does not know, and opens something else,
/// must not get a hole punched into that.
#[derive(Debug)]
pub(crate) struct TrayMap {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to no thread, and `TrayMap` gives it out by the usual rules of borrowing.
unsafe impl Send for TrayMap {}

impl TrayMap {
    /// Makes a file of zeroes, and the descriptor that whoever is to read it needs. It stays as long as it is. Pages that were never
    /// written take no memory.
    pub(crate) fn new(len: u32) -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create("tray", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, u64::from(len))?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let len = len as usize;
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
        Ok((Self { start, len }, file))
    }

    /// Its bytes, to be written.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `new` mapped `len` bytes at `start`, and `drop` unmaps them only once no borrow of `self` is left. The seals
        // keep the file that long. The proxy maps it to read only, and a process that the application has forked does not write
        // (`engine::trays`), so for as long as the slice lives these bytes change by it alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Gets memory for these bytes: in one go, and with an error where writing would find none and be a SIGBUS. A kernel before 5.14
    /// does nothing.
    pub(crate) fn populate(&mut self, bytes: Range<usize>) -> io::Result<()> {
        match self.advise(bytes, Advice::LinuxPopulateWrite) {
            Err(Errno::INVAL) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Gives the memory of the first bytes back; they are zero afterwards. Where the kernel can not, they stay.
    pub(crate) fn vacate(&mut self, len: usize) {
        let _ = self.advise(0..len, Advice::LinuxRemove);
    }

    fn advise(&mut self, bytes: Range<usize>, advice: Advice) -> rustix::io::Result<()> {
        // The kernel wants the beginning of a page, and rounds the end up to one itself.
        let from = bytes.start.min(self.len) / PAGE * PAGE;
        let len = bytes.end.min(self.len).saturating_sub(from);
        // SAFETY: the range is inside the mapping. The one advice only gets memory for it, the other one makes bytes zero that nobody
        // borrows, as `self` is borrowed as a whole.
        unsafe { madvise(self.start.as_ptr().add(from).cast(), len, advice) }
    }
}

/// A multiple of it is a multiple of every size of a page there is.
const PAGE: usize = 64 << 10;

impl Drop for TrayMap {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped, and nothing borrows it any more.
        // An error could only mean a wrong range; there is nothing to be done about it here.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
