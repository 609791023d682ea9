//! The engine: takes requests off the links, hands them to the host threads, sends the answers.
//!
//! * [`link`]: one socket to one proxy: its reading and its writing side.
//! * [`job`]: a request as it came.
//! * [`queue`]: the requests that nobody has begun, and the threads that wait for some.
//! * [`slot`]: one host thread's place: which stream it runs, what it may send.
//! * [`host`]: the life of a host thread.
//! * [`ticker`]: sends in time what a busy host thread holds.
//!
//! There is no thread that only reads. Whoever has nothing to run waits in `epoll_wait`; one is woken for what arrives, reads
//! all that is there, and runs the first request itself. With one thread that is a receive and a send per batch and no
//! wake-up between threads at all. A thread that waits for credit reads as well, so answers never wait for a thread
//! to become free.
//!
//! Order of locks: a link's reader, then the queue's state, then a slot; a link's writing side and the list of links are taken
//! alone. The GIL is never waited for while a lock is held, so a lock may be waited for with the GIL held; only a link's
//! reader is held over system calls, and that one is taken without the GIL.

pub(crate) mod host;
pub(crate) mod job;
pub(crate) mod link;
pub(crate) mod queue;
pub(crate) mod slot;
pub(crate) mod ticker;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. A thread that panicked has left nothing half done that matters more than going on.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// CLOCK_MONOTONIC in nanoseconds, which the proxy compares with its own.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
