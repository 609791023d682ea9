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

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::Name,
    system_conf::parse_resolv_conf,
};
use tokio::{
    sync::Mutex,
    task::{JoinError, spawn_blocking},
    time::timeout,
};

/// Name servers are asked for so long, search domains and second tries included.
const NAME_SERVERS_WITHIN: Duration = Duration::from_secs(20);

/// More addresses of one name are left out.
const ADDRESSES_MAX: usize = 64;

/// What a name leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// At least one, each once.
    pub(super) addresses: Vec<IpAddr>,
    /// As the name server says; `None` where nobody says it.
    pub(super) good_until: Option<Instant>,
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
    name_servers: Mutex<Option<(Vec<u8>, Option<TokioResolver>)>>,
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
        let Some(resolver) = self.resolver(resolv_conf).await? else {
            return Err(LookupError::Nothing);
        };
        match timeout(NAME_SERVERS_WITHIN, resolver.lookup_ip(name)).await {
            Ok(Ok(told)) => found(told.iter(), Some(told.valid_until())),
            Ok(Err(error)) if error.is_no_records_found() => Err(LookupError::Nothing),
            Ok(Err(error)) => Err(LookupError::NameServers(error)),
            Err(_) => Err(LookupError::Silent),
        }
    }

    /// What asks the name servers of this resolv.conf; `None` where only the C library can.
    async fn resolver(&self, resolv_conf: Vec<u8>) -> Result<Option<TokioResolver>, LookupError> {
        let mut kept = self.name_servers.lock().await;
        if let Some((of, resolver)) = &*kept
            && *of == resolv_conf
        {
            return Ok(resolver.clone());
        }
        let resolver = resolver(&resolv_conf).map_err(LookupError::NameServers)?;
        *kept = Some((resolv_conf, resolver.clone()));
        Ok(resolver)
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

fn resolver(resolv_conf: &[u8]) -> Result<Option<TokioResolver>, NetError> {
    let (config, mut options) = match parse_resolv_conf(resolv_conf) {
        Ok(parsed) => parsed,
        Err(_) if !names_servers(resolv_conf) => {
            // The one of this machine, as the C library has it.
            let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
            (config, Default::default())
        }
        Err(error) => {
            tracing::warn!(%error, "/etc/resolv.conf is not understood: names are looked up by the C library");
            return Ok(None);
        }
    };
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    // When to ask again is decided by who follows a name.
    options.cache_size = 0;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build().map(Some)
}

/// Does a resolv.conf name servers, in whatever way?
fn names_servers(resolv_conf: &[u8]) -> bool {
    let text = String::from_utf8_lossy(resolv_conf);
    text.lines()
        .any(|line| line.split_whitespace().next() == Some("nameserver"))
}

fn found(
    addresses: impl IntoIterator<Item = IpAddr>,
    good_until: Option<Instant>,
) -> Result<Found, LookupError> {
    let mut once = Vec::new();
    for address in addresses {
        if once.len() < ADDRESSES_MAX && !once.contains(&address) {
            once.push(address);
        }
    }
    match once.is_empty() {
        true => Err(LookupError::Nothing),
        false => Ok(Found {
            addresses: once,
            good_until,
        }),
    }
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
    async fn a_resolv_conf_that_is_not_understood_is_left_to_the_c_library() {
        let long = format!("search {}.test\nnameserver 10.0.0.1", "a".repeat(64));
        for (text, asked) in [
            ("", true),
            ("nonsense\n\u{0}", true),
            ("search a.test\noptions ndots:x", true),
            ("nameserver 10.0.0.1", true),
            ("search a.test --\nnameserver 10.0.0.1\nnameserver nowhere", true),
            ("nameserver\n", false),
            (" nameserver nowhere", false),
            ("search a..test\nnameserver 10.0.0.1", false),
            (&long, false),
        ] {
            assert_eq!(resolver(text.as_bytes()).unwrap().is_some(), asked, "{text}");
        }
    }

    #[tokio::test]
    async fn localhost_is_both_loopback_addresses() {
        for host in ["localhost", "LOCALHOST.", "app.localhost"] {
            let found = Lookup::default().addresses(host).await.unwrap();
            assert!(found.addresses.contains(&ip("127.0.0.1")), "{found:?}");
            assert!(found.addresses.contains(&ip("::1")), "{found:?}");
        }
        assert!(!is_localhost("localhost.example") && !is_localhost("mylocalhost"));
    }

    #[test]
    fn of_many_addresses_each_is_taken_once_and_not_all() {
        let addresses = |number: u32| (0..number).map(|last| IpAddr::V4(last.into()));
        let found = |addresses: Vec<IpAddr>| super::found(addresses, None).unwrap().addresses.len();
        assert_eq!(found(addresses(3).chain(addresses(3)).collect()), 3);
        assert_eq!(found(addresses(1000).collect()), ADDRESSES_MAX);
        assert!(super::found([], None).is_err());
    }
}
