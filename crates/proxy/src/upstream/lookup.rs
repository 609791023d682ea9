//! Looks a name up as the programs of this machine do: in /etc/hosts, then from the name servers of
//! /etc/resolv.conf, then by whatever else /etc/nsswitch.conf names.
//!
//! The C library does all of this in one call, which blocks a thread for as long as a name server is silent
//! and keeps from its callers for how long an answer is good. So the first two are done here, and the call is
//! left with what only it can do.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use hickory_resolver::{net::NetError, proto::rr::Name};
use tokio::{
    sync::Mutex,
    task::{JoinError, spawn_blocking},
    time::timeout,
};
use wire::control::ADDRESSES_MAX;

use super::name_servers::{Missing, NameServers};

/// Name servers are asked for so long, search domains and second tries included.
const NAME_SERVERS_WITHIN: Duration = Duration::from_secs(20);

/// What a name leads to.
pub(super) struct Found {
    /// At least one, each once.
    pub(super) addresses: Vec<IpAddr>,
    /// As the name server says; `None` where nobody says it.
    pub(super) good_until: Option<Instant>,
    /// The addresses by one protocol, about which the name servers say nothing (yet).
    pub(super) missing: Option<Missing>,
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("no address found")]
    Nothing,
    #[error("name servers: {0}")]
    NameServers(NetError),
    #[error("name servers do not answer")]
    Silent,
    #[error(transparent)]
    System(#[from] std::io::Error),
    #[error(transparent)]
    Thread(#[from] JoinError),
}

/// Looks names up; all that follow one share it.
#[derive(Default)]
pub(super) struct Lookup {
    /// The name servers of a resolv.conf, `None` where only the C library understands it. Each is asked over
    /// and over, by sockets that are kept.
    name_servers: Mutex<Option<(Vec<u8>, Option<NameServers>)>>,
}

/// What the files of this machine say at the moment.
struct Files {
    of_hosts: Vec<IpAddr>,
    asks_name_servers: bool,
    resolv_conf: Vec<u8>,
}

impl Lookup {
    /// All addresses of a name.
    pub(super) async fn addresses(&self, host: &str) -> Result<Found, LookupError> {
        let name = host.to_owned();
        let files = spawn_blocking(move || Files::read(&name)).await?;
        let mut addresses = files.of_hosts;
        if is_localhost(host) && addresses.iter().all(IpAddr::is_loopback) {
            // By either protocol, whatever is written (RFC 6761 §6.3): its server listens on one of them.
            addresses.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        }
        if !addresses.is_empty() {
            return found(addresses, None);
        }
        let mut failure = None;
        if files.asks_name_servers {
            match self.ask(host, files.resolv_conf).await {
                Ok(found) => return Ok(found),
                Err(LookupError::Nothing) => {}
                // The first answer counts here. The C library asks the next name server after one that has
                // failed, and the next source after all.
                Err(error) => failure = Some(error),
            }
        }
        let by_system = Self::ask_system(host).await;
        by_system.map_err(|error| failure.unwrap_or(error))
    }

    /// Nothing bounds it: one that hangs has one thread, and asking again would cost another.
    async fn ask_system(host: &str) -> Result<Found, LookupError> {
        let addresses = tokio::net::lookup_host((host, 0)).await?;
        found(addresses.map(|address| address.ip()), None)
    }

    async fn ask(&self, host: &str, resolv_conf: Vec<u8>) -> Result<Found, LookupError> {
        // Underscores are no part of host names, and of those of many a container.
        let Ok(name) = Name::from_str_relaxed(host) else {
            return Err(LookupError::Nothing);
        };
        let Some(servers) = self.servers(resolv_conf).await? else {
            return Err(LookupError::Nothing);
        };
        match timeout(NAME_SERVERS_WITHIN, servers.ask(&name)).await {
            Ok(Ok(Some(told))) => Ok(Found {
                missing: told.missing,
                ..found(told.addresses, Some(told.good_until))?
            }),
            Ok(Ok(None)) => Err(LookupError::Nothing),
            Ok(Err(error)) => Err(LookupError::NameServers(error)),
            Err(_) => Err(LookupError::Silent),
        }
    }

    /// The name servers of this resolv.conf; `None` where only the C library can ask them.
    async fn servers(&self, resolv_conf: Vec<u8>) -> Result<Option<NameServers>, LookupError> {
        let mut kept = self.name_servers.lock().await;
        if let Some((of, servers)) = &*kept
            && *of == resolv_conf
        {
            return Ok(servers.clone());
        }
        let servers = NameServers::of(&resolv_conf).map_err(LookupError::NameServers)?;
        *kept = Some((resolv_conf, servers.clone()));
        Ok(servers)
    }
}

impl Files {
    fn read(host: &str) -> Self {
        // What cannot be read says nothing, as for the C library.
        let read = |path| fs::read(path).unwrap_or_default();
        Self {
            of_hosts: of_hosts(&String::from_utf8_lossy(&read("/etc/hosts")), host),
            asks_name_servers: asks_name_servers(&String::from_utf8_lossy(&read("/etc/nsswitch.conf"))),
            resolv_conf: read("/etc/resolv.conf"),
        }
    }
}

fn found(
    addresses: impl IntoIterator<Item = IpAddr>,
    good_until: Option<Instant>,
) -> Result<Found, LookupError> {
    let addresses = once(addresses);
    match addresses.is_empty() {
        true => Err(LookupError::Nothing),
        false => Ok(Found {
            addresses,
            good_until,
            missing: None,
        }),
    }
}

/// Each of these once, and not too many.
pub(super) fn once(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut once = Vec::new();
    for address in addresses {
        if once.len() < ADDRESSES_MAX && !once.contains(&address) {
            once.push(address);
        }
    }
    once
}

/// `localhost`, and what is below it.
pub(super) fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// The addresses that a hosts file has for a name.
fn of_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let of_line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|name| name.eq_ignore_ascii_case(host))
            .then_some(address)
    };
    hosts.lines().filter_map(of_line).collect()
}

