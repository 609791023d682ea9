//! Giving freed memory back to the system.

/// Walks over the heap and gives back what is free in it. Takes milliseconds; other threads go on, but for
/// the part of the heap that is being walked. Where the C library cannot do it, nothing happens.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointers, may be called at any time from any thread, and moves nothing that is in
    // use.
    unsafe {
        libc::malloc_trim(0);
    }
}
