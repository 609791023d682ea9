//! Pairs of descriptors, and what has to hold for descriptor numbers.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt::set_socket_passcred},
    pipe::{PipeFlags, pipe_with},
};

/// Numbers below this are never given to a descriptor of ours: children expect theirs there, and the standard library's
/// own descriptors between fork and exec must not lie where [`super::spawn`] puts them.
const FIRST_FREE: i32 = 8;

/// Occupies the descriptor numbers that children expect something else on. They stay open for the process's life.
pub(crate) fn reserve_low() -> io::Result<()> {
    loop {
        let null = File::open("/dev/null")?;
        if null.as_raw_fd() >= FIRST_FREE {
            return Ok(());
        }
        std::mem::forget(null);
    }
}

/// A connected pair for control messages: ours (never blocks, and the kernel says who sent each message) and
/// the child's.
pub(crate) fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = pair(SocketType::SEQPACKET)?;
    set_socket_passcred(&ours, true)?;
    never_block(&ours)?;
    Ok((ours, theirs))
}

/// A connected pair for a link between a proxy and a worker.
pub(crate) fn link_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SocketType::STREAM)
}

fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

/// A pipe for the output of a child: our end to read (never blocks), the child's to write (blocks as usual).
pub(crate) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    never_block(&read)?;
    Ok((read, write))
}

fn never_block(fd: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&fd)?;
    Ok(fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}