/// Does an nsswitch.conf have name servers asked for hosts? It does where it says nothing.
fn asks_name_servers(nsswitch: &str) -> bool {
    let hosts = nsswitch
        .lines()
        .find_map(|line| line.split('#').next()?.trim().strip_prefix("hosts:"));
    hosts.is_none_or(|sources| {
        sources
            .split_whitespace()
            .any(|source| matches!(source, "dns" | "resolve"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_hosts_file_is_read_as_the_c_library_reads_it() {
        let hosts = "127.0.0.1\tlocalhost my_app # back\n::1 localhost\n\n# 10.0.0.1 back\n\
                     10.0.0.2 other BACK\nfe80::1%eth0 back\nnonsense back\n10.0.0.3";
        assert_eq!(of_hosts(hosts, "localhost"), [ip("127.0.0.1"), ip("::1")]);
        assert_eq!(of_hosts(hosts, "back."), [ip("10.0.0.2")]);
        assert_eq!(of_hosts(hosts, "my_app"), [ip("127.0.0.1")]);
        assert!(of_hosts(hosts, "app").is_empty() && of_hosts(hosts, "").is_empty());
    }

    #[test]
    fn name_servers_are_asked_where_nsswitch_has_them() {
        for (nsswitch, asked) in [
            ("", true),
            ("passwd: files\n", true),
            ("hosts: files dns\n", true),
            (
                "hosts:\tfiles mymachines resolve [!UNAVAIL=return] myhostname",
                true,
            ),
            ("# hosts: dns\nhosts: files # dns\n", false),
            ("  hosts: files mdns4_minimal [NOTFOUND=return]", false),
        ] {
            assert_eq!(asks_name_servers(nsswitch), asked, "{nsswitch}");
        }
    }

    #[tokio::test]
    async fn localhost_is_both_loopback_addresses() {
        for host in ["localhost", "LOCALHOST.", "app.localhost"] {
            let found = Lookup::default().addresses(host).await.unwrap();
            for address in ["127.0.0.1", "::1"] {
                assert!(found.addresses.contains(&ip(address)), "{:?}", found.addresses);
            }
        }
        assert!(!is_localhost("localhost.example") && !is_localhost("mylocalhost"));
    }

    #[test]
    fn of_many_addresses_each_is_taken_once_and_not_all() {
        let addresses = |number: u32| (0..number).map(|last| IpAddr::V4(last.into()));
        assert_eq!(once(addresses(3).chain(addresses(3))).len(), 3);
        assert_eq!(once(addresses(1000)).len(), ADDRESSES_MAX);
        assert!(found([], None).is_err());
    }
}
