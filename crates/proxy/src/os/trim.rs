//! Giving freed memory back to the system.

/// Exchanges the freed pieces that the C library keeps at hand for the calling thread, which counts them as
/// in use, for others. After a crowd they lie all over the heap, and each keeps a page of it: with four
/// threads that was as much as all else that the process uses. So do other small pieces, so that some rounds
/// are taken before those that are cut from one large piece come. Takes less than a millisecond.
pub(crate) fn renew_kept() {
    #[cfg(target_env = "gnu")]
    {
        use std::hint::black_box;

        let take = || -> Vec<Vec<u8>> {
            let each = KEPT_SIZES
                .step_by(KEPT_STEP)
                .flat_map(|size| [size; KEPT_PER_SIZE]);
            each.map(|size| black_box(Vec::with_capacity(size))).collect()
        };
        let mut taken: Vec<_> = (0..ROUNDS).map(|_| take()).collect();
        // What is freed first is what is kept: the last that were taken.
        while let Some(last) = taken.pop() {
            drop(last);
        }
    }
}

#[cfg(target_env = "gnu")]
const ROUNDS: usize = 6;

/// glibc's thread cache: sizes, and pieces of each.
#[cfg(target_env = "gnu")]
const KEPT_SIZES: std::ops::RangeInclusive<usize> = 24..=1032;
#[cfg(target_env = "gnu")]
const KEPT_STEP: usize = 16;
#[cfg(target_env = "gnu")]
const KEPT_PER_SIZE: usize = 7;

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
