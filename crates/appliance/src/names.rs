//! Host names of servers behind us. `check` looks them up once; in a server that runs the proxy does, again
//! and again, and the supervisor never: a name server that does not answer holds up neither a start nor a
//! reload nor a stop.

use std::{
    collections::HashMap,
    io,
    net::ToSocketAddrs,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use config::{Config, PeerAddress};

/// All names together have this long. One name server that is silent takes the system's resolver ten seconds.
const WITHIN: Duration = Duration::from_secs(5);

/// So many are looked up at the same time.
const AT_ONCE: usize = 16;

/// A line for each server whose name cannot be looked up now. It is no problem: it may be there when it is
/// needed.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    told(config, look_up, WITHIN)
}

fn look_up(host: &str) -> io::Result<()> {
    match (host, 0).to_socket_addrs()?.next() {
        Some(_) => Ok(()),
        None => Err(io::Error::new(io::ErrorKind::NotFound, "no address found")),
    }
}

fn told(config: &Config, look_up: fn(&str) -> io::Result<()>, within: Duration) -> Vec<String> {
    let peers = config
        .upstreams
        .iter()
        .flat_map(|upstream| upstream.peers.iter().map(move |peer| (upstream, peer)));
    let named: Vec<_> = peers
        .filter_map(|(upstream, peer)| match &peer.address {
            PeerAddress::Name { host, .. } => Some((upstream, peer, host)),
            PeerAddress::Tcp(_) | PeerAddress::Unix(_) => None,
        })
        .collect();
    let mut hosts: Vec<String> = named.iter().map(|(.., host)| (*host).clone()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let found = all(hosts, look_up, within);
    named
        .iter()
        .filter_map(|(upstream, peer, host)| {
            let why = match found.get(*host) {
                Some(Ok(())) => return None,
                Some(Err(error)) => error.to_string(),
                None => format!("no answer within {within:?}"),
            };
            Some(format!(
                "warning: upstream `{}`: the host `{host}` of {} cannot be looked up: {why}\n  = help: write its IP \
                 address, or add it to /etc/hosts; until it can be looked up, this server gets no requests",
                upstream.name, peer.url
            ))
        })
        .collect()
}

/// What looking each of them up has shown; one that took too long is not among them, and its thread is left
/// behind.
fn all(
    hosts: Vec<String>,
    look_up: fn(&str) -> io::Result<()>,
    within: Duration,
) -> HashMap<String, io::Result<()>> {
    let by = Instant::now() + within;
    let count = hosts.len();
    let waiting = Arc::new(Mutex::new(hosts));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..count.min(AT_ONCE) {
        let (waiting, sender) = (Arc::clone(&waiting), sender.clone());
        let next = move || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let looking = thread::Builder::new().spawn(move || {
            while let Some(host) = next() {
                let found = look_up(&host);
                if sender.send((host, found)).is_err() {
                    return;
                }
            }
        });
        // Where no more threads can be made, those that are there take the rest.
        if looking.is_err() {
            break;
        }
    }
    drop(sender);
    let left = || by.saturating_duration_since(Instant::now());
    std::iter::from_fn(|| receiver.recv_timeout(left()).ok())
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn names(servers: &str) -> Config {
        let text = format!("[upstream.api]\nservers = [{servers}]\n[[site]]\nupstream = \"api\"\n");
        Config::parse(&text, Path::new("/site.toml")).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn made_up(host: &str) -> io::Result<()> {
        match host {
            "backend" => Ok(()),
            "silent" => loop {
                thread::park();
            },
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such host")),
        }
    }

    #[test]
    fn a_name_that_cannot_be_looked_up_is_told_with_its_server_and_a_way_out() {
        let config = names(r#""http://backend", "http://standby:8001", "http://127.0.0.1:1", "unix:/a""#);
        let warnings = told(&config, made_up, Duration::from_secs(60));
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}")
        };
        for part in [
            "warning: upstream `api`",
            "`standby` of http://standby:8001",
            "no such host",
            "help: ",
        ] {
            assert!(warning.contains(part), "{part}: {warning}");
        }
    }

    #[test]
    fn a_silent_name_server_takes_no_longer_than_its_time_and_harms_no_other_name() {
        let config = names(r#""http://silent", "http://backend", "http://silent:1", "http://standby""#);
        let warnings = told(&config, made_up, Duration::from_secs(2));
        let [first, second, third] = &warnings[..] else {
            panic!("{warnings:?}")
        };
        assert!(first.contains("of http://silent cannot be looked up: no answer within 2s"));
        assert!(second.contains("of http://silent:1 cannot be looked up: no answer within 2s"));
        assert!(third.contains("no such host"));
    }
}
