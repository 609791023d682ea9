//! pingora at work: HTTP/2 connections, and WebSockets to upstreams.
//!
//! Hardly anything enters pingora's proxy: [`http2`] serves each stream through the same `serve` as the front, and servers
//! behind us have a [way of their own](crate::upstream). Only a request that asks such a server for a WebSocket does, as one
//! [`Exchange`](exchange::Exchange) which becomes the context of the [`Phases`].

mod exchange;
mod failure;
mod fence;
mod fields;
mod h2_head;
mod h2_session;
mod http2;
mod refusals;
mod upgrade_call;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::{
    BError, Error, ErrorType, Result,
    protocols::Digest,
    server::configuration::ServerConf,
    upstreams::peer::{HttpPeer, Peer},
};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, HttpProxy, ProxyHttp, ProxyWarnLogContext, Session};

use exchange::Exchange;

pub(crate) use http2::serve_http2;
pub(crate) use upgrade_call::upgrade;

/// What we call ourselves in answers.
pub(crate) const SERVER: &str = "appliance";

/// pingora's proxy for one front thread.
pub(crate) fn proxy(config: &config::Config) -> Arc<HttpProxy<Phases>> {
    let retries = config.upstreams.iter().map(|upstream| upstream.retries).max();
    let conf = ServerConf {
        threads: 1,
        // Upstreams are spoken to in the clear, so no authorities are needed. Loading those of the system would cost each
        // thread its time, and a broken one would be a panic in pingora.
        ca_file: Some("/dev/null".to_owned()),
        // What changes to another protocol is not kept.
        upstream_keepalive_pool_size: 1,
        // One attempt, the retries, and one for a kept connection that the server closed at that moment.
        max_retries: retries.unwrap_or(0) + 2,
        ..ServerConf::default()
    };
    let mut proxy = HttpProxy::new(Phases, Arc::new(conf));
    proxy.handle_init_modules();
    Arc::new(proxy)
}

/// One thin method per phase of pingora. Everything it needs comes with the request.
pub(crate) struct Phases;

#[async_trait]
impl ProxyHttp for Phases {
    /// `None` when pingora runs without a request of ours, which does not happen.
    type CTX = Option<Box<Exchange>>;

    fn new_ctx(&self) -> Self::CTX {
        Exchange::take_waiting()
    }

    fn init_downstream_modules(&self, _: &mut pingora_core::modules::http::HttpModules) {
        // pingora would compress here; what an upstream sends is passed on as it is.
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        upgrade_call::prepare(session, exchange(ctx)?);
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let seat = exchange(ctx)?.take_seat();
        let seat = seat.ok_or_else(|| Error::new_up(ErrorType::ConnectNoRoute))?;
        Ok(seat.http_peer())
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _reused: bool,
        _: &HttpPeer,
        _: std::os::fd::RawFd,
        _: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        exchange(ctx)?.connected();
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Self::CTX,
        mut error: BError,
    ) -> BError {
        if let Ok(exchange) = exchange(ctx) {
            let (upstream, server) = (exchange.upstream.name(), exchange.server());
            tracing::warn!(upstream, server, %error, "upstream server can not be connected to");
            error.set_retry(exchange.connect_failed());
        }
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: BError,
        _: &mut Self::CTX,
        client_reused: bool,
    ) -> BError {
        // A kept connection that the server closed at that moment: the request is sent again where that can do no harm.
        let mut error = error.more_context(format!("server {}", peer.address()));
        if session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated() {
            error.retry.decide_reuse(client_reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        fields::of_request(request, exchange(ctx)?)
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _ended: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        // The request has no body: these are bytes of the WebSocket, which may go on for ever.
        exchange(ctx)?.body_arrived(body.as_ref().map_or(0, Bytes::len));
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        fields::of_response(response, exchange(ctx)?.route())
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        FailToProxy {
            error_code: failure::answer(session, error, ctx.as_deref_mut()).await,
            // Part of the request may still be on its way.
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Self::CTX) {
        let status = session
            .response_written()
            .map(|response| response.status.as_u16());
        let (bytes_in, bytes_out) = (session.body_bytes_read() as u64, session.body_bytes_sent() as u64);
        if let Some(exchange) = ctx {
            exchange.finish(status, bytes_in, bytes_out);
        }
    }

    /// What failed is told by our own events.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Self::CTX, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}

fn exchange(ctx: &mut Option<Box<Exchange>>) -> Result<&mut Exchange> {
    ctx.as_deref_mut()
        .ok_or_else(|| Error::explain(ErrorType::InternalError, "a request that nobody sent"))
}

#[cfg(test)]
mod tests;
