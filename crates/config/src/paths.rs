//! The paths of a configuration, looked at as the users that will use them.

use std::{
    collections::HashSet,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::FileTypeExt,
    path::Path,
};

use crate::{Action, Address, Config, Files, Identity, Need, PathMatch, Symlinks, To, path_problem};

/// What using the paths of a configuration would show.
#[derive(Debug, Default)]
pub struct Paths {
    /// What keeps the server from starting, or a request from being answered.
    pub problems: Vec<String>,
    /// What can be lived with, and somebody should know.
    pub warnings: Vec<String>,
}

impl Config {
    /// Everything the configuration names that cannot be used by who will use it: certificates by us, before
    /// we become the run user, and so are logs and the pid file; files, directories and interpreters by the
    /// run user.
    pub fn check_paths(&self) -> Paths {
        let us = Identity::current();
        let mut paths = Paths::default();
        for certificate in &self.tls.certificates {
            paths.need(&certificate.certificate, &us, Need::Read);
            paths.need(&certificate.key, &us, Need::Read);
        }
        let access_log = self.access_log.as_ref().map(|log| &log.to);
        for to in access_log.into_iter().chain([&self.error_log.to]) {
            if let To::File(path) = to {
                paths.need(path, &us, Need::Write);
            }
        }
        if let Some(path) = &self.server.pid_file {
            paths.need(path, &us, Need::Write);
        }
        paths.need_of_users(self, &us);
        for listener in &self.listeners {
            match &listener.address {
                Address::Unix(socket) => {
                    if let Some(directory) = socket.parent() {
                        paths.need(directory, &us, Need::Make);
                    }
                    paths.need_place(socket);
                }
                Address::Tcp(address) => paths.may_bind(*address),
            }
        }
        paths.once()
    }

    /// What the run users may not reach, for a start to tell: what comes of it later, "Permission denied",
    /// does not name the directory that is closed.
    pub fn out_of_reach(&self) -> Vec<String> {
        let mut paths = Paths::default();
        paths.need_of_users(self, &Identity::current());
        paths.once().problems
    }
}

impl Paths {
    /// What proxy and applications use after they have become who they run as.
    fn need_of_users(&mut self, config: &Config, us: &Identity) {
        let user = config.server.user.as_ref().unwrap_or(us);
        self.need(&config.server.buffers.directory, user, Need::Make);
        for route in config.sites.iter().flat_map(|site| &site.routes) {
            if let Action::Files(files) = &route.action {
                let exact = matches!(route.path, PathMatch::Exact(_));
                self.need_files(&files.root, user, if exact { Need::Read } else { Need::Enter });
                for app in &config.apps {
                    self.guard_links(files, &app.name, app.user.as_ref().unwrap_or(user));
                }
            }
        }
        for app in &config.apps {
            let user = app.user.as_ref().unwrap_or(user);
            // Importing lists the directory, the interpreter is only executed.
            self.need(&app.directory, user, Need::List);
            self.need(&app.python, user, Need::Execute);
        }
    }

    /// Each line once, however many routes it is about.
    fn once(mut self) -> Self {
        for told in [&mut self.problems, &mut self.warnings] {
            let mut seen = HashSet::new();
            told.retain(|line| seen.insert(line.clone()));
        }
        self
    }

    fn need(&mut self, path: &Path, who: &Identity, need: Need) {
        self.problems.extend(path_problem(path, who, need));
    }

    /// A new project has no `media/` yet: it is made by the first upload, and until then its files are 404.
    fn need_files(&mut self, root: &Path, who: &Identity, need: Need) {
        let missing = root
            .symlink_metadata()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        match path_problem(root, who, need) {
            Some(told) if missing => self
                .warnings
                .push(format!("{told}, so all of it is 404 until it does")),
            told => self.problems.extend(told),
        }
    }

    /// A socket that an earlier start has left is replaced, anything else is somebody's.
    fn need_place(&mut self, socket: &Path) {
        let file = socket.symlink_metadata();
        if file.is_ok_and(|file| !file.file_type().is_socket()) {
            self.problems.push(format!(
                "{}: a file that is not a socket is there; remove it, or choose another path",
                socket.display()
            ));
        }
    }

    /// Only the kernel knows which addresses are this machine's and who may have a low port, so it is asked.
    /// Any other refusal is for the start to tell: a server that runs has the port.
    fn may_bind(&mut self, address: SocketAddr) {
        if let Err(error) = TcpListener::bind((address.ip(), 0))
            && error.kind() == io::ErrorKind::AddrNotAvailable
        {
            self.problems.push(format!(
                "{address}: {error}; no interface of this machine has this address"
            ));
        }
        if (1..1024).contains(&address.port())
            && let Err(error) = TcpListener::bind(address)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            self.problems.push(format!(
                "{address}: {error}; ports below 1024 are root's: start as root with [server] user, give the program \
                 CAP_NET_BIND_SERVICE, or take a higher port"
            ));
        }
    }

    /// Where links are followed, anybody who can make one has any file served that the proxy may read: an
    /// application that unpacks an archive it was sent, for example. Root reads what it likes anyway.
    fn guard_links(&mut self, files: &Files, app: &str, user: &Identity) {
        if files.symlinks == Symlinks::Inside || user.uid == 0 {
            return;
        }
        let writable = |directory: &Path| path_problem(directory, user, Need::Make).is_none();
        // A directory for uploads is the root itself, or stands in it beside what belongs to the release.
        let below = std::fs::read_dir(&files.root).into_iter().flatten().flatten();
        let mut below = below.take(ENTRIES_MAX).map(|entry| entry.path());
        let found = if writable(&files.root) {
            Some(files.root.clone())
        } else {
            below.find(|path| path.is_dir() && writable(path))
        };
        self.warnings.extend(found.map(|directory| {
            format!(
                "{}: user {} of app {app} may make symbolic links here, and they are followed wherever they lead; write \
                 files = {{ root = \"...\", symlinks = \"inside\" }} where the app keeps what it is sent",
                directory.display(),
                user.name,
            )
        }));
    }
}

/// More entries of a directory are not looked at.
const ENTRIES_MAX: usize = 1000;
