//! Listening sockets: they belong to the supervisor and outlive every proxy.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use config::{Address, Identity};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt,
};

use crate::Error;

/// One listening socket. Closed, and its path removed, when the last generation that uses it is gone.
#[derive(Debug)]
pub(crate) struct Listening {
    address: Address,
    socket: OwnedFd,
    /// The socket file we made: path, device, inode.
    made: Option<(PathBuf, u64, u64)>,
}

/// The sockets that some generation uses.
#[derive(Debug, Default)]
pub(crate) struct Listenings {
    known: Vec<Weak<Listening>>,
}

impl Listenings {
    /// A socket for each listener, in order: the one there is, or a new one. All or none.
    pub(crate) fn open(
        &mut self,
        listeners: &[config::Listener],
        owner: Option<&Identity>,
    ) -> Result<Vec<Arc<Listening>>, Error> {
        self.known.retain(|known| known.strong_count() > 0);
        let sockets: Vec<Arc<Listening>> = listeners
            .iter()
            .map(|listener| self.one(listener, owner))
            .collect::<Result<_, _>>()?;
        self.known = sockets
            .iter()
            .map(Arc::downgrade)
            .chain(self.known.drain(..))
            .collect();
        Ok(sockets)
    }

    fn one(&self, listener: &config::Listener, owner: Option<&Identity>) -> Result<Arc<Listening>, Error> {
        let known = self
            .known
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| known.address == listener.address && known.is_found());
        let failed = |source: io::Error| Error::Listen {
            address: listener.address.to_string(),
            source,
        };
        let backlog = i32::try_from(listener.backlog).unwrap_or(i32::MAX);
        if let Some(known) = known {
            // The backlog of a socket that listens already can be changed.
            listen(&known.socket, backlog).map_err(|error| failed(error.into()))?;
            known.admit(listener.mode, owner).map_err(failed)?;
            return Ok(known);
        }
        let listening = Listening::open(listener, backlog, owner).map_err(failed)?;
        tracing::info!(address = %listening.told(), "listening");
        Ok(Arc::new(listening))
    }
}

impl Listening {
    fn open(listener: &config::Listener, backlog: i32, owner: Option<&Identity>) -> io::Result<Self> {
        let address = &listener.address;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let mut made = None;
        let socket = match address {
            Address::Tcp(tcp) => {
                let family = if tcp.is_ipv4() {
                    AddressFamily::INET
                } else {
                    AddressFamily::INET6
                };
                let socket = socket_with(family, SocketType::STREAM, flags, None)?;
                sockopt::set_socket_reuseaddr(&socket, true)?;
                if tcp.is_ipv6() {
                    // So that `[::]:80` and `0.0.0.0:80` can stand side by side, whatever the system's default is.
                    sockopt::set_ipv6_v6only(&socket, true)?;
                }
                bind(&socket, tcp)?;
                socket
            }
            Address::Unix(path) => {
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                remove_stale(path)?;
                bind(&socket, &SocketAddrUnix::new(path)?)?;
                let file = fs::symlink_metadata(path)?;
                made = Some((path.clone(), file.dev(), file.ino()));
                socket
            }
        };
        let listening = Self {
            address: address.clone(),
            socket,
            made,
        };
        listening.admit(listener.mode, owner)?;
        listen(&listening.socket, backlog)?;
        Ok(listening)
    }

    /// Lets those connect to a Unix socket that may: it belongs to the run user, and `mode` says who else.
    fn admit(&self, mode: u32, owner: Option<&Identity>) -> io::Result<()> {
        let Some((path, ..)) = &self.made else {
            return Ok(());
        };
        if let Some(owner) = owner {
            std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    /// Does its address still lead to it? Not where its socket file was removed, or a link on the way to it
    /// leads elsewhere now.
    fn is_found(&self) -> bool {
        self.made.as_ref().is_none_or(|(path, dev, ino)| {
            fs::symlink_metadata(path).is_ok_and(|file| file.dev() == *dev && file.ino() == *ino)
        })
    }

    /// The address as it is: with the port the kernel chose when 0 was asked for.
    pub(crate) fn told(&self) -> String {
        match getsockname(&self.socket)
            .ok()
            .and_then(|any| SocketAddr::try_from(any).ok())
        {
            Some(address) => address.to_string(),
            None => self.address.to_string(),
        }
    }
}

/// A socket file that nobody listens on any more is left by a supervisor that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            _ => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens there",
            )),
        },
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is not a socket is there",
        )),
        Err(_) => Ok(()),
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some((path, ..)) = &self.made
            && self.is_found()
        {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests;
