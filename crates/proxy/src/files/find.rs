//! From a path to an open file.

use std::{fs::File, os::fd::OwnedFd};

use config::Files;
use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use super::root::{self, Root};

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// A regular file.
    File(OpenFile<'a>),
    /// A directory, asked for without its slash.
    Directory,
}

/// A regular file, open for reading.
#[derive(Debug)]
pub(super) struct OpenFile<'a> {
    pub(super) file: File,
    pub(super) len: u64,
    /// Seconds since 1970.
    pub(super) modified_s: i64,
    /// The directory it was found in, and its path there; `None` when the route is this one file.
    pub(super) place: Option<(Root<'a>, Vec<u8>)>,
    /// Its name, for the content type.
    pub(super) name: Vec<u8>,
}

/// Why a path leads to no file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Absent,
    /// A segment starts with a dot.
    Hidden,
    /// A symbolic link leads out of the root.
    Outside,
    /// A device, pipe or socket.
    Special,
    /// A directory without an index.
    NoIndex,
    Forbidden,
    Failed(Errno),
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::INVAL => Self::Absent,
            Errno::XDEV => Self::Outside,
            // A socket, or a device without driver.
            Errno::NXIO | Errno::NODEV => Self::Special,
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            other => Self::Failed(other),
        }
    }
}

/// Finds the file of a normalised request path.
pub(super) fn find<'a>(files: &'a Files, path: &[u8]) -> Result<Found<'a>, Fault> {
    let below = path.strip_prefix(files.strip.as_bytes()).ok_or(Fault::Absent)?;
    let wants_directory = path.ends_with(b"/");
    let relative = trim_slashes(below);
    if is_hidden(relative, path) {
        return Err(Fault::Hidden);
    }
    let root = match Root::open(&files.root) {
        Ok(root) => root,
        Err(Errno::NOTDIR) if relative.is_empty() => return sole_file(files),
        Err(error) => return Err(error.into()),
    };
    if wants_directory {
        return index(files, root, relative);
    }
    if relative.is_empty() {
        return Ok(Found::Directory);
    }
    let fd = root.open_beneath(relative, READ)?;
    let stat = rustix::fs::fstat(&fd)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Found::File(open_file(
            fd,
            &stat,
            Some((root, relative.to_vec())),
            relative,
        ))),
        FileType::Directory => Ok(Found::Directory),
        _ => Err(Fault::Special),
    }
}

/// Opens a file beside another one, if there is such a regular file.
pub(super) fn sibling(root: &Root<'_>, path: &[u8]) -> Option<(File, u64, i64)> {
    let fd = root.open_beneath(path, READ).ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    regular.then(|| (File::from(fd), stat.st_size as u64, stat.st_mtime))
}

/// The route is one file.
fn sole_file(files: &Files) -> Result<Found<'_>, Fault> {
    let fd = rustix::fs::open(&files.root, READ, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Fault::Special);
    }
    Ok(Found::File(open_file(fd, &stat, None, root::bytes(&files.root))))
}

fn index<'a>(files: &Files, root: Root<'a>, directory: &[u8]) -> Result<Found<'a>, Fault> {
    for name in &files.index {
        let mut path = directory.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        let fd = match root.open_beneath(&path, READ) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            let file = open_file(fd, &stat, Some((root, path)), name.as_bytes());
            return Ok(Found::File(file));
        }
    }
    if !directory.is_empty() {
        root.open_beneath(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
    }
    Err(Fault::NoIndex)
}

fn open_file<'a>(
    fd: OwnedFd,
    stat: &rustix::fs::Stat,
    place: Option<(Root<'a>, Vec<u8>)>,
    name: &[u8],
) -> OpenFile<'a> {
    OpenFile {
        file: fd.into(),
        len: stat.st_size as u64,
        modified_s: stat.st_mtime,
        place,
        name: name.to_vec(),
    }
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
    let end = path
        .iter()
        .rposition(|&byte| byte != b'/')
        .map_or(start, |last| last + 1);
    &path[start..end]
}

/// Names that start with a dot are private (`.git`, `.env`, `.htpasswd`); `/.well-known/` is made for the public
/// (RFC 8615).
fn is_hidden(relative: &[u8], path: &[u8]) -> bool {
    let well_known = path.starts_with(b"/.well-known/") && relative.starts_with(b".well-known");
    relative
        .split(|&byte| byte == b'/')
        .skip(usize::from(well_known))
        .any(|segment| segment.starts_with(b"."))
}

/// Non-blocking, because opening a pipe would wait for its writer.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
