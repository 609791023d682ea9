//! The file of the control socket: made with the rights of its owner alone, never in the place of a living
//! one.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, symlink},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use config::{ControlDirectory, ControlPlace};
use rustix::{
    fs::{FlockOperation, Mode, fchmod, flock},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with},
    process::geteuid,
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// How often, and in what pauses, another one's turn is waited for; it takes less than a millisecond.
const TURN_LOOKS: u32 = 50;
const TURN_PAUSE: Duration = Duration::from_millis(5);

/// A socket that listens, and its file, which goes with it.
#[derive(Debug)]
pub(super) struct Place {
    socket: OwnedFd,
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    pub(super) fn claim(place: &ControlPlace) -> io::Result<Self> {
        if place.directory == ControlDirectory::Own {
            let directory = place.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
            own_directory(directory)?;
        }
        let _turn = turn(&place.path);
        remove_stale(&place.path)?;
        let socket = unconnected()?;
        // The file gets the mode of the socket, so there is no moment in which it is anybody else's.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, &SocketAddrUnix::new(&place.path)?)?;
        let file = fs::symlink_metadata(&place.path)?;
        let place = Self {
            socket,
            path: place.path.clone(),
            device: file.dev(),
            inode: file.ino(),
        };
        listen(&place.socket, BACKLOG)?;
        Ok(place)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Is it at one of these, and found there?
    pub(super) fn is_one_of(&self, places: &[ControlPlace]) -> bool {
        places.iter().any(|place| place.path == self.path) && self.is_found()
    }

    /// Does its path still lead to it?
    pub(super) fn is_found(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode))
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_found() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A link to a control socket that is elsewhere; it goes with the socket.
#[derive(Debug)]
pub(super) struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    /// In a directory of ours, in the place of a stale one.
    pub(super) fn make(place: &ControlPlace, target: &Path) -> io::Result<Self> {
        let directory = place.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        own_directory(directory)?;
        let _turn = turn(&place.path);
        remove_stale(&place.path)?;
        symlink(target, &place.path)?;
        Ok(Self {
            path: place.path.clone(),
            target: target.to_owned(),
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if fs::read_link(&self.path).is_ok_and(|target| target == self.target) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A directory of ours: made when it is missing, and refused where another user could put files.
fn own_directory(directory: &Path) -> io::Result<()> {
    // Root's is for everybody's servers to be looked for in; what lies in it is closed by itself.
    let mode = if geteuid().is_root() { 0o755 } else { 0o700 };
    match DirBuilder::new().mode(mode).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(directory)?;
    let is_ours = found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0;
    if found.is_dir() && is_ours {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others may write to this directory",
        ))
    }
}

/// Who makes a socket in this directory does so alone as long as this is open: of two that start at the same
/// time, one would take what the other has bound and does not listen at yet for what a killed one has left.
fn turn(path: &Path) -> Option<File> {
    let directory = File::open(path.parent()?).ok()?;
    for _ in 0..TURN_LOOKS {
        if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Some(directory);
        }
        std::thread::sleep(TURN_PAUSE);
    }
    // Anybody who may read the directory can hold this, and must not hold up a start.
    None
}

/// A socket that nobody listens at any more, or a link to one, is left by a server that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    let taken = |why| Err(io::Error::new(io::ErrorKind::AddrInUse, why));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() && !file.is_symlink() => {
            taken("a file that is not a socket is there")
        }
        // Without waiting: somebody who listens and never accepts is there as well.
        Ok(_) => match connect(unconnected()?, &SocketAddrUnix::new(path)?) {
            Err(Errno::CONNREFUSED) => fs::remove_file(path),
            // A link to what is there no more.
            Err(Errno::NOENT) => fs::remove_file(path),
            _ => taken("another process listens there"),
        },
    }
}

fn unconnected() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}
