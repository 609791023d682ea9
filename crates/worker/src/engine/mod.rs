//! The engine: takes requests off the links, hands them to the host threads, sends the answers.
//!
//! * [`link`]: one socket to one proxy: its reading and its writing side.
//! * [`job`]: a request as it came; [`body_file`]: its body, when that came as a file; [`slabs`]: the files that come again and
//!   again, mapped.
//! * [`trays`]: memory of a link that large pieces of answers travel in.
//! * [`queue`]: the requests that nobody has begun, and the threads that wait for some.
//! * [`links`]: all links, watched by one epoll descriptor.
//! * [`slot`]: one host thread's place: which stream it runs, what it may send.
//! * [`ticker`]: sends in time what a busy host thread holds, and lets go of slabs.
//! * [`evented`]: the same for hosts that never block: event loops and greenlets; it needs no queue and no slots.
//!
//! There is no thread that only reads. Whoever has nothing to run waits in `epoll_wait`; one is woken for what arrives, reads
//! all that is there, and runs the first request itself. With one thread that is a receive and a send per batch and no
//! wake-up between threads at all. A thread that waits for credit reads as well, so answers never wait for a thread
//! to become free.
//!
//! Order of locks: a link's reader, then the queue's state, then a slot; a link's writing side and the list of links are taken
//! alone, a link's slabs and its trays last of all. The GIL is never waited for while a lock is held, so a lock may be waited for with the
//! GIL held; only a link's reader is held over system calls that wait, and that one is taken without the GIL where there are
//! other threads.

pub(crate) mod body_file;
mod clock;
pub(crate) mod evented;
pub(crate) mod job;
pub(crate) mod link;
pub(crate) mod links;
mod mutex;
mod page;
pub(crate) mod queue;
pub(crate) mod slabs;
pub(crate) mod slot;
pub(crate) mod ticker;
pub(crate) mod trays;

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

pub(crate) use clock::now_ns;
use evented::Evented;
pub(crate) use mutex::lock;
use queue::Queue;

/// The engine as the rest of the worker sees it, whatever kind of host runs the application.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// Threads that block.
    Threads(Arc<Queue>),
    /// One thread that does not.
    Evented(Arc<Evented>),
}

impl Engine {
    /// A proxy wants to send requests.
    pub(crate) fn add_link(&self, socket: OwnedFd, page: &OwnedFd) -> std::io::Result<()> {
        match self {
            Self::Threads(queue) => queue.add_link(socket, page),
            Self::Evented(evented) => evented.add_link(socket, page),
        }
    }

    /// Takes no new request and lets the host leave when nothing runs any more; what runs has so long.
    /// Threads cannot be made to end, so they are not.
    pub(crate) fn drain(&self, within: Duration) {
        match self {
            Self::Threads(queue) => queue.drain(),
            Self::Evented(evented) => evented.drain(within),
        }
    }

    /// The host has left: sends what waits. To be called without the GIL.
    pub(crate) fn leave(&self) {
        match self {
            Self::Threads(queue) => queue.leave(),
            Self::Evented(evented) => evented.leave(),
        }
    }

    /// In a process that the application has forked: nothing of the worker's is left to it.
    pub(crate) fn disown(&self, null: &OwnedFd) {
        match self {
            Self::Threads(queue) => queue.disown(null),
            Self::Evented(evented) => evented.disown(null),
        }
    }
}
