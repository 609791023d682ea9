//! The addresses of servers that are written as names, looked up again and again: a name server may be away
//! when we start, and what a name leads to changes, in a network of containers with every deployment.
//!
//! No start waits for that. What a former proxy has found is there when the next one starts, since each tells
//! the supervisor; and a request for a name that nobody has found waits itself, while all others are served.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant},
};

use config::PeerAddress;
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{sleep_until, timeout_at},
};
use wire::control::FromProxy;

use super::{
    Upstream,
    lookup::{Found, Lookup, once},
    name_servers::Protocol,
};

/// What a name leads to is good for as long as its name server says, within these bounds: a wrong time to
/// live must neither make us flood the name server nor keep us away from where the servers are now. Where
/// nobody says it (/etc/hosts), it is good for the longest.
const GOOD_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);

/// A name that could not be looked up is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// Gives upstreams their servers, those of names as far as they are `known` from before. Looks up the names
/// of all, and goes on with that in the loop that runs this; what is found is reported.
pub(crate) async fn begin(
    upstreams: &[Arc<Upstream>],
    known: &HashMap<String, Vec<IpAddr>>,
    reporter: &UnboundedSender<FromProxy>,
) {
    let lookup = Arc::new(Lookup::default());
    for upstream in upstreams {
        upstream.update().await;
        for (written, peer) in upstream.config().peers.iter().enumerate() {
            if let PeerAddress::Name { host, port } = &peer.address {
                let mut name = Name {
                    upstream: Arc::clone(upstream),
                    written,
                    host: host.clone(),
                    port: *port,
                    addresses: Vec::new(),
                    reporter: reporter.clone(),
                };
                match known.get(host) {
                    Some(addresses) => name.remember(addresses).await,
                    None => upstream.awaits_name(),
                }
                tokio::spawn(name.follow(Arc::clone(&lookup)));
            }
        }
    }
}

/// A name that stands for servers of an upstream.
struct Name {
    upstream: Arc<Upstream>,
    /// Position of what is written.
    written: usize,
    host: String,
    port: u16,
    /// Where it leads to; empty while nobody knows.
    addresses: Vec<IpAddr>,
    reporter: UnboundedSender<FromProxy>,
}

impl Name {
    /// Begins with what was found before this process was started.
    async fn remember(&mut self, addresses: &[IpAddr]) {
        self.addresses = addresses.to_vec();
        let addresses = self.sockets();
        self.upstream.found(self.written, &addresses).await;
        let (upstream, host) = (self.upstream.name(), &self.host);
        tracing::info!(
            upstream,
            host,
            ?addresses,
            "name of an upstream server: its last addresses are used until it is looked up"
        );
    }

    /// Follows it as long as the process lives. Addresses that were found once stay in use while nothing else
    /// is found: a name server that is away says nothing about the servers.
    async fn follow(mut self, lookup: Arc<Lookup>) {
        let mut is_awaited = self.addresses.is_empty();
        let mut failed = false;
        loop {
            let answer = lookup.addresses(&self.host).await;
            let now = Instant::now();
            let (mut next_at, mut missing) = (now + AGAIN, None);
            match answer {
                Ok(found) => {
                    next_at = now + good_for(found.good_until, now);
                    let addresses = self.with_missing(&found);
                    missing = found.missing;
                    self.leads_to(addresses, failed).await;
                    failed = false;
                }
                Err(error) => {
                    if !failed {
                        let (upstream, host, again_s) = (self.upstream.name(), &self.host, AGAIN.as_secs());
                        tracing::warn!(
                            upstream, host, %error, again_s,
                            "name of an upstream server cannot be looked up: it is tried again and again"
                        );
                    }
                    failed = true;
                }
            }
            if std::mem::take(&mut is_awaited) {
                self.upstream.knows_name();
            }
            if let Some(missing) = missing {
                let protocol = missing.protocol;
                if let Ok(Some(late)) = timeout_at(next_at.into(), missing.come()).await {
                    let known = self.addresses.iter().copied();
                    let known = known.filter(|address| Protocol::of(address) != protocol);
                    let addresses = once(known.chain(late));
                    self.leads_to(addresses, false).await;
                }
            }
            sleep_until(next_at.into()).await;
        }
    }

    /// What was found, and what is known by the protocol about which nothing was said.
    fn with_missing(&self, found: &Found) -> Vec<IpAddr> {
        let Some(missing) = &found.missing else {
            return found.addresses.clone();
        };
        let known = self.addresses.iter().copied();
        let known = known.filter(|address| Protocol::of(address) == missing.protocol);
        once(found.addresses.iter().copied().chain(known))
    }

    /// `failed`: it could not be looked up the last time.
    async fn leads_to(&mut self, addresses: Vec<IpAddr>, failed: bool) {
        self.addresses = addresses;
        let addresses = self.sockets();
        let (upstream, host) = (self.upstream.name(), &self.host);
        if self.upstream.found(self.written, &addresses).await {
            tracing::info!(upstream, host, ?addresses, "name of an upstream server looked up");
            // Nobody listens only where the process ends.
            let _ = self.reporter.send(FromProxy::Addresses {
                host: host.clone(),
                addresses: self.addresses.clone(),
            });
        } else if failed {
            tracing::info!(
                upstream,
                host,
                "name of an upstream server can be looked up again"
            );
        }
    }

    fn sockets(&self) -> Vec<SocketAddr> {
        let addresses = self.addresses.iter();
        addresses.map(|ip| SocketAddr::new(*ip, self.port)).collect()
    }
}

/// How long a name is left alone.
fn good_for(good_until: Option<Instant>, now: Instant) -> Duration {
    let told = good_until.map_or(*GOOD_FOR.end(), |until| until.saturating_duration_since(now));
    told.clamp(*GOOD_FOR.start(), *GOOD_FOR.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_when_its_time_is_over_and_neither_at_once_nor_never() {
        let now = Instant::now();
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        for (told, seconds) in [(after(0), 1), (after(5), 5), (after(86_400), 30), (None, 30)] {
            assert_eq!(good_for(told, now), Duration::from_secs(seconds));
        }
        assert_eq!(
            good_for(Some(now), now + Duration::from_secs(9)),
            Duration::from_secs(1)
        );
    }
}
