//! In which order servers are asked. It knows their addresses and weights alone; which of them can be asked,
//! and how busy they are, is told it for each request.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use config::Balance;
use pingora_core::protocols::l4::socket::SocketAddr as BackendAddress;
use pingora_load_balancing::{
    Backend,
    selection::{BackendIter, BackendSelection, Consistent, Random, RoundRobin},
};

/// So many servers are looked at in the order of the selection; after that any one is good that can be asked.
/// The ring of `ip-hash` has 160 points for each unit of weight, and those of a server that is down may
/// follow each other.
const STEPS_MAX: usize = 1000;

/// All weights together, about: a server has an entry of two bytes for each unit of its weight.
const WEIGHTS_MAX: u64 = 1 << 16;

/// The same for a ring, where it has 160 entries of eight bytes for each.
const RING_WEIGHTS_MAX: u64 = 1 << 12;

/// The order of some servers, which it calls by their positions.
pub(super) struct Order {
    selection: Selection,
    weights: Box<[usize]>,
}

enum Selection {
    InTurn(Arc<RoundRobin>),
    Random(Arc<Random>),
    /// Where a client has its place on the ring.
    ByClient(Arc<Consistent>),
    /// Equal ones take turns, so that an idle upstream is not served by its first server alone.
    Fewest(Arc<RoundRobin>),
}

/// Which server of the order a backend stands for.
#[derive(Clone, Copy)]
struct Position(usize);

impl Order {
    /// The order of these servers.
    pub(super) fn new(balance: Balance, servers: &[(BackendAddress, u32)]) -> Self {
        let weights_max = match balance {
            Balance::IpHash => RING_WEIGHTS_MAX,
            Balance::RoundRobin | Balance::Random | Balance::LeastConnections => WEIGHTS_MAX,
        };
        let weights = shares(servers.iter().map(|(_, weight)| *weight), weights_max);
        let backends = || -> BTreeSet<Backend> {
            let positions = servers.iter().zip(&weights).enumerate();
            let backend = |(position, ((address, _), weight)): (usize, (&(BackendAddress, u32), &usize))| {
                let mut backend = Backend {
                    addr: address.clone(),
                    weight: *weight,
                    ext: Default::default(),
                };
                backend.ext.insert(Position(position));
                backend
            };
            positions.map(backend).collect()
        };
        let selection = match balance {
            Balance::RoundRobin => Selection::InTurn(Arc::new(RoundRobin::build(&backends()))),
            Balance::Random => Selection::Random(Arc::new(Random::build(&backends()))),
            Balance::LeastConnections => Selection::Fewest(Arc::new(RoundRobin::build(&backends()))),
            Balance::IpHash => {
                let on_ring = backends().into_iter().map(|backend| Backend {
                    addr: BackendAddress::Inet(on_ring(&backend.addr)),
                    ..backend
                });
                Selection::ByClient(Arc::new(Consistent::build(&on_ring.collect())))
            }
        };
        Self { selection, weights }
    }

    /// The next one among those that suit; `in_flight` is how many requests one has now.
    pub(super) fn choose(
        &self,
        client: Option<IpAddr>,
        suits: impl Fn(usize) -> bool,
        in_flight: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        let chosen = match &self.selection {
            Selection::InTurn(order) => first(order.iter(b""), &suits),
            Selection::Random(order) => first(order.iter(b""), &suits),
            Selection::ByClient(ring) => match client {
                Some(IpAddr::V4(address)) => first(ring.iter(&address.octets()), &suits),
                Some(IpAddr::V6(address)) => first(ring.iter(&address.octets()), &suits),
                None => first(ring.iter(b""), &suits),
            },
            Selection::Fewest(order) => {
                let from = first(order.iter(b""), |_| true)?;
                return self.fewest(from, suits, in_flight);
            }
        };
        chosen.or_else(|| (0..self.weights.len()).find(|position| suits(*position)))
    }

    /// The one that has the fewest for its weight, `from` before others that have as few.
    fn fewest(
        &self,
        from: usize,
        suits: impl Fn(usize) -> bool,
        in_flight: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        let mut best: Option<(usize, usize)> = None;
        for position in (from..self.weights.len()).chain(0..from) {
            if !suits(position) {
                continue;
            }
            let load = in_flight(position);
            let is_less = |&(other, of_other): &(usize, usize)| {
                load.saturating_mul(self.weights[other]) < of_other.saturating_mul(self.weights[position])
            };
            if best.as_ref().is_none_or(is_less) {
                best = Some((position, load));
            }
        }
        best.map(|(position, _)| position)
    }
}

fn first(mut order: impl BackendIter, suits: impl Fn(usize) -> bool) -> Option<usize> {
    for _ in 0..STEPS_MAX {
        let Position(position) = *order.next()?.ext.get()?;
        if suits(position) {
            return Some(position);
        }
    }
    None
}

/// Weights that mean the same and come to about `max` at most.
fn shares(weights: impl Iterator<Item = u32> + Clone, max: u64) -> Box<[usize]> {
    let divisor = weights.clone().fold(0, divisor).max(1);
    let total: u64 = weights.clone().map(|weight| u64::from(weight / divisor)).sum();
    let share = |weight: u32| match u64::from(weight / divisor) {
        share if total > max => share * max / total,
        share => share,
    };
    weights.map(|weight| share(weight).max(1) as usize).collect()
}

/// The greatest number that divides both.
fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// Where a server stands on the ring, which has room for IP addresses only: a Unix socket gets one that leads
/// nowhere (RFC 6666).
fn on_ring(address: &BackendAddress) -> SocketAddr {
    match address {
        BackendAddress::Inet(address) => *address,
        BackendAddress::Unix(_) => {
            let mut hasher = DefaultHasher::new();
            address.hash(&mut hasher);
            let discarded = u128::from(hasher.finish()) | 0x0100 << 112;
            SocketAddr::new(Ipv6Addr::from_bits(discarded).into(), 1)
        }
    }
}

#[cfg(test)]
mod tests;
