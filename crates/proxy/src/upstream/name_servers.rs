//! The name servers of a resolv.conf, and what they say of a name.
//!
//! The addresses of the two protocols are two questions (A and AAAA), and servers exist that answer one of
//! them only: behind some firewalls, and with some old load balancers, the other one fails or stays without
//! an answer. What is known is of use, so neither question waits for the other for long.

use std::{
    future::ready,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    time::{Duration, Instant},
};

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig},
    lookup_ip::LookupIp,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RecordType},
    system_conf::parse_resolv_conf,
};
use tokio::{select, time::timeout};

/// Both answers are mostly there at about the same time; one that is not may be used without the other after
/// this (RFC 8305 §3).
const TOGETHER_WITHIN: Duration = Duration::from_millis(50);

/// The name servers of a resolv.conf.
#[derive(Clone)]
pub(super) struct NameServers {
    /// Asks by sockets that are kept.
    resolver: TokioResolver,
    /// Where a name is looked for that is not written in full.
    domains: Vec<Name>,
}

/// What they say of a name.
pub(super) struct Told {
    /// At least one.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) good_until: Instant,
    /// The answer that has not come with these.
    pub(super) missing: Option<Missing>,
}

/// The addresses by one protocol, about which nothing is said (yet).
pub(super) struct Missing {
    pub(super) protocol: Protocol,
    answer: Question,
}

/// What an address is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Ipv4,
    Ipv6,
}

/// What is there under a name: `None`, if nothing is, and until when that is so.
type Answer = Result<Option<(Vec<IpAddr>, Instant)>, NetError>;

