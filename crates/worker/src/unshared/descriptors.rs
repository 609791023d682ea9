//! Open descriptors that belong to one process.

use std::{
    fmt,
    net::SocketAddr,
    os::fd::{BorrowedFd, RawFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, OFlags, fcntl_getfl, fstat},
    net::{
        AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType, getpeername,
        sockopt::{socket_acceptconn, socket_domain, socket_type},
    },
};

use crate::ffi::descriptors::{open_numbers, with_number};

/// The descriptors that were open before the import.
#[derive(Debug)]
pub(crate) struct Known {
    numbers: Vec<RawFd>,
}

impl Known {
    pub(crate) fn now() -> Self {
        Self {
            numbers: open_numbers(),
        }
    }

    /// Was it open then?
    pub(crate) fn has(&self, number: RawFd) -> bool {
        self.numbers.contains(&number)
    }

    /// What has been opened since.
    pub(crate) fn opened(&self) -> impl Iterator<Item = RawFd> {
        let mut numbers = open_numbers();
        numbers.retain(|number| *number > 2 && !self.numbers.contains(number));
        numbers.sort_unstable();
        numbers.into_iter()
    }
}

/// What a descriptor is that cannot be shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream, to this peer.
    Connection(String),
    /// A stream socket that is not connected yet; only one of the workers could connect it.
    Unconnected,
    /// Both ends are in this process.
    Pair,
    /// Another process writes into it.
    Pipe,
    /// A queue of the kernel's for one process, by its name.
    Events(&'static str),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(peer) => write!(f, "a connection to {peer}"),
            Self::Unconnected => f.write_str("a stream socket that is not connected"),
            Self::Pair => f.write_str("a pair of sockets"),
            Self::Pipe => f.write_str("a pipe from another process"),
            Self::Events(name) => write!(f, "an {name}"),
        }
    }
}

/// Names of queues in `/proc/self/fd`, and what we call them.
const EVENTS: [(&str, &str); 6] = [
    ("[eventpoll]", "epoll set"),
    ("[eventfd]", "eventfd"),
    ("inotify", "inotify queue"),
    ("[timerfd]", "interval timer (timerfd)"),
    ("[signalfd]", "input of signals (signalfd)"),
    ("[io_uring]", "io_uring"),
];

/// `None`: workers may share it. `green`: the hub of a greenlet library makes its own epoll set and eventfd
/// anew in each worker.
pub(crate) fn kind(number: RawFd, green: bool) -> Option<Kind> {
    with_number(number, |open| {
        let file = FileType::from_raw_mode(fstat(open).ok()?.st_mode);
        match file {
            FileType::Socket => socket(open),
            FileType::Fifo => pipe(open),
            FileType::RegularFile | FileType::Directory | FileType::CharacterDevice => None,
            _ => events(number)
                .filter(|name| !(green && ["epoll set", "eventfd"].contains(name)))
                .map(Kind::Events),
        }
    })?
}

fn socket(open: BorrowedFd<'_>) -> Option<Kind> {
    let unix = socket_domain(open) == Ok(AddressFamily::UNIX);
    // The name of the peer; of one that has none the kernel gives no more than that it is there.
    let peer = getpeername(open);
    let named = peer.as_ref().ok().and_then(|peer| name(peer.as_ref()?));
    let unnamed = unix && peer.is_ok() && named.is_none();
    match socket_type(open).ok()? {
        SocketType::STREAM | SocketType::SEQPACKET if socket_acceptconn(open) == Ok(true) => None,
        SocketType::STREAM | SocketType::SEQPACKET | SocketType::DGRAM if unnamed => Some(Kind::Pair),
        SocketType::STREAM | SocketType::SEQPACKET => Some(match peer {
            Ok(_) => Kind::Connection(named.unwrap_or_else(|| "an unknown peer".to_owned())),
            Err(_) => Kind::Unconnected,
        }),
        _ => None,
    }
}

/// Path or abstract name of a Unix socket, address and port of another.
fn name(address: &SocketAddrAny) -> Option<String> {
    if let Ok(internet) = SocketAddr::try_from(address.clone()) {
        return Some(internet.to_string());
    }
    let unix = SocketAddrUnix::try_from(address.clone()).ok()?;
    let hidden = unix
        .abstract_name()
        .filter(|name| !name.is_empty())
        .map(|name| format!("@{}", String::from_utf8_lossy(name)));
    unix.path()
        .map(|path| path.to_string_lossy().into_owned())
        .or(hidden)
}

/// The reading end of a pipe whose writing end is elsewhere: what comes is meant for one reader. Not so where
/// this process has both ends (a `multiprocessing.Queue` of all workers), and where nobody writes any more.
fn pipe(open: BorrowedFd<'_>) -> Option<Kind> {
    let inode = fstat(open).ok()?.st_ino;
    if fcntl_getfl(open).ok()? & OFlags::RWMODE != OFlags::RDONLY {
        return None;
    }
    let mut polled = [PollFd::from_borrowed_fd(open, PollFlags::IN)];
    poll(
        &mut polled,
        Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    )
    .ok()?;
    if polled[0].revents().contains(PollFlags::HUP) {
        return None;
    }
    let writes = |other: BorrowedFd<'_>| {
        fstat(other).is_ok_and(|stat| stat.st_ino == inode)
            && fcntl_getfl(other).is_ok_and(|flags| flags & OFlags::RWMODE != OFlags::RDONLY)
    };
    let own = open_numbers()
        .into_iter()
        .any(|number| with_number(number, writes) == Some(true));
    (!own).then_some(Kind::Pipe)
}

fn events(number: RawFd) -> Option<&'static str> {
    let link = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    let link = link.to_str()?.strip_prefix("anon_inode:")?;
    EVENTS
        .iter()
        .find(|(name, _)| *name == link)
        .map(|&(_, called)| called)
}
