//! From a path to a file.

use std::{sync::Arc, time::Instant};

use config::Files;
use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use super::{
    content::Content,
    encoding::Encoding,
    kept::{self, Kept, Use},
    root::{self, Reach, Root},
    walk::{Link, NotOpened},
};

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// A regular file.
    File(FoundFile<'a>),
    /// A directory, asked for without its slash.
    Directory,
}

/// A regular file, and where it is.
#[derive(Debug)]
pub(super) struct FoundFile<'a> {
    pub(super) content: Arc<Content>,
    /// The directory it was found in, and its path there; `None` when the route is this one file.
    pub(super) place: Option<(Root<'a>, Vec<u8>)>,
    /// When it was looked for.
    pub(super) now: Instant,
}

/// Why a path leads to no file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Absent,
    /// A segment starts with a dot.
    Hidden,
    /// A symbolic link leads out of the root.
    Outside(Link),
    /// A device, pipe or socket.
    Special,
    /// A directory without an index.
    NoIndex,
    Forbidden,
    /// It is for a thread that may wait.
    Elsewhere,
    Failed(Errno),
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::INVAL | Errno::XDEV => {
                Self::Absent
            }
            // A socket, or a device without driver.
            Errno::NXIO | Errno::NODEV => Self::Special,
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            other => Self::Failed(other),
        }
    }
}

impl From<NotOpened> for Fault {
    fn from(failure: NotOpened) -> Self {
        match failure {
            NotOpened::Outside(link) => Self::Outside(link),
            NotOpened::Elsewhere => Self::Elsewhere,
            NotOpened::Failed(error) => error.into(),
        }
    }
}

/// Finds the file of a normalised request path.
pub(super) fn find<'a>(files: &'a Files, path: &[u8], reach: Reach) -> Result<Found<'a>, Fault> {
    let below = path.strip_prefix(files.strip.as_bytes()).ok_or(Fault::Absent)?;
    let wants_directory = path.ends_with(b"/");
    let relative = trim_slashes(below);
    if is_hidden(relative, path) {
        return Err(Fault::Hidden);
    }
    let now = Instant::now();
    let mut root = Root::new(files, reach);
    if relative.is_empty() {
        // A route that is one file is kept by the name it has, an index by its own.
        let first = match (wants_directory, files.index.first()) {
            (true, Some(index)) => index.as_bytes(),
            _ => b"",
        };
        if let Some(Kept::File(content)) = kept::with(|memory| memory.recall(&root, first, "", now)) {
            let place = (!first.is_empty()).then(|| (root, first.to_vec()));
            return Ok(Found::File(FoundFile { content, place, now }));
        }
        match root.open() {
            Ok(_) => {}
            Err(NotOpened::Failed(Errno::NOTDIR)) => return sole_file(files, reach, now),
            Err(error) => return Err(error.into()),
        }
    }
    if wants_directory {
        return index(files, root, relative, now);
    }
    if relative.is_empty() {
        return Ok(Found::Directory);
    }
    match look_up(&mut root, relative, now)? {
        LookedUp::File(content) => Ok(Found::File(FoundFile {
            content,
            place: Some((root, relative.to_vec())),
            now,
        })),
        LookedUp::Directory => Ok(Found::Directory),
        LookedUp::Special => Err(Fault::Special),
    }
}

/// A compressed form of a file beside it, if there is such a regular file.
pub(super) fn sibling(
    root: &mut Root<'_>,
    path: &[u8],
    encoding: &Encoding,
    now: Instant,
) -> Option<Arc<Content>> {
    let coding = encoding.token;
    match kept::with(|memory| memory.recall(root, path, coding, now)) {
        Some(Kept::File(content)) => return Some(content),
        Some(Kept::Absent) => return None,
        None => {}
    }
    let used = kept::with(|memory| memory.ask(root, path, coding, now));
    let opened = root.open_below(path, READ).ok().and_then(|fd| {
        let stat = rustix::fs::fstat(&fd).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
            .then(|| Content::new(fd, &stat, path, coding))
    });
    match opened {
        Some(content) => Some(share(root, path, coding, content, used, now)),
        None => {
            if used == Use::Keep {
                kept::with(|memory| memory.keep(root, path, coding, Kept::Absent, now));
            }
            None
        }
    }
}

enum LookedUp {
    File(Arc<Content>),
    Directory,
    Special,
}

/// What lies at a path: as it was a moment ago when it is asked for often, else as it is.
fn look_up(root: &mut Root<'_>, path: &[u8], now: Instant) -> Result<LookedUp, NotOpened> {
    if let Some(Kept::File(content)) = kept::with(|memory| memory.recall(root, path, "", now)) {
        return Ok(LookedUp::File(content));
    }
    let fd = root.open_below(path, READ)?;
    let stat = rustix::fs::fstat(&fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            // Only what exists is remembered: whoever makes names up does not fill the memory.
            let used = kept::with(|memory| memory.ask(root, path, "", now));
            LookedUp::File(share(
                root,
                path,
                "",
                Content::new(fd, &stat, path, ""),
                used,
                now,
            ))
        }
        FileType::Directory => LookedUp::Directory,
        _ => LookedUp::Special,
    })
}

/// Keeps a small file that is asked for often.
fn share(
    root: &Root<'_>,
    path: &[u8],
    coding: &str,
    mut content: Content,
    used: Use,
    now: Instant,
) -> Arc<Content> {
    let small = (used == Use::Keep || root.reach == Reach::Anywhere) && content.load();
    let content = Arc::new(content);
    if small && used == Use::Keep {
        let kept = Kept::File(Arc::clone(&content));
        kept::with(|memory| memory.keep(root, path, coding, kept, now));
    }
    content
}

/// The route is one file.
fn sole_file(files: &Files, reach: Reach, now: Instant) -> Result<Found<'_>, Fault> {
    let fd = rustix::fs::open(&files.root, READ, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Fault::Special);
    }
    let root = Root::new(files, reach);
    let used = kept::with(|memory| memory.ask(&root, b"", "", now));
    let content = Content::new(fd, &stat, root::bytes(&files.root), "");
    Ok(Found::File(FoundFile {
        content: share(&root, b"", "", content, used, now),
        place: None,
        now,
    }))
}

fn index<'a>(
    files: &'a Files,
    mut root: Root<'a>,
    directory: &[u8],
    now: Instant,
) -> Result<Found<'a>, Fault> {
    for name in &files.index {
        let mut path = directory.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        match look_up(&mut root, &path, now) {
            Ok(LookedUp::File(content)) => {
                let place = Some((root, path));
                return Ok(Found::File(FoundFile { content, place, now }));
            }
            Ok(_) | Err(NotOpened::Failed(Errno::NOENT | Errno::NOTDIR)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !directory.is_empty() {
        root.open_below(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
    }
    Err(Fault::NoIndex)
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
