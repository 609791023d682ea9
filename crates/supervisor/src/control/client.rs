//! The other end: how a command finds the server of a configuration file, asks it and hears its answer.

use std::{
    fs, io,
    io::{BufRead, BufReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use config::{ControlPlace, ControlSearch};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt},
    process::{Pid, PidfdFlags, geteuid, pidfd_open},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::meant;

/// For the connection, and for the whole of an answer that is made at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries, while a server has as many clients as it takes.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of an answer: the state of thousands of workers.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why a server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody listens at any of the places who can be its server.
    #[error("not running{}{}", looked_at(search), strangers_at(strangers))]
    NotRunning {
        /// Where it was looked for.
        search: ControlSearch,
        /// Those who listen there, and are no user whose server it can be.
        strangers: Vec<Stranger>,
    },
    /// It is there and another user's.
    #[error(
        "{}: {source}; only root and the user of the server may command it",
        path.display()
    )]
    Denied {
        /// The socket's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there and cannot be spoken with.
    #[error("{}: {source}", path.display())]
    Unreachable {
        /// The socket's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It has as many clients as it takes.
    #[error(
        "{}: too many clients command the server at the same time, for {} s now; try again later",
        path.display(),
        PATIENCE.as_secs()
    )]
    Crowded {
        /// The socket's file.
        path: PathBuf,
    },
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// Somebody who listens where a server was looked for.
#[derive(Debug)]
pub struct Stranger {
    path: PathBuf,
    uid: u32,
}

fn strangers_at(strangers: &[Stranger]) -> String {
    strangers.iter().fold(String::new(), |text, Stranger { path, uid }| {
        format!(
            "{text}; user {uid} listens at {}, and is not trusted there: neither root, nor the owner of the configuration, nor the only one \
             who may write to the directory",
            path.display()
        )
    })
}

fn looked_at(search: &ControlSearch) -> String {
    let paths: Vec<_> = search
        .places
        .iter()
        .map(|place| place.path.display().to_string())
        .collect();
    let off = match search.is_off {
        true => "; the configuration has control = \"off\", so that signals are the only way",
        false => "",
    };
    format!(" (nobody listens at {}){off}", paths.join(", "))
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    /// The configuration's file.
    conf: PathBuf,
    socket: UnixStream,
    /// Its user.
    uid: u32,
    /// Its process, if it can be seen from here.
    process: Option<OwnedFd>,
}

impl Server {
    /// Finds the server.
    ///
    /// # Errors
    /// When it does not run, or may not be spoken with.
    pub fn find(search: &ControlSearch) -> Result<Self, Failure> {
        let mut strangers = Vec::new();
        for place in &search.places {
            if let Some(server) = Self::at(place, search, &mut strangers)? {
                return Ok(server);
            }
        }
        Err(Failure::NotRunning {
            search: search.clone(),
            strangers,
        })
    }

    fn at(
        place: &ControlPlace,
        search: &ControlSearch,
        strangers: &mut Vec<Stranger>,
    ) -> Result<Option<Self>, Failure> {
        let path = &place.path;
        let is_there = || fs::metadata(path).is_ok_and(|file| file.file_type().is_socket());
        let unreachable = |source| Failure::Unreachable {
            path: path.clone(),
            source,
        };
        let socket = match open(path) {
            Ok(socket) => socket,
            // Its directory may be another user's, and nothing of ours be in there.
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied && is_there() => {
                return Err(Failure::Denied {
                    path: path.clone(),
                    source,
                });
            }
            Err(source) if source.kind() == io::ErrorKind::WouldBlock => {
                return Err(unreachable(does_not_answer()));
            }
            Err(_) => return Ok(None),
        };
        let credentials = getsockopt(&socket, PeerCredentials).map_err(|error| unreachable(error.into()))?;
        let uid = credentials.uid();
        if !is_trusted(uid, search.owner, path) {
            let path = path.clone();
            strangers.push(Stranger { path, uid });
            return Ok(None);
        }
        let process =
            Pid::from_raw(credentials.pid()).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(Some(Self {
            path: path.clone(),
            conf: search.conf.clone(),
            socket: UnixStream::from(socket),
            uid,
            process,
        }))
    }

