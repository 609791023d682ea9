//! The addresses of servers that are written as names, looked up again and again: a name server may be away
//! when we start, and what a name leads to changes, in a network of containers with every deployment.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant},
};

use config::PeerAddress;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{Upstream, lookup::Lookup};

/// A proxy that starts waits so long for the first addresses; what comes later is taken up when it comes.
const FIRST_WITHIN: Duration = Duration::from_secs(3);

/// What a name leads to is good for as long as its name server says, within these bounds: a wrong time to
/// live must neither make us flood the name server nor keep us away from where the servers are now. Where
/// nobody says it (/etc/hosts), it is good for the longest.
const GOOD_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);

/// A name that could not be looked up is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// Gives upstreams their servers. Looks up the names of all, and goes on with that in the loop that runs
/// this. Returns when each was looked up once, or when that takes too long.
pub(crate) async fn begin(upstreams: &[Arc<Upstream>]) {
    let mut firsts = Vec::new();
    let lookup = Arc::new(Lookup::default());
    for upstream in upstreams {
        upstream.update().await;
        for (written, peer) in upstream.config().peers.iter().enumerate() {
            if let PeerAddress::Name { host, port } = &peer.address {
                let (done, first) = oneshot::channel();
                firsts.push(first);
                let name = Name {
                    upstream: Arc::clone(upstream),
                    written,
                    host: host.clone(),
                    port: *port,
                };
                tokio::spawn(name.follow(Arc::clone(&lookup), done));
            }
        }
    }
    let all = async {
        for first in firsts {
            // An error means that the task is gone, and with it the process.
            let _ = first.await;
        }
    };
    if timeout(FIRST_WITHIN, all).await.is_err() {
        tracing::warn!(
            "names of upstream servers are not looked up in time: served without them until they are"
        );
    }
}

/// A name that stands for servers of an upstream.
struct Name {
    upstream: Arc<Upstream>,
    /// Position of what is written.
    written: usize,
    host: String,
    port: u16,
}

impl Name {
    /// Follows it as long as the process lives. Addresses that were found once stay in use while nothing else
    /// is found: a name server that is away says nothing about the servers.
    async fn follow(self, lookup: Arc<Lookup>, done: oneshot::Sender<()>) {
        let mut done = Some(done);
        let mut failed = false;
        loop {
            let wait = match lookup.addresses(&self.host).await {
                Ok(found) => {
                    self.found(&found.addresses, failed).await;
                    failed = false;
                    good_for(found.good_until, Instant::now())
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
                    AGAIN
                }
            };
            if let Some(done) = done.take() {
                // Nobody waits any more where it took too long.
                let _ = done.send(());
            }
            sleep(wait).await;
        }
    }

    /// `failed`: it could not be looked up the last time.
    async fn found(&self, addresses: &[IpAddr], failed: bool) {
        let (upstream, host) = (self.upstream.name(), &self.host);
        let addresses = addresses.iter().map(|ip| SocketAddr::new(*ip, self.port));
        let addresses: Vec<_> = addresses.collect();
        if self.upstream.found(self.written, &addresses).await {
            tracing::info!(upstream, host, ?addresses, "name of an upstream server looked up");
        } else if failed {
            tracing::info!(
                upstream,
                host,
                "name of an upstream server can be looked up again"
            );
        }
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
