//! What the loop waits for, and what came.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::channel::Channel;

/// The descriptors the loop waits for in one turn.
#[derive(Debug, Default)]
pub(crate) struct Interest<'a> {
    fds: Vec<PollFd<'a>>,
}

impl<'a> Interest<'a> {
    /// Something to read.
    pub(crate) fn read(&mut self, fd: BorrowedFd<'a>) {
        self.fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
    }

    /// A message, or room for one.
    pub(crate) fn channel(&mut self, channel: &'a Channel) {
        let mut flags = PollFlags::IN;
        if channel.is_waiting() {
            flags |= PollFlags::OUT;
        }
        self.fds.push(PollFd::from_borrowed_fd(channel.as_fd(), flags));
    }

    /// A socket, for what it has to say and for room; with neither only its end is heard of.
    pub(crate) fn stream(&mut self, socket: &'a impl AsFd, read: bool, write: bool) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, read);
        flags.set(PollFlags::OUT, write);
        self.fds.push(PollFd::new(socket, flags));
    }

    /// Waits for any of them, at most for `limit`.
    pub(crate) fn wait(mut self, limit: Duration) -> io::Result<Ready> {
        let timeout = Timespec::try_from(limit).unwrap_or(Timespec {
            tv_sec: 3600,
            tv_nsec: 0,
        });
        match poll(&mut self.fds, Some(&timeout)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }
        let fds = self.fds.iter().filter(|fd| !fd.revents().is_empty());
        Ok(Ready {
            fds: fds.map(|fd| fd.as_fd().as_raw_fd()).collect(),
        })
    }
}

/// The descriptors on which something has happened.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    fds: HashSet<RawFd>,
}

impl Ready {
    /// Worth a look? A number that was closed and given out again in the same turn answers yes too, which costs one read
    /// that finds nothing.
    pub(crate) fn has(&self, fd: impl AsFd) -> bool {
        self.fds.contains(&fd.as_fd().as_raw_fd())
    }
}
