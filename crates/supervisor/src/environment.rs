//! The environments of what we start: an application gets ours, without what is meant for us alone, with what
//! its configuration says; a proxy gets next to nothing of it.

use std::{env, process::Command};

use config::{App, Identity};

use crate::os::spawn::RunAs;

/// Meant for us by whoever started us; an application that took them for its own would confuse both.
const OURS_ALONE: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    // Would make the application's interpreter look for its library in another one's place.
    "PYTHONHOME",
    "__PYVENV_LAUNCHER__",
];

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whom a process runs as: its identity counts only where we may change ours.
pub(crate) fn run_as(identity: Option<&Identity>) -> Option<RunAs> {
    let root = rustix::process::geteuid().is_root();
    identity.filter(|_| root).map(|who| RunAs {
        uid: who.uid,
        gid: who.gid,
        groups: who.groups.clone(),
    })
}

/// What a proxy gets of our environment: by names, where they end in `*` by their beginnings. Everything else
/// may be meant for the applications, as passwords in the environment of a container are, and a proxy speaks
/// to strangers.
const OF_PROXIES: [&str; 12] = [
    "PATH",
    // Time zone of the logs.
    "TZ",
    "TZDIR",
    // Where certificates of authorities are.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    // How the C library looks names up: the proxy leaves that to it only where /etc/hosts and the name
    // servers of /etc/resolv.conf have found nothing and nsswitch.conf names more; all before that does not
    // read these.
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "HOSTALIASES",
    // For debugging, and for another allocator.
    "RUST_*",
    "GLIBC_TUNABLES",
    "MALLOC_*",
    "LD_*",
];

/// Sets the environment of a proxy.
pub(crate) fn prepare_proxy(command: &mut Command) {
    command.env_clear();
    let kept = |name: &[u8]| {
        OF_PROXIES.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning.as_bytes()),
            None => name == pattern.as_bytes(),
        })
    };
    command.envs(env::vars_os().filter(|(name, _)| kept(name.as_encoded_bytes())));
}

/// Sets the environment of an app's interpreter.
pub(crate) fn prepare(command: &mut Command, app: &App, identity: Option<&Identity>) {
    for name in OURS_ALONE {
        command.env_remove(name);
    }
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"APPLIANCE_") {
            command.env_remove(name);
        }
    }
    if env::var_os("PATH").is_none() {
        command.env("PATH", PATH);
    }
    if let Some(who) = identity.filter(|_| rustix::process::geteuid().is_root()) {
        command.env("USER", &who.name).env("LOGNAME", &who.name);
        match &who.home {
            Some(home) => command.env("HOME", home),
            // Root's home is of no use to somebody else.
            None => command.env_remove("HOME"),
        };
    }
    command.envs(&app.env);
}
