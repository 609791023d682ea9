//! Active health checks: servers are asked now and then while they get no requests, too.
//!
//! Pingora keeps the state and counts what came in a row. The checks themselves go by our own connections,
//! like requests: pingora's would need the same addresses and certificates said once more, and take an answer
//! of any length.

use std::sync::Arc;

use async_trait::async_trait;
use config::{HealthCheck as Check, PeerProtocol};
use pingora_core::{Error, ErrorType};
use pingora_load_balancing::{Backend, health_check::HealthCheck};
use tokio::{
    select,
    sync::Semaphore,
    time::{MissedTickBehavior, error::Elapsed, interval, timeout},
};

use super::{
    Upstream,
    answer_head::{AnswerHead, BadAnswer, Search},
    connection::{ServerConnection, Turn, open_socket},
    discovery::{self, Discovery},
    failure::Failure,
    http2,
    server::Server,
};
use crate::{drain::Drain, tls::UpstreamServersTls};

/// So many servers of an upstream are checked at once: each check has a descriptor.
const CHECKS_MAX: usize = 16;

/// Checks the servers of an upstream until the drain begins; where nothing is to be checked, it returns at
/// once.
pub(crate) async fn look_after(upstream: Arc<Upstream>, drain: Drain) {
    let Some(health) = &upstream.config().health else {
        return;
    };
    let checks = async {
        // The servers of names are to have their first check with the others.
        let _ = timeout(health.interval, upstream.looked_up()).await;
        let mut turns = interval(health.interval);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            upstream.check().await;
        }
    };
    select! {
        () = checks => {}
        // Who gets no new requests need not know where to send them.
        () = drain.draining() => {}
    }
}

/// The checks of one upstream.
pub(super) struct Checks {
    upstream: String,
    health: config::Health,
    tls: UpstreamServersTls,
    discovery: Discovery,
    places: Semaphore,
}

/// Why a server has failed a check.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error("status {0}")]
    Status(u16),
    #[error("no answer within the timeout of the check")]
    Silent(#[from] Elapsed),
}

impl Checks {
    /// Those of this upstream.
    pub(super) fn new(
        upstream: &str,
        health: &config::Health,
        tls: UpstreamServersTls,
        discovery: Discovery,
    ) -> Self {
        Self {
            upstream: upstream.to_owned(),
            health: health.clone(),
            tls,
            discovery,
            places: Semaphore::new(CHECKS_MAX),
        }
    }

    async fn ask(&self, server: &Server) -> Result<(), Failed> {
        let tls = self.tls.get(server.written).and_then(Option::as_deref);
        let protocol = server.protocol();
        let socket = open_socket(server.address(), tls, protocol == PeerProtocol::Negotiated).await?;
        server.set_connected();
        let Check::Get { path, host, status } = &self.health.check else {
            return Ok(());
        };
        let host = host.as_deref().unwrap_or_else(|| server.authority());
        if protocol == PeerProtocol::Http2 || socket.has_chosen_http2() {
            return match http2::ask(socket, tls.is_some(), host, path).await? {
                answered if status.contains(&answered) => Ok(()),
                answered => Err(Failed::Status(answered)),
            };
        }
        let mut connection = ServerConnection::over(socket);
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: appliance-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        connection.output().extend_from_slice(head.as_bytes());
        let mut search = Search::default();
        loop {
            match connection.turn().await.map_err(Failure::Broken)? {
                Turn::Sent => continue,
                Turn::Read(0) => return Err(Failure::Closed.into()),
                Turn::Read(_) => {}
            }
            while let Some(head) = search.take(&mut connection.input, false).map_err(Failure::from)? {
                match head {
                    AnswerHead::Interim(_) => {}
                    AnswerHead::Switch(_) => return Err(Failure::from(BadAnswer::Switch).into()),
                    AnswerHead::Final(head) if status.contains(&head.answer.status) => return Ok(()),
                    AnswerHead::Final(head) => return Err(Failed::Status(head.answer.status)),
                }
            }
        }
    }
}

#[async_trait]
impl HealthCheck for Checks {
    async fn check(&self, target: &Backend) -> pingora_core::Result<()> {
        let Some(server) = discovery::server(target) else {
            return Ok(());
        };
        // Never closed.
        let _place = self.places.acquire().await;
        let failed = match timeout(self.health.timeout, self.ask(server)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failed)) => failed,
            Err(elapsed) => elapsed.into(),
        };
        let why = failed.to_string();
        server.set_failure(why.clone());
        Err(Error::explain(ErrorType::InternalError, why))
    }

    async fn health_status_change(&self, target: &Backend, healthy: bool) {
        let Some(server) = discovery::server(target) else {
            return;
        };
        server.set_healthy(healthy);
        let (upstream, url, at) = (&self.upstream, server.url(), server.address());
        if healthy {
            tracing::info!(upstream, server = %url, %at, "upstream server passes its health checks again");
            return;
        }
        let error = server.failure();
        if server.may_be_none() && self.discovery.has_other_well(server) {
            tracing::debug!(
                upstream, server = %url, %at, error,
                "upstream server does not listen on this address of localhost"
            );
        } else {
            tracing::warn!(
                upstream, server = %url, %at, error,
                "upstream server fails its health checks: it gets no requests"
            );
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        match success {
            true => self.health.healthy,
            false => self.health.unhealthy,
        }
    }
}
