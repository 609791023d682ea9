//! Where the names of upstream servers led to when a proxy last looked them up. The next proxy begins with
//! that: whether a name server answers just now decides nothing.

use std::net::IpAddr;

use config::{Config, PeerAddress};
use wire::control::ToProxy;

/// Names that are known; beyond that the one is forgotten that has not changed for the longest. Far less than
/// messages that may wait for a process.
const NAMES_MAX: usize = 512;

/// The longest name (RFC 1035 §2.3.4), and its dot.
const HOST_BYTES_MAX: usize = 255;

/// What is known, for as long as the server runs.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The one that changed last is the last one.
    known: Vec<(String, Vec<IpAddr>)>,
}

impl Names {
    /// A proxy says where a name leads to now.
    pub(crate) fn told(&mut self, host: String, addresses: Vec<IpAddr>) {
        if host.len() > HOST_BYTES_MAX || addresses.is_empty() {
            return;
        }
        self.known.retain(|(other, _)| *other != host);
        if self.known.len() >= NAMES_MAX {
            self.known.remove(0);
        }
        self.known.push((host, addresses));
    }

    /// The messages that tell a new proxy of the names in its configuration.
    pub(crate) fn of(&self, config: &Config) -> Vec<ToProxy> {
        let is_named = |host: &str| {
            let mut peers = config.upstreams.iter().flat_map(|upstream| &upstream.peers);
            peers.any(|peer| matches!(&peer.address, PeerAddress::Name { host: other, .. } if other == host))
        };
        let known = self.known.iter().filter(|(host, _)| is_named(host));
        let message = |(host, addresses): &(String, Vec<IpAddr>)| ToProxy::Addresses {
            host: host.clone(),
            addresses: addresses.clone(),
        };
        known.map(message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &Names) -> Vec<&str> {
        names.known.iter().map(|(host, _)| host.as_str()).collect()
    }

    #[test]
    fn what_was_told_last_counts_and_what_is_remembered_has_a_bound() {
        let mut names = Names::default();
        let address = |last: u8| vec![IpAddr::from([10, 0, 0, last])];
        names.told("a".to_owned(), address(1));
        names.told("b".to_owned(), address(2));
        names.told("a".to_owned(), address(3));
        names.told("b".to_owned(), Vec::new());
        names.told("c".repeat(HOST_BYTES_MAX + 1), address(4));
        assert_eq!(hosts(&names), ["b", "a"]);
        assert_eq!(names.known[1].1, address(3));
        for number in 1..NAMES_MAX {
            names.told(number.to_string(), address(5));
        }
        assert_eq!(names.known.len(), NAMES_MAX);
        assert_eq!(hosts(&names)[0], "a", "the oldest one is forgotten");
    }
}
