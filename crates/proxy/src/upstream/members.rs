//! The servers that an upstream has now, and which of them a request is sent to.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use config::Balance;
use pingora_load_balancing::Backend;

use super::{
    discovery,
    order::Order,
    server::{Seat, Server},
};

/// The servers that an upstream has now. Made anew whenever one comes or goes.
pub(super) struct Members {
    first: Group,
    /// Those that are asked when none of the first can be.
    backup: Group,
}

struct Group {
    servers: Box<[Arc<Server>]>,
    order: Order,
}

impl Members {
    /// The members that these backends stand for.
    pub(super) fn new(balance: Balance, backends: &BTreeSet<Backend>) -> Self {
        let group = |backup: bool| {
            let of_group = |server: &Server| server.is_backup() == backup;
            let (addresses, servers): (Vec<_>, Vec<_>) = backends
                .iter()
                .filter_map(|backend| Some((backend, discovery::server(backend)?)))
                .filter(|(_, server)| of_group(server))
                .map(|(backend, server)| ((backend.addr.clone(), server.weight()), Arc::clone(server)))
                .unzip();
            Group {
                order: Order::new(balance, &addresses),
                servers: servers.into(),
            }
        };
        Self {
            first: group(false),
            backup: group(true),
        }
    }

    /// Is there one that can be asked and is not in `tried`?
    pub(super) fn has_other(&self, tried: &[usize]) -> bool {
        self.all().any(|server| is_untried(server, tried))
    }

    /// Is there one among those of what is written at this position?
    pub(super) fn has_other_of(&self, written: usize, tried: &[usize]) -> bool {
        self.all()
            .any(|server| server.written == written && is_untried(server, tried))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.first.servers.iter().chain(&self.backup.servers)
    }

    /// Takes a place at one that is not in `tried`.
    ///
    /// Servers that rest are asked only when no other is left: a wrong guess costs one failed connect, an
    /// answer that was never tried for costs the request. Those that fail their health checks are not asked.
    pub(super) fn seat(&self, client: Option<IpAddr>, tried: &[usize]) -> Option<Seat> {
        let untried = |server: &Server| is_untried(server, tried);
        let awake = |server: &Server| untried(server) && !server.rests();
        let chosen = self
            .first
            .choose(client, awake)
            .or_else(|| self.backup.choose(client, awake))
            .or_else(|| self.first.choose(client, untried))
            .or_else(|| self.backup.choose(client, untried))?;
        Some(Seat::at(Arc::clone(chosen)))
    }
}

fn is_untried(server: &Server, tried: &[usize]) -> bool {
    !server.is_failing() && !tried.contains(&server.number())
}

impl Group {
    fn choose(&self, client: Option<IpAddr>, suits: impl Fn(&Server) -> bool) -> Option<&Arc<Server>> {
        let chosen = self.order.choose(
            client,
            |position| suits(&self.servers[position]),
            |position| self.servers[position].in_flight(),
        )?;
        self.servers.get(chosen)
    }
}