type Question = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl NameServers {
    /// Those of this resolv.conf; `None` where only the C library understands it.
    pub(super) fn of(resolv_conf: &[u8]) -> Result<Option<Self>, NetError> {
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
        options.use_hosts_file = ResolveHosts::Never;
        // When to ask again is decided by who follows a name.
        options.cache_size = 0;
        let domains = config.domain().into_iter().chain(config.search());
        let domains = domains.cloned().collect();
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let resolver = builder.build()?;
        Ok(Some(Self { resolver, domains }))
    }

    /// The addresses of a name; `None` where there are none.
    pub(super) async fn ask(&self, host: &Name) -> Result<Option<Told>, NetError> {
        let mut failure = None;
        for name in self.in_full(host) {
            match self.ask_both(&name).await {
                Ok(Some(told)) => return Ok(Some(told)),
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// The names in full that this one may mean, in the order in which they are tried. Both questions are
    /// asked of the same one: addresses of two of them would be those of two servers.
    fn in_full(&self, host: &Name) -> Vec<Name> {
        if host.is_fqdn() {
            return vec![host.clone()];
        }
        let mut alone = host.clone();
        alone.set_fqdn(true);
        let mut names = Vec::new();
        for domain in &self.domains {
            if let Ok(name) = host.clone().append_domain(domain)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        let dots = usize::from(host.num_labels()).saturating_sub(1);
        let first = dots >= self.resolver.options().ndots || host.is_localhost();
        names.insert(if first { 0 } else { names.len() }, alone);
        names
    }

    async fn ask_both(&self, name: &Name) -> Result<Option<Told>, NetError> {
        let mut four = self.question(name, RecordType::A);
        let mut six = self.question(name, RecordType::AAAA);
        select! {
            answer = &mut four => told((Protocol::Ipv4, answer), (Protocol::Ipv6, six)).await,
            answer = &mut six => told((Protocol::Ipv6, answer), (Protocol::Ipv4, four)).await,
        }
    }

    fn question(&self, name: &Name, kind: RecordType) -> Question {
        let (resolver, name) = (self.resolver.clone(), name.clone());
        Box::pin(async move {
            match resolver.lookup(name, kind).await {
                Ok(answer) => {
                    let until = answer.valid_until();
                    let addresses: Vec<_> = LookupIp::from(answer).iter().collect();
                    Ok((!addresses.is_empty()).then_some((addresses, until)))
                }
                Err(error) if error.is_no_records_found() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }
}

/// One answer is there, and what it says is told with or without the other one.
async fn told(
    (protocol, first): (Protocol, Answer),
    (other, mut second): (Protocol, Question),
) -> Result<Option<Told>, NetError> {
    let Ok(Some((mut addresses, mut good_until))) = first else {
        return match (first, second.await) {
            (first, Ok(Some((addresses, good_until)))) => Ok(Some(Told {
                addresses,
                good_until,
                missing: first.is_err().then(|| Missing::failed(protocol)),
            })),
            (Err(error), _) | (_, Err(error)) => Err(error),
            _ => Ok(None),
        };
    };
    let missing = match timeout(TOGETHER_WITHIN, &mut second).await {
        Ok(Ok(more)) => {
            if let Some((more, until)) = more {
                addresses.extend(more);
                good_until = good_until.min(until);
            }
            None
        }
        Ok(Err(_)) => Some(Missing::failed(other)),
        Err(_) => Some(Missing {
            protocol: other,
            answer: second,
        }),
    };
    Ok(Some(Told {
        addresses,
        good_until,
        missing,
    }))
}

impl Missing {
    fn failed(protocol: Protocol) -> Self {
        let error = NetError::Message("no answer");
        Self {
            protocol,
            answer: Box::pin(ready(Err(error))),
        }
    }

    /// Waits for the answer; `None`: there is none.
    pub(super) async fn come(self) -> Option<Vec<IpAddr>> {
        let answer = self.answer.await.ok()?;
        Some(answer.map(|(addresses, _)| addresses).unwrap_or_default())
    }
}

impl Protocol {
    /// That of an address.
    pub(super) fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// Does a resolv.conf name servers, in whatever way?
fn names_servers(resolv_conf: &[u8]) -> bool {
    let text = String::from_utf8_lossy(resolv_conf);
    text.lines()
        .any(|line| line.split_whitespace().next() == Some("nameserver"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let servers = NameServers::of(text.as_bytes()).unwrap();
            assert_eq!(servers.is_some(), asked, "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_for_in_the_search_domains_before_or_after_it_is_taken_as_it_is() {
        let text = b"nameserver 10.0.0.1\nsearch a.test b.test\noptions ndots:2\n";
        let servers = NameServers::of(text).unwrap().unwrap();
        for (host, names) in [
            ("back", "back.a.test. back.b.test. back."),
            (
                "my_app.back",
                "my_app.back.a.test. my_app.back.b.test. my_app.back.",
            ),
            ("x.y.z", "x.y.z. x.y.z.a.test. x.y.z.b.test."),
            ("back.", "back."),
        ] {
            let in_full = servers.in_full(&Name::from_str_relaxed(host).unwrap());
            let in_full: Vec<_> = in_full.iter().map(Name::to_string).collect();
            assert_eq!(in_full.join(" "), names);
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn some(address: &str, seconds: u64) -> Answer {
        let until = Instant::now() + Duration::from_secs(seconds);
        Ok(Some((vec![ip(address)], until)))
    }

    fn failed() -> Answer {
        Err(NetError::Message("failed"))
    }

    async fn both(first: Answer, second: Answer) -> Result<Option<Told>, NetError> {
        let second: Question = Box::pin(ready(second));
        told((Protocol::Ipv4, first), (Protocol::Ipv6, second)).await
    }

    #[tokio::test]
    async fn an_answer_to_one_question_is_used_whatever_becomes_of_the_other() {
        let all = both(some("10.0.0.1", 9), some("::1", 5)).await.unwrap().unwrap();
        assert_eq!(all.addresses, [ip("10.0.0.1"), ip("::1")]);
        assert!(all.missing.is_none() && all.good_until < Instant::now() + Duration::from_secs(6));
        for (first, second, missing) in [
            (some("10.0.0.1", 9), Ok(None), None),
            (Ok(None), some("::1", 9), None),
            (some("10.0.0.1", 9), failed(), Some(Protocol::Ipv6)),
            (failed(), some("::1", 9), Some(Protocol::Ipv4)),
        ] {
            let told = both(first, second).await.unwrap().unwrap();
            assert_eq!(told.addresses.len(), 1);
            assert_eq!(told.missing.as_ref().map(|missing| missing.protocol), missing);
            if let Some(missing) = told.missing {
                assert_eq!(missing.come().await, None);
            }
        }
        assert!(both(Ok(None), Ok(None)).await.unwrap().is_none());
        assert!(both(Ok(None), failed()).await.is_err() && both(failed(), Ok(None)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_late_is_taken_up_when_it_comes() {
        let late: Question = Box::pin(async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            some("::1", 9)
        });
        let began = tokio::time::Instant::now();
        let told = told((Protocol::Ipv4, some("10.0.0.1", 9)), (Protocol::Ipv6, late)).await;
        let told = told.unwrap().unwrap();
        assert_eq!(told.addresses, [ip("10.0.0.1")]);
        assert!(began.elapsed() < Duration::from_secs(1));
        assert_eq!(told.missing.unwrap().come().await, Some(vec![ip("::1")]));
    }
}
