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
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Component, Path, PathBuf},
};

use crate::{
    Identity,
    sealed::{belongs_to_kernel, sealed},
};

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
    /// Write a file, a FIFO or a device; a file is made when it is not there.
    Write,
    /// Write a file of our own, which is made when it is not there.
    Own,
    /// Make files in a directory.
    Make,
}

/// Why `identity` cannot use `path`, and what helps, or `None` when it can: `/srv/site/static: user www-data
/// may not enter /srv/site (drwx------ root root); ...`.
pub fn path_problem(path: &Path, identity: &Identity, need: Need) -> Option<String> {
    let obstacle = obstacle(path, identity, need)?;
    Some(format!("{}; {}", obstacle.what, obstacle.help))
}

/// What stands in the way, and the way out.
pub(crate) struct Obstacle {
    /// Begins with the path.
    pub(crate) what: String,
    help: &'static str,
}

/// The same in two parts.
pub(crate) fn obstacle(path: &Path, identity: &Identity, need: Need) -> Option<Obstacle> {
    let shown = path.display();
    let because = |why: String, help: &'static str| {
        Some(Obstacle {
            what: format!("{shown}: {why}"),
            help,
        })
    };
    let missing = |at: &Path, error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound if at == path => because("does not exist".to_owned(), MAKE),
        io::ErrorKind::NotFound => because(format!("{} does not exist", at.display()), MAKE),
        io::ErrorKind::InvalidFilename => because("a name in it has more than 255 bytes".to_owned(), CHOOSE),
        _ => because(format!("{}: {error}", at.display()), CHOOSE),
    };
    let refused = |at: &Path, metadata: &Metadata, verb: &str| {
        let (mode, owner) = (show_mode(metadata.mode()), Identity::user_name(metadata.uid()));
        let group = Identity::group_name(metadata.gid());
        let (user, at) = (&identity.name, at.display());
        because(
            format!("user {user} may not {verb} {at} ({mode} {owner} {group})"),
            ALLOW,
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
                if matches!(need, Need::Write | Need::Own)
                    && rest.is_empty()
                    && error.kind() == io::ErrorKind::NotFound =>
            {
                at.pop();
                let parent = match at.symlink_metadata() {
                    Ok(parent) => parent,
                    Err(error) => return missing(&at, &error),
                };
                // Asked first: where nobody can write, no mode lets the user in.
                return match sealed(&at) {
                    Some(why) => because(format!("{} {why}", at.display()), CHOOSE),
                    None if !may(&parent, identity, WRITE) => refused(&at, &parent, "make a file in"),
                    None => None,
                };
            }
            Err(error) => return missing(&at, &error),
        };
        // Those of /proc, as /dev/stdout leads to one, lead to what a process has open, not where they say.
        let metadata = match at.parent().filter(|_| metadata.is_symlink()) {
            Some(parent) if belongs_to_kernel(parent) => at.metadata().unwrap_or(metadata),
            _ => metadata,
        };
        if metadata.is_symlink() {
            links += 1;
            let target = match std::fs::read_link(&at) {
                Ok(_) if links > LINKS_MAX => return because("too many symbolic links".to_owned(), CHOOSE),
                Ok(target) => target,
                Err(error) => return missing(&at, &error),
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
            let writes = match need {
                Need::Make | Need::Own => true,
                Need::Write => metadata.is_file(),
                _ => false,
            };
            let sealed = if writes { sealed(&at) } else { None };
            return match (last(&metadata, identity, need), sealed) {
                (Err(Refusal::Kind(wanted)), _) => {
                    because(format!("is {}, not {wanted}", kind(&metadata)), CHOOSE)
                }
                (_, Some(why)) => because(why.to_owned(), CHOOSE),
                (Err(Refusal::Mode(verb)), None) => refused(&at, &metadata, verb),
                (Ok(()), None) => None,
            };
        };
        if !metadata.is_dir() {
            return because(format!("{} is not a directory", at.display()), CHOOSE);
        }
        if !may(&metadata, identity, EXECUTE) && !has_our_descriptors(&at) {
            return refused(&at, &metadata, "enter");
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
        // A FIFO or a device can be written to by its path, a socket is connected to.
        Need::Write if metadata.file_type().is_socket() => Err(Refusal::Kind("a file")),
        Need::Own if !metadata.is_file() => Err(Refusal::Kind("a file")),
        Need::Enter | Need::List | Need::Make if !directory => Err(Refusal::Kind("a directory")),
        Need::Execute if metadata.mode() & 0o111 == 0 => Err(Refusal::Mode("execute")),
        Need::Write | Need::Own if !may(metadata, identity, WRITE) => Err(Refusal::Mode("write")),
        Need::Read if !may(metadata, identity, READ) => Err(Refusal::Mode("read")),
        Need::Execute if !may(metadata, identity, EXECUTE) => Err(Refusal::Mode("execute")),
        Need::Enter | Need::List if !may(metadata, identity, EXECUTE) => Err(Refusal::Mode("enter")),
        Need::Make if !may(metadata, identity, WRITE | EXECUTE) => Err(Refusal::Mode("make a file in")),
        Need::List if !may(metadata, identity, READ) => Err(Refusal::Mode("list")),
        _ => Ok(()),
    }
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "a file"
    }
}

/// Where `/dev/stdout` leads to. The kernel lets every process in there, though in one that hides (it is not
/// dumpable) it shows root as the owner.
fn has_our_descriptors(at: &Path) -> bool {
    let own = Path::new("/proc/self/fd").canonicalize();
    at.ends_with("fd") && own.is_ok_and(|own| at.canonicalize().is_ok_and(|at| at == own))
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

const MAKE: &str = "make it, or correct the path";
const CHOOSE: &str = "choose another path";
const ALLOW: &str = "let the user in, or choose a place that is open to it";

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// The kernel's own limit.
const LINKS_MAX: usize = 40;
