//! One request given to pingora, and the connection taken back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::BytesMut;
use config::Limits;
use http::header;
use logs::{OpenRecord, Outcome};
use pingora_core::{
    Result,
    apps::{HttpServerApp, ReusedHttpStream},
    protocols::http::{ServerSession, v2::server::HttpSession},
};
use pingora_proxy::{HttpProxy, Session};
use tokio::{select, time::sleep};

use super::{
    Phases,
    exchange::Exchange,
    fence::{Fault, Fence},
};
use crate::{
    connection::Connection,
    context::Context,
    downstream::ClientError,
    head::{BodyLength, Head},
    listener::stream::ClientStream,
    serve::UpstreamCall,
};

/// pingora wants a keep-alive time in whole seconds; between requests the connection is the front's, so any will do.
const KEEP_ALIVE_SECONDS: u64 = 60;

/// Takes an HTTP/1 request to its upstream. `head` is the request's head as pingora reads it again. The stream comes back
/// when the connection may serve on.
pub(crate) async fn to_upstream(
    context: &Arc<Context>,
    proxy: &Arc<HttpProxy<Phases>>,
    stream: Box<ClientStream>,
    connection: &Arc<Connection>,
    head: BytesMut,
    call: Box<UpstreamCall>,
    record: OpenRecord,
) -> Option<Box<ClientStream>> {
    let limits = &context.config.listeners[connection.listener].limits;
    let fault = Fault::default();
    let exchange = Exchange::new(context, connection, call, record, Arc::clone(&fault))?;
    let (body, upgrade) = framing(&head);
    let fence = Fence::new(stream, body, upgrade, limits, fault);
    let mut session = ServerSession::new_http1(Box::new(fence));
    session.set_pipelined_prefix(head);
    let (stream, _) = run(proxy, context, exchange, session).await?.consume();
    stream.into_any().downcast::<Fence>().ok()?.into_stream()
}

/// Takes an HTTP/2 request to its upstream.
pub(super) async fn http2_to_upstream(
    context: &Arc<Context>,
    proxy: &Arc<HttpProxy<Phases>>,
    stream: HttpSession,
    connection: &Arc<Connection>,
    head: &Head,
    call: Box<UpstreamCall>,
    record: OpenRecord,
) {
    let limits = &context.config.listeners[connection.listener].limits;
    let fault = Fault::default();
    let Some(exchange) = Exchange::new(context, connection, call, record, Arc::clone(&fault)) else {
        return;
    };
    let arrivals = exchange.arrivals();
    let expects_body = head.body != BodyLength::Known(0);
    select! {
        biased;
        _ = run(proxy, context, exchange, ServerSession::new_http2(stream)) => {}
        // pingora knows no deadline for the body of a stream: a client that stops sending is cut off here.
        () = stalled(&arrivals, limits, &fault), if expects_body => {}
    }
}

/// What each request needs before it goes: deadlines, and an interim answer where the client waits for one.
pub(super) async fn prepare(session: &mut Session, exchange: &Exchange) -> Result<()> {
    let limits = &exchange.context.config.listeners[exchange.connection.listener].limits;
    // The fence holds the client's body to its pace, and an upgraded connection may be silent for long.
    session.set_read_timeout(None);
    session.set_write_timeout(Some(limits.body_timeout));
    if session.is_http2() {
        return Ok(());
    }
    let keep_alive = session.get_keepalive().is_some();
    let expects = session.req_header_mut().remove_header(&header::EXPECT);
    if expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        && session.req_header().version == http::Version::HTTP_11
        && !session.is_body_empty()
    {
        session.write_continue_response().await?;
    }
    if keep_alive {
        // Without this call on every request pingora would wait for the next one for ever; and it takes the interim
        // answer for one that came too early and closes.
        session.set_keepalive(Some(KEEP_ALIVE_SECONDS));
    }
    Ok(())
}

async fn run(
    proxy: &Arc<HttpProxy<Phases>>,
    context: &Context,
    exchange: Box<Exchange>,
    session: ServerSession,
) -> Option<ReusedHttpStream> {
    let shutdown = context.drain.watch();
    let (back, left) = exchange.scope(proxy.process_new_http(session, &shutdown)).await;
    if let Some(mut exchange) = left {
        // pingora has refused the head by rules of its own and has said so to the client.
        exchange.set_outcome(Outcome::Refused);
        exchange.finish(Some(400), 0, 0);
    }
    back
}

/// What follows a head that the front has checked and written itself, and whether it asks for another protocol.
fn framing(head: &[u8]) -> (BodyLength, bool) {
    let mut body = BodyLength::Known(0);
    let mut upgrade = false;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some((name, value)) = line
            .iter()
            .position(|byte| *byte == b':')
            .map(|at| line.split_at(at))
        else {
            continue;
        };
        let value = value[1..].trim_ascii();
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            body = BodyLength::Unknown;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        } else if name.eq_ignore_ascii_case(b"content-length")
            && let Some(length) = std::str::from_utf8(value)
                .ok()
                .and_then(|value| value.parse().ok())
        {
            body = BodyLength::Known(length);
        }
    }
    (body, upgrade)
}

/// How the body of an HTTP/2 request comes along.
#[derive(Debug)]
pub(super) struct Arrivals {
    born: Instant,
    last_ms: AtomicU64,
    bytes: AtomicU64,
    ended: AtomicBool,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            last_ms: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    pub(super) fn arrived(&self, bytes: usize, ended: bool) {
        self.last_ms.store(self.now_ms(), Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.ended.fetch_or(ended, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Resolves when the body has paused for too long or is too slow, with the fault set; never once it has ended.
async fn stalled(arrivals: &Arrivals, limits: &Limits, fault: &Fault) {
    let patience_ms = u64::try_from(limits.body_timeout.as_millis()).unwrap_or(u64::MAX);
    while !arrivals.ended.load(Ordering::Relaxed) {
        let now_ms = arrivals.now_ms();
        let pause_ms = now_ms.saturating_sub(arrivals.last_ms.load(Ordering::Relaxed));
        let due = u128::from(limits.body_rate_min) * u128::from(now_ms) / 1000;
        let slow = now_ms > patience_ms && u128::from(arrivals.bytes.load(Ordering::Relaxed)) < due;
        if pause_ms >= patience_ms || slow {
            // The first fault is the one that counts.
            let _ = fault.set(ClientError::TooSlow);
            return;
        }
        sleep(Duration::from_millis(patience_ms - pause_ms)).await;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_framing_of_a_head_is_found() {
        let framing = |fields: &str| framing(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes());
        assert_eq!(framing("Host: a\r\n"), (BodyLength::Known(0), false));
        assert_eq!(framing("content-length: 12\r\n"), (BodyLength::Known(12), false));
        assert_eq!(
            framing("Transfer-Encoding: chunked\r\n"),
            (BodyLength::Unknown, false)
        );
        assert_eq!(framing("Upgrade: websocket\r\n"), (BodyLength::Known(0), true));
    }
}
