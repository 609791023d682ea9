//! Descriptors that the proxy may need, held against those that it may have.

use crate::{Action, Config, Surroundings, listener::CONNECTIONS_USUAL};

/// What a proxy has open before anybody comes: logs, control socket, event loops, timers.
const OWN: u64 = 64;

/// Socket and page of a worker's link, with bodies and trays on their way, and once more during a reload.
const PER_WORKER: u64 = 8;

/// Eighths of the limit that clients, and what belongs to them, may need. The others are for answers that
/// wait on disk, for files that applications answer with, and for what nobody has thought of.
const FOR_CLIENTS: u64 = 5;

/// A process cannot have more unless an administrator has raised `fs.nr_open`.
const KERNEL_MAX: u64 = 1 << 20;

impl Config {
    /// Open files that the proxy needs when every connection that its listeners allow is there.
    pub fn open_files_wanted(&self) -> u64 {
        let limits = self.listeners.iter().map(|listener| &listener.limits);
        let clients: u64 = limits.map(|limits| limits.connections_max as u64).sum();
        self.ends() * clients + self.fixed()
    }

    /// Those of them that do not come with clients.
    fn fixed(&self) -> u64 {
        OWN + PER_WORKER * self.apps.iter().map(|app| app.workers as u64).sum::<u64>()
    }

    /// Clients that the listeners promise to serve. The usual number counts once, however many have it and
    /// whether it was written or not: a second listener for HTTPS or IPv6 is there for the same clients.
    fn clients_promised(&self) -> u64 {
        let all = self
            .listeners
            .iter()
            .map(|listener| listener.limits.connections_max);
        let (usual, written): (Vec<_>, Vec<_>) = all.partition(|max| *max == CONNECTIONS_USUAL);
        let max = written.iter().sum::<usize>() + usual.first().copied().unwrap_or_default();
        max as u64
    }

    /// Connections for each of a client's: a request on its way to a server behind us has one of its own.
    fn ends(&self) -> u64 {
        let mut routes = self.sites.iter().flat_map(|site| &site.routes);
        1 + u64::from(routes.any(|route| matches!(route.action, Action::Upstream(_))))
    }

    /// A warning where listeners promise more connections than the limit of open files lets the proxy have.
    pub(crate) fn check_open_files(&self, surroundings: &dyn Surroundings) -> Option<String> {
        let limit = surroundings.open_files_max().min(KERNEL_MAX);
        let (clients, fixed) = (self.clients_promised(), self.fixed());
        let (room, wanted) = (limit * FOR_CLIENTS / 8, self.ends() * clients + fixed);
        if wanted <= room {
            return None;
        }
        let listeners = self.listeners.len().max(1) as u64;
        let written = match listeners {
            1 => format!("connections_max is {clients}"),
            _ => format!("connections_max of all {listeners} listeners is {clients}"),
        };
        let each = room.saturating_sub(fixed) / self.ends() / listeners;
        let lower = match each {
            0 => "write a smaller connections_max".to_owned(),
            _ => format!("write connections_max = {each}"),
        };
        let raised = (wanted * 8).div_ceil(FOR_CLIENTS);
        let raise = match raised {
            ..=KERNEL_MAX => format!(
                "raise the limit to {raised} (LimitNOFILE= of a unit, `--ulimit nofile=` of a container, `ulimit -n`), or "
            ),
            _ => String::new(),
        };
        Some(format!(
            "warning: {written}, but the limit of open files ({limit}) has room for {}: beyond that clients are not served\n  \
             = help: {raise}{lower} in [listener.limits]",
            each * listeners
        ))
    }
}
