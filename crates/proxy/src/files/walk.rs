//! Opening a path below a directory one component at a time, without ever following a symbolic link in the kernel.
//!
//! Each component is opened with `O_NOFOLLOW`; a link is read and its target walked in the same way. `..` goes back to a
//! descriptor that is still held, so a directory that is moved away meanwhile changes nothing.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::root::{self, Reach};

/// Why nothing was opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// A symbolic link leads out of the root.
    Outside(Link),
    /// It lies, or may lie, where a front thread opens nothing.
    Elsewhere,
    Failed(Errno),
}

/// A symbolic link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// What it points to, as written.
    pub(super) target: PathBuf,
}

impl From<Errno> for NotOpened {
    fn from(error: Errno) -> Self {
        Self::Failed(error)
    }
}

/// Opens `relative` below `root`, whose path is `root_path`.
pub(super) fn open(
    root: BorrowedFd<'_>,
    root_path: &Path,
    relative: &[u8],
    flags: OFlags,
    reach: Reach,
) -> Result<OwnedFd, NotOpened> {
    // The components still to go, the next one last; and the directories entered below the root.
    let mut left = components(relative);
    let mut entered: Vec<(Vec<u8>, OwnedFd)> = Vec::new();
    let mut links = 0;
    let mut last = None;
    while let Some(name) = left.pop() {
        if name == b".." {
            if entered.pop().is_none() {
                return Err(last.map_or(NotOpened::Failed(Errno::XDEV), NotOpened::Outside));
            }
            continue;
        }
        let here = entered.last().map_or(root, |(_, fd)| fd.as_fd());
        let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = step(here, &name, look, reach)?;
        match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                let target = rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes();
                let directories = entered.iter().map(|(name, _)| name).chain([&name]);
                let link = Link {
                    path: directories.fold(root_path.to_owned(), |path, name| {
                        path.join(OsStr::from_bytes(name))
                    }),
                    target: OsStr::from_bytes(&target).into(),
                };
                let target = if target.starts_with(b"/") {
                    entered.clear();
                    match inside(root_path, &target) {
                        Some(target) => target,
                        None => return Err(NotOpened::Outside(link)),
                    }
                } else {
                    target
                };
                last = Some(link);
                left.extend(components(&target));
            }
            FileType::Directory if entered.len() < DEPTH_MAX => entered.push((name, fd)),
            FileType::Directory => return Err(Errno::NAMETOOLONG.into()),
            _ if left.is_empty() => {
                let flags = flags | OFlags::NOFOLLOW;
                return step(here, &name, flags, reach);
            }
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    let here = entered.last().map_or(root, |(_, fd)| fd.as_fd());
    Ok(rustix::fs::openat(here, ".", flags, Mode::empty())?)
}

/// Opens one component, which is no link to follow; with [`Reach::Near`] none that another file system begins
/// at.
fn step(here: BorrowedFd<'_>, name: &[u8], flags: OFlags, reach: Reach) -> Result<OwnedFd, NotOpened> {
    if reach == Reach::Near {
        match rustix::fs::openat2(here, name, flags, Mode::empty(), ResolveFlags::NO_XDEV) {
            Err(Errno::XDEV) => return Err(NotOpened::Elsewhere),
            Err(Errno::NOSYS | Errno::PERM) => {}
            opened => return Ok(opened?),
        }
    }
    Ok(rustix::fs::openat(here, name, flags, Mode::empty())?)
}

fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .rev()
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(<[u8]>::to_vec)
        .collect()
}

/// The rest of an absolute path that begins with the root, as configured or as it really is.
fn inside(root: &Path, target: &[u8]) -> Option<Vec<u8>> {
    let target = Path::new(OsStr::from_bytes(target));
    let rest = match target.strip_prefix(root) {
        Ok(rest) => rest,
        Err(_) => target.strip_prefix(std::fs::canonicalize(root).ok()?).ok()?,
    };
    Some(root::bytes(rest).to_vec())
}

/// As the kernel has it.
const LINKS_MAX: usize = 40;

/// Each level holds a descriptor.
const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::symlink};

    use super::*;

    /// What the walk and `openat2` agree upon is tested through [`super::super::find`]; here are the walk's own cases.
    fn read(root: &Path, relative: &str) -> Result<String, NotOpened> {
        let directory = fs::File::open(root).expect("the root is there");
        let fd = open(
            directory.as_fd(),
            root,
            relative.as_bytes(),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Reach::Near,
        )?;
        let mut text = String::new();
        fs::File::from(fd)
            .read_to_string(&mut text)
            .map_err(|_| NotOpened::Failed(Errno::ISDIR))?;
        Ok(text)
    }

    #[test]
    fn links_are_followed_inside_and_refused_outside() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "inside").unwrap();
        fs::write(base.path().join("secret"), "outside").unwrap();
        symlink("b/file", root.join("a/relative")).unwrap();
        symlink("../a/b/../relative", root.join("a/winding")).unwrap();
        symlink(root.join("a/b"), root.join("absolute")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("../../secret", root.join("a/out")).unwrap();
        symlink(base.path().join("secret"), root.join("far")).unwrap();
        symlink(format!("{}/../secret", root.display()), root.join("sly")).unwrap();
        symlink("../..", root.join("a/up")).unwrap();
        symlink("../out", root.join("a/way")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for inside in [
            "a/b/file",
            "a/relative",
            "a/winding",
            "absolute/file",
            "./a//b/./file",
            "a/b/../b/file",
        ] {
            assert_eq!(read(&root, inside).as_deref(), Ok("inside"), "{inside}");
        }
        for (outside, link) in [
            ("out", "out"),
            ("a/out", "a/out"),
            ("a/../a/./out", "a/out"),
            ("far", "far"),
            ("sly", "sly"),
            ("a/up/secret", "a/up"),
            ("a/way", "out"),
        ] {
            let Err(NotOpened::Outside(refused)) = read(&root, outside) else {
                panic!("{outside} is served");
            };
            assert_eq!(refused.path, root.join(link), "{outside}");
        }
        for outside in ["../secret", "a/../../secret"] {
            assert_eq!(read(&root, outside), Err(Errno::XDEV.into()), "{outside}");
        }
        assert_eq!(read(&root, "loop"), Err(Errno::LOOP.into()));
        assert_eq!(read(&root, "a/b/file/x"), Err(Errno::NOTDIR.into()));
        assert_eq!(read(&root, "a/nothing"), Err(Errno::NOENT.into()));
        assert_eq!(read(&root, "a"), Err(Errno::ISDIR.into()));
    }
}