    /// Asks for something whose answer is one object.
    ///
    /// # Errors
    /// When it says no, or nothing.
    pub fn ask<T: DeserializeOwned>(self, method: &str, target: &str) -> Result<T, Failure> {
        let mut answer = self.request(method, target)?;
        answer
            .line()?
            .ok_or_else(|| answer.failed(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Asks for something whose answer goes on. A server that has as many clients as it takes is asked again
    /// for a while.
    ///
    /// # Errors
    /// When it says no, or nothing.
    pub fn request(mut self, method: &str, target: &str) -> Result<Answer, Failure> {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{}: {}\r\n\r\n",
            meant::NAME,
            meant::encoded(&self.conf)
        );
        let until = Instant::now() + PATIENCE;
        loop {
            let failed = |source| unreachable(&self.path, source);
            let (status, reader) = match exchange(&self.socket, &request, until).map_err(failed)? {
                Some(answer) => answer,
                None if Instant::now() + PAUSE < until => {
                    thread::sleep(PAUSE);
                    self.socket = again(&self.path, self.uid).map_err(failed)?;
                    continue;
                }
                None => return Err(Failure::Crowded { path: self.path }),
            };
            let mut answer = Answer {
                path: self.path,
                reader,
                process: self.process,
            };
            if status == 200 {
                return Ok(answer);
            }
            let refused: Option<Refused> = answer.line()?;
            return Err(Failure::Refused(
                refused.map_or_else(|| format!("status {status}"), |refused| refused.error),
            ));
        }
    }
}

/// The server that listens at this path, which is this user's.
fn again(path: &Path, uid: u32) -> io::Result<UnixStream> {
    let socket = open(path)?;
    if getsockopt(&socket, PeerCredentials)?.uid() != uid {
        return Err(io::Error::other("another user listens there now"));
    }
    Ok(UnixStream::from(socket))
}

/// What reads an answer.
type Reader = BufReader<io::Take<Bounded>>;

/// Sends a request, and reads the head of its answer. `None`: the server has made room for another client,
/// and not looked at the request.
fn exchange(socket: &UnixStream, request: &str, until: Instant) -> io::Result<Option<(u16, Reader)>> {
    let socket = Bounded {
        socket: socket.try_clone()?,
        until: Some(until),
    };
    socket.socket.set_write_timeout(Some(PATIENCE))?;
    // Its refusal may have come before the request was sent.
    let sent = (&socket.socket).write_all(request.as_bytes());
    let is_gone = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        )
    };
    match sent {
        Err(error) if !is_gone(&error) => return Err(error),
        _ => {}
    }
    let mut reader = BufReader::new(socket.take(ANSWER_BYTES_MAX));
    match read_head(&mut reader) {
        Ok(503) => Ok(None),
        Ok(status) => Ok(Some((status, reader))),
        Err(error) if sent.is_err() && (is_gone(&error) || error.kind() == io::ErrorKind::UnexpectedEof) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A socket that is read until a time, however slowly the bytes come.
#[derive(Debug)]
struct Bounded {
    socket: UnixStream,
    /// `None`: as long as it takes.
    until: Option<Instant>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(left)?;
        self.socket.read(buffer)
    }
}

fn unreachable(path: &Path, source: io::Error) -> Failure {
    Failure::Unreachable {
        path: path.to_owned(),
        source: if source_is_late(&source) {
            does_not_answer()
        } else {
            source
        },
    }
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// An answer that comes line by line.
#[derive(Debug)]
pub struct Answer {
    path: PathBuf,
    reader: Reader,
    process: Option<OwnedFd>,
}

impl Answer {
    /// From here on a line may take as long as it takes: the server has its own limits for a boot, and a
    /// client that is interrupted ends nothing.
    pub fn be_patient(&mut self) {
        self.reader.get_mut().get_mut().until = None;
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When it is none of ours, or does not come.
    pub fn line<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_str(&line)
                .map(Some)
                .map_err(|error| self.failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Waits until the process of the server is gone, which it is soon after the answer has ended. `false`:
    /// it is still there after so long.
    #[must_use]
    pub fn wait_for_end(self, limit: Duration) -> bool {
        let Some(process) = &self.process else {
            // Its process cannot be seen from here: that nobody listens any more is all there is.
            return true;
        };
        let timeout = Timespec::try_from(limit).ok();
        loop {
            match poll(&mut [PollFd::new(process, PollFlags::IN)], timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                gone => return gone.is_ok_and(|ready| ready > 0),
            }
        }
    }

    fn failed(&self, source: io::Error) -> Failure {
        unreachable(&self.path, source)
    }
}

/// May the server of a configuration that belongs to `owner` be run by this user, and listen at this path? In
/// a directory that others may write to, anybody can listen, and tell what it likes. Root commands the
/// servers of other users, too.
fn is_trusted(uid: u32, owner: Option<u32>, path: &Path) -> bool {
    let own = geteuid();
    uid == 0
        || uid == own.as_raw()
        || (own.is_root() && (Some(uid) == owner || path.parent().and_then(keeper) == Some(uid)))
}

/// The one user beside root who may put files into this directory, or put another one in its place.
fn keeper(directory: &Path) -> Option<u32> {
    let directory = fs::canonicalize(directory).ok()?;
    let keeper = fs::symlink_metadata(&directory).ok()?.uid();
    let is_kept = |directory: &Path| {
        fs::symlink_metadata(directory)
            .is_ok_and(|file| [0, keeper].contains(&file.uid()) && file.mode() & 0o022 == 0)
    };
    directory.ancestors().all(is_kept).then_some(keeper)
}

/// With a limit for the wait that a full queue means.
fn open(path: &Path) -> io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))?;
    connect(&socket, &address)?;
    Ok(socket)
}

/// The status of an answer whose head is read to its end.
fn read_head(reader: &mut impl BufRead) -> io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let before = head.len();
        let room = (HEAD_BYTES_MAX - before) as u64;
        reader.by_ref().take(room).read_until(b'\n', &mut head)?;
        if head.len() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(&head) {
        Ok(httparse::Status::Complete(_)) => response.code.ok_or(io::ErrorKind::InvalidData.into()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "what listens there is not appliance",
        )),
    }
}

