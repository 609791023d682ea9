//! Files that are read with the rights of root and given to somebody who may have fewer: an `env_file`.
//!
//! Whoever can make a link on the way to such a file could have root read any file for them. So a link is
//! followed only where it gives its owner nothing new: to a file of their own, or to one that everybody may
//! read. The kernel has the same rule for directories that everybody may write to (`fs.protected_symlinks`);
//! its rule for hard links (`fs.protected_hardlinks`) covers those.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Component, Path},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, openat, readlinkat},
    sys::stat::Mode,
};

use crate::Identity;

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;

/// Everybody may read it.
const READ_BY_OTHERS: u32 = 0o004;

/// Opens a file for reading; each component is looked at by its descriptor, so that nobody can exchange it
/// meanwhile.
///
/// # Errors
/// When it cannot be opened, or a link on the way is somebody's who could not read it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut rest = components(path);
    let mut directory = step(AT_FDCWD, OsStr::new("/"))?;
    let mut owners: Vec<u32> = Vec::new();
    let mut links = 0;
    loop {
        let Some(name) = rest.pop_front() else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let next = step(&directory, &name)?;
        let found = File::from(next);
        let metadata = found.metadata()?;
        if metadata.is_symlink() {
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::ELOOP.into());
            }
            if metadata.uid() != 0 {
                owners.push(metadata.uid());
            }
            let target = readlinkat(&found, "")?;
            for component in components(Path::new(&target)).into_iter().rev() {
                rest.push_front(component);
            }
            if Path::new(&target).is_absolute() {
                directory = step(AT_FDCWD, OsStr::new("/"))?;
            }
        } else if rest.is_empty() {
            // What it is by now is looked at once more: its descriptor is all that is read of it.
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let file = File::from(openat(&directory, name.as_os_str(), flags, Mode::empty())?);
            return follows(&file, &owners).map(|()| file);
        } else {
            directory = found.into();
        }
    }
}

/// One component further, by a descriptor that reads nothing.
fn step(directory: impl std::os::fd::AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(directory, name, flags, Mode::empty())?)
}

/// May the owners of the links that led to this file read it?
fn follows(file: &File, owners: &[u32]) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.mode() & READ_BY_OTHERS != 0 {
        return Ok(());
    }
    match owners.iter().find(|owner| **owner != metadata.uid()) {
        None => Ok(()),
        Some(owner) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "a link of user {} leads to it, and it is user {}'s",
                Identity::user_name(*owner),
                Identity::user_name(metadata.uid())
            ),
        )),
    }
}

/// What has to be walked through below a directory; a path is absolute here.
fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Read,
        os::unix::fs::{PermissionsExt, chown, lchown, symlink},
        path::PathBuf,
    };

    use super::*;

    fn read(path: &Path) -> io::Result<String> {
        let mut text = String::new();
        open(path)?.read_to_string(&mut text)?;
        Ok(text)
    }

    fn directory(test: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("appliance-{test}-{}", std::process::id()));
        fs::create_dir_all(directory.join("inner")).unwrap();
        directory.canonicalize().unwrap()
    }

    #[test]
    fn links_lead_where_the_kernel_says() {
        let directory = directory("followed");
        let file = directory.join("inner/file");
        fs::write(&file, "text").unwrap();
        let link = |name: &str, target: &Path| {
            let link = directory.join(name);
            symlink(target, &link).unwrap();
            link
        };
        let absolute = link("absolute", &file);
        let relative = link("relative", Path::new("inner/../inner/./file"));
        let of_directory = link("current", Path::new("inner"));
        let twice = link("inner/twice", Path::new("../current/file"));
        for path in [file, absolute, relative, of_directory.join("file"), twice] {
            assert_eq!(read(&path).unwrap(), "text", "{}", path.display());
        }
        let circle = link("circle", Path::new("circle"));
        assert!(read(&circle).is_err());
        assert!(read(&of_directory).is_err());
        assert_eq!(
            read(&directory.join("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn root_reads_nothing_for_the_owner_of_a_link_that_they_could_not_read() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        const STRANGER: u32 = 65_533;
        let directory = directory("followed-strangers");
        let secret = directory.join("inner/secret");
        fs::write(&secret, "text").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let file = directory.join("file");
        let of_directory = directory.join("directory");
        symlink("inner/secret", &file).unwrap();
        symlink("inner", &of_directory).unwrap();
        let through = of_directory.join("secret");
        for path in [&file, &through] {
            assert!(read(path).is_ok(), "links of root");
        }
        for link in [&file, &of_directory] {
            lchown(link, Some(STRANGER), None).unwrap();
        }
        for path in [&file, &through] {
            let refused = read(path).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
            assert!(refused.to_string().contains("a link of user 65533"), "{refused}");
        }
        chown(&secret, Some(STRANGER), None).unwrap();
        for path in [&file, &through] {
            assert!(read(path).is_ok(), "a file of their own");
        }
        chown(&secret, Some(0), None).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&file).is_ok(), "a file that everybody may read");
        fs::remove_dir_all(directory).unwrap();
    }
}
