//! Who may reach which file, told before a request finds out.
//!
//! "Permission denied" names a file, although it is nearly always a directory above it that is closed: a home
//! directory with mode 0700 around a project. So the path is walked as the kernel would walk it, symbolic links
//! included, and the first component that refuses is named. Computed from owner, group and mode bits: we need not
//! become the user. Access lists and security modules are not seen.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use crate::Identity;

/// What somebody wants of the last component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Read a file.
    Read,
    /// Reach files in a directory whose names are known.
    Enter,
    /// Reach and list a directory.
    List,
    /// Execute a file.
    Execute,
    /// Write a file, which is made when it is not there.
    Write,
    /// Make files in a directory.
    Make,
}

/// Why `identity` cannot use `path`, or `None` when it can: `/srv/site/static: user www-data may not enter /srv/site
/// (drwx------ root root)`.
pub fn path_problem(path: &Path, identity: &Identity, need: Need) -> Option<String> {
    let shown = path.display();
    let missing = |at: &Path, error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound if at == path => format!("{shown}: does not exist"),
        io::ErrorKind::NotFound => format!("{shown}: {} does not exist", at.display()),
        _ => format!("{shown}: {}: {error}", at.display()),
    };
    let refused = |at: &Path, metadata: &Metadata, verb: &str| {
        format!(
            "{shown}: user {} may not {verb} {} ({} {} {})",
            identity.name,
            at.display(),
            show_mode(metadata.mode()),
            Identity::user_name(metadata.uid()),
            Identity::group_name(metadata.gid()),
        )
    };
    let mut rest: VecDeque<OsString> = components(path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    loop {
        let metadata = match at.symlink_metadata() {
            Ok(metadata) => metadata,
            // What is missing is made where it is to be.
            Err(error)
                if need == Need::Write && rest.is_empty() && error.kind() == io::ErrorKind::NotFound =>
            {
                at.pop();
                let parent = match at.symlink_metadata() {
                    Ok(parent) => parent,
                    Err(error) => return Some(missing(&at, &error)),
                };
                return (!may(&parent, identity, WRITE)).then(|| refused(&at, &parent, "make a file in"));
            }
            Err(error) => return Some(missing(&at, &error)),
        };
        if metadata.is_symlink() {
            links += 1;
            let target = match std::fs::read_link(&at) {
                Ok(_) if links > LINKS_MAX => return Some(format!("{shown}: too many symbolic links")),
                Ok(target) => target,
                Err(error) => return Some(missing(&at, &error)),
            };
            for component in components(&target).into_iter().rev() {
                rest.push_front(component);
            }
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            continue;
        }
        let Some(next) = rest.pop_front() else {
            return last(&metadata, identity, need)
                .map_err(|why| match why {
                    Refusal::Kind(what) => format!("{shown}: is not {what}"),
                    Refusal::Mode(verb) => refused(&at, &metadata, verb),
                })
                .err();
        };
        if !metadata.is_dir() {
            return Some(format!("{shown}: {} is not a directory", at.display()));
        }
        if !may(&metadata, identity, EXECUTE) {
            return Some(refused(&at, &metadata, "enter"));
        }
        if next == ".." {
            at.pop();
        } else {
            at.push(next);
        }
    }
}

enum Refusal {
    Kind(&'static str),
    Mode(&'static str),
}

fn last(metadata: &Metadata, identity: &Identity, need: Need) -> Result<(), Refusal> {
    let directory = metadata.is_dir();
    match need {
        Need::Read | Need::Execute | Need::Write if directory => Err(Refusal::Kind("a file")),
        Need::Enter | Need::List | Need::Make if !directory => Err(Refusal::Kind("a directory")),
        Need::Execute if metadata.mode() & 0o111 == 0 => Err(Refusal::Mode("execute")),
        Need::Write if !may(metadata, identity, WRITE) => Err(Refusal::Mode("write")),
        Need::Read if !may(metadata, identity, READ) => Err(Refusal::Mode("read")),
        Need::Execute if !may(metadata, identity, EXECUTE) => Err(Refusal::Mode("execute")),
        Need::Enter | Need::List if !may(metadata, identity, EXECUTE) => Err(Refusal::Mode("enter")),
        Need::Make if !may(metadata, identity, WRITE | EXECUTE) => Err(Refusal::Mode("make a file in")),
        Need::List if !may(metadata, identity, READ) => Err(Refusal::Mode("list")),
        _ => Ok(()),
    }
}

/// The first class that fits decides alone, as in the kernel: an owner is not helped by what others may do.
fn may(metadata: &Metadata, identity: &Identity, bits: u32) -> bool {
    let shift = if metadata.uid() == identity.uid {
        6
    } else if metadata.gid() == identity.gid || identity.groups.contains(&metadata.gid()) {
        3
    } else {
        0
    };
    identity.uid == 0 || metadata.mode() >> shift & bits == bits
}

fn components(path: &Path) -> VecDeque<OsString> {
    let parts = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

/// `drwxr-x---`
fn show_mode(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o140_000 => 's',
        0o010_000 => 'p',
        0o020_000 => 'c',
        0o060_000 => 'b',
        _ => '-',
    };
    let bits = "rwxrwxrwx".chars().enumerate();
    let bits = bits.map(|(at, letter)| if mode & (0o400 >> at) != 0 { letter } else { '-' });
    std::iter::once(kind).chain(bits).collect()
}

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// The kernel's own limit.
const LINKS_MAX: usize = 40;
