//! Descriptors that come by number: from the exec of the interpreter, or inherited over a fork.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes a descriptor over that the process was started with. `None` when that number is not open.
pub(crate) fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD only looks at the table of descriptors.
    if number < 0 || unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
        return None;
    }
    // SAFETY: the number is open (checked above). It was put there for us by whoever executed this process, and the caller
    // takes it over once.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A view of a number, for a duplicate or a `fstat`; the kernel answers EBADF when it is not open.
pub(crate) fn with_number<T>(number: RawFd, look: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
    // SAFETY: F_GETFD only looks at the table of descriptors.
    if number < 0 || unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
        return None;
    }
    // SAFETY: open now, not -1, and the borrow ends before this function does. Should another thread close the number
    // meanwhile, the kernel answers EBADF; no memory depends on it.
    Some(look(unsafe { BorrowedFd::borrow_raw(number) }))
}

/// Makes `number` a duplicate of `from`, whatever it was before.
pub(crate) fn put_at(from: &OwnedFd, number: RawFd) -> std::io::Result<()> {
    // SAFETY: both numbers are plain integers to the kernel; `number` is one of the standard streams or is occupied by a
    // descriptor that the caller wants replaced, so nobody's ownership is broken.
    if unsafe { libc::dup2(from.as_raw_fd(), number) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// `/dev/null`, to put in the place of others.
pub(crate) fn null() -> std::io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    Ok(open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes `own` a duplicate of `from`, not to be inherited by programs. Its owner does not notice.
pub(crate) fn replace(from: &OwnedFd, own: &OwnedFd) -> std::io::Result<()> {
    put_at(from, own.as_raw_fd())?;
    Ok(rustix::io::fcntl_setfd(own, rustix::io::FdFlags::CLOEXEC)?)
}

/// Closes every descriptor from `first` on. Only for a process that has not opened anything yet.
pub(crate) fn close_from(first: u32) {
    // SAFETY: runs first thing in a freshly executed interpreter, where nothing above the given descriptors has an owner.
    // A kernel without the call answers ENOSYS and leaves them open.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Numbers of all open descriptors. Empty where /proc is not mounted.
pub(crate) fn open_numbers() -> Vec<RawFd> {
    let mut numbers: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")
        .map(|entries| {
            entries
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    // One of them was the listing's own.
    numbers.retain(|&number| with_number(number, |_| ()).is_some());
    numbers
}
