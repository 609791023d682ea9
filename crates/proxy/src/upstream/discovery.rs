//! Which servers an upstream has: what is written, and the addresses that its names lead to.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    os::unix,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use config::PeerAddress;
use pingora_core::protocols::l4::socket::SocketAddr as BackendAddress;
use pingora_load_balancing::{Backend, discovery::ServiceDiscovery};

use super::{connection::Address, server::Server};

/// What is known of the servers of one upstream, and what pingora is told of it.
#[derive(Clone)]
pub(super) struct Discovery(Arc<Mutex<Known>>);

struct Known {
    peers: Vec<config::Peer>,
    /// Where each of these leads to.
    addresses: Vec<Vec<Address>>,
    /// Those that were found last. What is known of one is kept for as long as its address is.
    servers: HashMap<Address, Arc<Server>>,
}

impl Discovery {
    /// Of names no address is known yet.
    pub(super) fn new(peers: &[config::Peer]) -> Self {
        let addresses = peers.iter().map(|peer| match &peer.address {
            PeerAddress::Tcp(address) => vec![Address::Tcp(*address)],
            PeerAddress::Unix(path) => vec![Address::Unix(path.clone())],
            PeerAddress::Name { .. } => Vec::new(),
        });
        Self(Arc::new(Mutex::new(Known {
            addresses: addresses.collect(),
            peers: peers.to_vec(),
            servers: HashMap::new(),
        })))
    }

    /// What is written at this position leads to these addresses now; their order means nothing. Answers
    /// whether that is new.
    pub(super) fn found(&self, written: usize, mut addresses: Vec<Address>) -> bool {
        addresses.sort_unstable();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.addresses.get_mut(written) {
            Some(before) if *before != addresses => {
                *before = addresses;
                true
            }
            _ => false,
        }
    }

    /// Is another address of what this server is written as not failing its checks?
    pub(super) fn has_other_well(&self, server: &Server) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of_same = known
            .servers
            .values()
            .filter(|other| other.written == server.written);
        of_same.any(|other| other.number() != server.number() && !other.is_failing())
    }
}

impl Known {
    /// All servers, each once: an address that is written twice, or that two names lead to, belongs to the
    /// first of them.
    fn servers(&mut self) -> &HashMap<Address, Arc<Server>> {
        let mut servers = HashMap::new();
        for (written, (peer, addresses)) in self.peers.iter().zip(&self.addresses).enumerate() {
            for address in addresses {
                servers.entry(address.clone()).or_insert_with(|| {
                    let before = self.servers.get(address);
                    match before {
                        Some(server) if server.written == written => Arc::clone(server),
                        Some(other) => {
                            let health = Arc::clone(other.health());
                            Arc::new(Server::new(peer, written, address.clone(), health))
                        }
                        None => Arc::new(Server::new(peer, written, address.clone(), Arc::default())),
                    }
                });
            }
        }
        self.servers = servers;
        &self.servers
    }
}

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora_core::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let backends = known.servers().values().filter_map(backend).collect();
        Ok((backends, HashMap::new()))
    }
}

/// The server as pingora sees it.
fn backend(server: &Arc<Server>) -> Option<Backend> {
    let addr = match server.address() {
        Address::Tcp(address) => BackendAddress::Inet(*address),
        // The configuration has refused paths that are too long for one.
        Address::Unix(path) => BackendAddress::Unix(unix::net::SocketAddr::from_pathname(path).ok()?),
    };
    let mut backend = Backend {
        addr,
        // Pingora only compares these. With the number in place of the weight it notices when an address
        // comes to belong to another server.
        weight: server.number(),
        ext: Default::default(),
    };
    backend.ext.insert(Arc::clone(server));
    Some(backend)
}

/// The server that a backend stands for.
pub(super) fn server(backend: &Backend) -> Option<&Arc<Server>> {
    backend.ext.get()
}

/// By which number pingora knows the health of a server: one that stays keeps it, whoever it
/// belongs to.
pub(super) fn health_number(backend: &Backend) -> u64 {
    let mut hasher = DefaultHasher::new();
    backend.addr.hash(&mut hasher);
    hasher.finish()
}
