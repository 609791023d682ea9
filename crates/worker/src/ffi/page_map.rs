//! A link page, mapped.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::AtomicU64,
};

use wire::page::Page;

/// Longest page that is mapped; a link has a few hundred entries of 32 bytes.
const LEN_MAX: u64 = 1 << 20;

/// The words of one page, shared with the proxy.
#[derive(Debug)]
pub(crate) struct PageMap {
    start: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the memory is only ever seen as atomic words, which any thread may use.
unsafe impl Send for PageMap {}
// SAFETY: as above.
unsafe impl Sync for PageMap {}

impl PageMap {
    /// Maps all of the file.
    pub(crate) fn new(file: &OwnedFd) -> io::Result<Self> {
        let len = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
        if !(8..=LEN_MAX).contains(&len) {
            return Err(io::Error::other(format!("link page of {len} bytes")));
        }
        let len = len as usize;
        // SAFETY: a new mapping at an address of the kernel's choice, over a file of at least `len` bytes; the supervisor seals
        // it against shrinking.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("link page mapped at 0"))?;
        Ok(Self { start, len })
    }

    /// A view of it.
    #[inline]
    pub(crate) fn page(&self) -> Page<'_> {
        // SAFETY: `start` is page-aligned and good for `len` bytes until drop; other processes write it only atomically.
        Page::new(unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len / 8) })
    }
}

impl Drop for PageMap {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and views borrow from `self`, so none is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
