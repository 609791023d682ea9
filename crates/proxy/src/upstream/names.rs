//! The addresses of servers that are written as names, looked up again and again: a name server may be away
//! when we start, and what a name leads to changes, in a network of containers with every deployment.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use config::PeerAddress;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::Upstream;

/// A proxy that starts waits so long for the first addresses; what comes later is taken up when it comes.
const FIRST_WITHIN: Duration = Duration::from_secs(3);

/// What a name leads to is good for so long.
const EVERY: Duration = Duration::from_secs(30);

/// A name that could not be looked up is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// More addresses of one name are left out.
const ADDRESSES_MAX: usize = 64;

/// Gives upstreams their servers. Looks up the names of all, and goes on with that in the loop that runs this.
/// Returns when each was looked up once, or when that takes too long.
pub(crate) async fn begin(upstreams: &[Arc<Upstream>]) {
    let mut firsts = Vec::new();
    for upstream in upstreams {
        upstream.update().await;
        for (written, peer) in upstream.config().peers.iter().enumerate() {
            if let PeerAddress::Name { host, port } = &peer.address {
                let (done, first) = oneshot::channel();
                firsts.push(first);
                tokio::spawn(follow(Arc::clone(upstream), written, (host.clone(), *port), done));
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

/// Follows one name as long as the process lives.
async fn follow(
    upstream: Arc<Upstream>,
    written: usize,
    (host, port): (String, u16),
    done: oneshot::Sender<()>,
) {
    let mut done = Some(done);
    let mut failed = false;
    loop {
        let found = addresses(&host, port).await;
        let wait = match found {
            Ok(addresses) => {
                if upstream.found(written, &addresses).await {
                    tracing::info!(
                        upstream = upstream.name(),
                        host,
                        ?addresses,
                        "name of an upstream server looked up"
                    );
                } else if failed {
                    tracing::info!(
                        upstream = upstream.name(),
                        host,
                        "name of an upstream server can be looked up again"
                    );
                }
                failed = false;
                EVERY
            }
            Err(error) => {
                if !failed {
                    let again_s = AGAIN.as_secs();
                    tracing::warn!(
                        upstream = upstream.name(), host, %error, again_s,
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

/// All addresses of a name, each once.
async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for address in tokio::net::lookup_host((host, port)).await? {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address found"));
    }
    Ok(addresses)
}
