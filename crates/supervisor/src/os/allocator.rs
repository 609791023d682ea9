//! The memory of the supervisor, which is small and lives for months.
#![allow(unsafe_code)]

/// One arena for all threads: the writer of the log and we are never busy at the same time for long, and what
/// an arena of its own holds is given back only when its top is free.
pub(crate) fn one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers and touches no memory of ours; called before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
