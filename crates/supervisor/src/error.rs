//! Why the supervisor does not start.

use std::{
    io,
    path::{Path, PathBuf},
};

use config::{Identity, Need, path_problem};

/// Why the supervisor does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be read or has problems; each is told with its place.
    #[error("{0}")]
    Config(String),
    /// A listening socket cannot be had.
    #[error("cannot listen on {address}: {}", unheard(address, source))]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A log cannot be opened.
    #[error("{key}: {message}")]
    Log {
        /// The key that names the file, or the stream.
        key: &'static str,
        /// Why.
        message: String,
    },
    /// A certificate or its key cannot be opened.
    #[error("tls.certificates: {}", unusable(path, Need::Read, source))]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// In the background these logs would go nowhere.
    #[error(
        "{0}: standard output and error are closed in the background, so that with --daemon every line is lost; name a \
         file there (access lines may be \"off\"), or start without --daemon"
    )]
    LostLogs(String),
    /// What starts the other processes is not there.
    #[error(
        "/proc is not mounted ({0}): the program starts itself and loads its engine from there; `mount -t proc proc /proc` \
         in the container or chroot first"
    )]
    NoProc(io::Error),
    /// The pid file cannot be written.
    #[error("server.pid_file: {}", unusable(path, Need::Own, source))]
    PidFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another supervisor runs with the same pid file.
    #[error("already running as process {pid}, which holds the pid file {}", path.display())]
    Running {
        /// The file.
        path: PathBuf,
        /// The other one's process id, as it stands there.
        pid: String,
    },
    /// The engine can be put nowhere where it may be executed.
    #[error(
        "the engine can not be made executable: {0}; set server.state_dir to a directory on a file system without noexec"
    )]
    Engine(io::Error),
    /// The kernel refused something every start needs.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why it was refused.
        source: io::Error,
    },
    /// The proxy did not get ready.
    #[error("the proxy could not start: {0}")]
    Proxy(String),
    /// An app did not get ready; its journey, a line each.
    #[error("app {app} failed to boot\n{}", journey.join("\n"))]
    App {
        /// Name of the app.
        app: String,
        /// Steps, output, traceback.
        journey: Vec<String>,
    },
}

impl Error {
    /// Exit code of the program: 2 is the configuration, 3 an app, 1 everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::LostLogs(_) => 2,
            Self::App { .. } => 3,
            _ => 1,
        }
    }

    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Why a path cannot be used, in the words of `appliance check`; what the system said where that sees
/// nothing.
pub(crate) fn unusable(path: &Path, need: Need, error: &io::Error) -> String {
    path_problem(path, &Identity::current(), need).unwrap_or_else(|| format!("{}: {error}", path.display()))
}

/// Why a socket is refused, and what helps.
fn unheard(address: &str, source: &io::Error) -> String {
    let directory = address
        .strip_prefix("unix:")
        .and_then(|path| Path::new(path).parent());
    if let Some(why) = directory.and_then(|at| path_problem(at, &Identity::current(), Need::Make)) {
        return why;
    }
    let help = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are root's: start as root with [server] user, give the program CAP_NET_BIND_SERVICE, or \
             take a higher port"
        }
        io::ErrorKind::AlreadyExists => "; remove it, or choose another path",
        io::ErrorKind::AddrInUse if directory.is_none() => "; `ss -ltnp` shows who listens there",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has this address",
        _ => "",
    };
    format!("{source}{help}")
}
