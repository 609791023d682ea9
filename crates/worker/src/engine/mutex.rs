//! Mutexes, whatever has become of the threads that had them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. A thread that panicked has left nothing half done that matters more than going on.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