fn source_is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn does_not_answer() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the server does not answer within {} s", PATIENCE.as_secs()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn an_answer_that_drips_has_one_limit() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let dripping = thread::spawn(move || {
            while theirs.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        let socket = Bounded {
            socket: ours,
            until: Some(Instant::now() + Duration::from_millis(100)),
        };
        let mut reader = BufReader::new(socket);
        let error = reader.read_until(b'\n', &mut Vec::new()).expect_err("no end");
        assert!(source_is_late(&error), "{error}");
        drop(reader);
        dripping.join().expect("it has heard of the end");
    }

    #[test]
    fn a_directory_is_somebodys_when_nobody_else_can_have_put_anything_there() {
        assert_eq!(keeper(Path::new("/")), Some(0));
        assert_eq!(keeper(Path::new("/tmp")), None);
        assert_eq!(keeper(Path::new("/nowhere/at/all")), None);
        if !geteuid().is_root() {
            return;
        }
        let directory = PathBuf::from(format!("/run/appliance-keeper-{}", std::process::id()));
        fs::create_dir(&directory).expect("a directory");
        let with = |uid: u32, mode: u32| {
            chown(&directory, Some(uid), Some(uid)).expect("an owner");
            fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).expect("a mode");
            keeper(&directory)
        };
        let found = [
            with(54321, 0o755),
            with(54321, 0o700),
            with(54321, 0o775),
            with(0, 0o1777),
        ];
        let path = directory.join("site.ctl");
        let trusted = |owner| is_trusted(54321, owner, &path);
        with(54321, 0o755);
        let in_own = trusted(None);
        with(0, 0o1777);
        let elsewhere = [
            trusted(None),
            trusted(Some(54322)),
            trusted(Some(54321)),
            is_trusted(0, None, &path),
        ];
        fs::remove_dir(&directory).expect("removed");
        assert_eq!(found, [Some(54321), Some(54321), None, None]);
        assert!(in_own);
        assert_eq!(elsewhere, [false, false, true, true]);
    }
}
