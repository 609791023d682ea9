//! Where the control socket is: one rule for the server that makes it and for the commands that look for it.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    Config, Control, Machine, Server, Surroundings, absolute, started_in::resolved, text_file::configuration,
    written,
};

/// One place where a control socket may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlace {
    /// The socket file.
    pub path: PathBuf,
    /// Its directory is made when it is missing; otherwise it must exist.
    pub directory: ControlDirectory,
}

/// Whose the directory of a control socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlDirectory {
    /// The administrator's: it must exist.
    Given,
    /// The program's own, in a runtime directory: made when missing, and used only if nobody else may write
    /// to it.
    Own,
}

/// Where a command looks for the server of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSearch {
    /// The file, as its server names it.
    pub conf: PathBuf,
    /// The user that the file belongs to, where there is one.
    pub owner: Option<u32>,
    /// The first one that a server listens at is it.
    pub places: Vec<ControlPlace>,
    /// The file says that there is none.
    pub is_off: bool,
}

impl Config {
    /// Where a server with this configuration may make its control socket, the best place first.
    pub fn control_places(&self) -> Vec<ControlPlace> {
        match &self.server.control {
            Control::Usual => usual(&Machine, &self.path, &self.server),
            Control::Off => Vec::new(),
            Control::At(path) => vec![given(path.clone())],
        }
    }

    /// Where a link may lead to a control socket that is elsewhere, so that commands find it when the file
    /// that says where it is has been broken or changed.
    pub fn control_links(&self) -> Vec<ControlPlace> {
        match &self.server.control {
            Control::Off => Vec::new(),
            Control::Usual | Control::At(_) => by_name(&Machine, &self.path),
        }
    }
}

/// Where the server of the configuration file at `conf` is to be found. The file may be broken, or gone: a
/// server that runs must be told to stop all the same. What it says of places is read as far as it can be,
/// and the usual places are always looked at, because a file that was just changed may not have been taken up
/// yet.
pub fn control_search(conf: &Path) -> ControlSearch {
    let absolute = absolute(conf).unwrap_or_else(|_| conf.to_owned());
    let conf = resolved(&absolute);
    let mut search = control_search_in(&Machine, &conf, &configuration(&conf).unwrap_or_default());
    search.owner = conf.metadata().map(|file| file.uid()).ok();
    // Root may command everybody's server, and mostly it is the owner's of the file.
    if Machine.is_root()
        && let Some(owner) = search.owner
        && owner != 0
    {
        for place in named(directories_of(owner), &conf) {
            if !search.places.contains(&place) {
                search.places.push(place);
            }
        }
    }
    search
}

/// [`control_search`] on the machine given, for a file with this text.
pub fn control_search_in(surroundings: &dyn Surroundings, conf: &Path, text: &str) -> ControlSearch {
    let server = written::server_alone(surroundings, text, conf);
    let chosen = match &server.control {
        Control::At(path) => Some(given(path.clone())),
        _ => None,
    };
    ControlSearch {
        conf: conf.to_owned(),
        owner: None,
        places: chosen
            .into_iter()
            .chain(usual(surroundings, conf, &server))
            .collect(),
        is_off: server.control == Control::Off,
    }
}

/// Beside the pid file, which one server has for itself; else under a name that follows from the
/// configuration's path, because several servers share these directories.
fn usual(surroundings: &dyn Surroundings, conf: &Path, server: &Server) -> Vec<ControlPlace> {
    let name = name(conf);
    let beside = server
        .pid_file
        .iter()
        .map(|path| given(path.with_extension(EXTENSION)));
    let state = server
        .state_dir
        .iter()
        .map(|directory| given(directory.join(&name)));
    beside.chain(state).chain(by_name(surroundings, conf)).collect()
}

/// The places that follow from the configuration's path alone.
fn by_name(surroundings: &dyn Surroundings, conf: &Path) -> Vec<ControlPlace> {
    named(runtime_directories(surroundings), conf)
}

fn named(directories: Vec<PathBuf>, conf: &Path) -> Vec<ControlPlace> {
    let name = name(conf);
    directories
        .into_iter()
        .map(|directory| ControlPlace {
            path: directory.join(&name),
            directory: ControlDirectory::Own,
        })
        .collect()
}

fn name(conf: &Path) -> String {
    format!("{:016x}.{EXTENSION}", fnv1a(conf.as_os_str().as_encoded_bytes()))
}

/// Where sockets belong. systemd makes `/run/appliance` for the unit, also where that never was root. The
/// last one is for those who have none of these: users of containers, and of cron.
fn runtime_directories(surroundings: &dyn Surroundings) -> Vec<PathBuf> {
    let system = PathBuf::from("/run/appliance");
    if surroundings.is_root() {
        return vec![system];
    }
    let session = surroundings.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let session = session
        .filter(|path| path.is_absolute())
        .map(|path| path.join("appliance"));
    let mut directories: Vec<_> = session.into_iter().collect();
    for directory in directories_of(surroundings.uid()) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    directories
}

fn directories_of(uid: u32) -> Vec<PathBuf> {
    vec![
        PathBuf::from(format!("/run/user/{uid}/appliance")),
        PathBuf::from("/run/appliance"),
        PathBuf::from(format!("/tmp/appliance-{uid}")),
    ]
}

fn given(path: PathBuf) -> ControlPlace {
    ControlPlace {
        path,
        directory: ControlDirectory::Given,
    }
}

/// FNV-1a, 64 bits: the name has to be the same in every release, which the standard library's hash is not.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

const EXTENSION: &str = "ctl";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_socket_never_changes() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
