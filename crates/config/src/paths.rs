//! The paths of a configuration, looked at as the users that will use them.

use std::{
    collections::HashSet,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::FileTypeExt,
    path::Path,
};

use crate::{
    Action, Address, Config, Control, Files, Identity, Need, PathMatch, Symlinks, To, path_problem,
    permission::obstacle,
};

/// What using the paths of a configuration would show.
#[derive(Debug, Default)]
pub struct Paths {
    /// What keeps the server from starting, or a request from being answered.
    pub problems: Vec<String>,
    /// What can be lived with, and somebody should know.
    pub warnings: Vec<String>,
}

impl Config {
    /// Everything the configuration names that cannot be used by who will use it: logs and the pid file by
    /// us, before we become the run user; files, directories and interpreters by the run user. Certificates
    /// are opened by who can read them.
    pub fn check_paths(&self) -> Paths {
        let us = Identity::current();
        let mut paths = Paths::default();
        let access_log = self.access_log.as_ref().map(|log| ("log.access.to", &log.to));
        for (key, to) in access_log
            .into_iter()
            .chain([("log.error.to", &self.error_log.to)])
        {
            if let To::File(path) = to {
                paths.need(key, path, &us, Need::Write);
            }
        }
        if let Some(path) = &self.server.pid_file {
            paths.need("server.pid_file", path, &us, Need::Own);
        }
        if let Control::At(path) = &self.server.control
            && let Some(why) = path
                .parent()
                .and_then(|directory| path_problem(directory, &us, Need::Make))
        {
            paths.warnings.push(format!(
                "server.control: {why}; the server runs without a control socket"
            ));
        }
        if let Some(path) = self.server.state_dir.as_deref().filter(|path| !path.is_dir()) {
            // Most machines never use it, so a start does not fail for it.
            let path = path.display();
            paths.warnings.push(format!(
                "server.state_dir: {path}: is not a directory; make it, or leave it out"
            ));
        }
        paths.need_of_users(self, &us);
        for listener in &self.listeners {
            match &listener.address {
                Address::Unix(socket) => {
                    if let Some(directory) = socket.parent() {
                        paths.need("listener.address", directory, &us, Need::Make);
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
        self.need(
            "server.buffers.directory",
            &config.server.buffers.directory,
            user,
            Need::Make,
        );
        for route in config.sites.iter().flat_map(|site| &site.routes) {
            if let Action::Files(files) = &route.action {
                let exact = matches!(route.path, PathMatch::Exact(_));
                let need = if exact { Need::Read } else { Need::Enter };
                self.need_files(&route.name, &files.root, user, need);
                for app in &config.apps {
                    self.guard_links(files, &app.name, app.user.as_ref().unwrap_or(user));
                }
            }
        }
        for app in &config.apps {
            let user = app.user.as_ref().unwrap_or(user);
            // Importing lists the directory, the interpreter is only executed.
            self.need(
                &format!("app.{}.directory", app.name),
                &app.directory,
                user,
                Need::List,
            );
            self.need(
                &format!("app.{}.python", app.name),
                &app.python,
                user,
                Need::Execute,
            );
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

    /// The key is told first: which of the paths in the file it is.
    fn need(&mut self, key: &str, path: &Path, who: &Identity, need: Need) {
        let told = path_problem(path, who, need);
        self.problems.extend(told.map(|told| format!("{key}: {told}")));
    }

    /// A new project has no `media/` yet: it is made by the first upload, and until then its files are 404.
    fn need_files(&mut self, route: &str, root: &Path, who: &Identity, need: Need) {
        let missing = root
            .symlink_metadata()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let key = format!("files of {route}");
        match obstacle(root, who, need) {
            Some(obstacle) if missing => self.warnings.push(format!(
                "{key}: {}, so all of it is 404 until it does",
                obstacle.what
            )),
            _ => self.need(&key, root, who, need),
        }
    }

    /// A socket that an earlier start has left is replaced, anything else is somebody's.
    fn need_place(&mut self, socket: &Path) {
        let file = socket.symlink_metadata();
        if file.is_ok_and(|file| !file.file_type().is_socket()) {
            self.problems.push(format!(
                "listener.address: {}: a file that is not a socket is there; remove it, or choose another path",
                socket.display()
            ));
        }
    }

    /// Only the kernel knows which addresses are this machine's and who may have a low port, so it is asked.
    /// Any other refusal is for the start to tell: a server that runs has the port.
    fn may_bind(&mut self, address: SocketAddr) {
        // Port 0 is never taken, so this is about the address alone, with the interface that it may name.
        let mut probe = address;
        probe.set_port(0);
        if let Err(error) = TcpListener::bind(probe) {
            let help = match error.kind() {
                io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
                _ if address.is_ipv6() => {
                    "write an address that `ip -6 address` shows, or the IPv4 address where this machine has no IPv6"
                }
                _ => "write an address that `ip address` shows, or \":PORT\" for all",
            };
            self.problems
                .push(format!("listener.address: {address}: {error}; {help}"));
        }
        if (1..1024).contains(&address.port())
            && let Err(error) = TcpListener::bind(address)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            self.problems.push(format!(
                "listener.address: {address}: {error}; ports below 1024 are root's: start as root with [server] user, give the program \
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
