//! One request given to pingora, and the connection taken back.

use std::sync::Arc;

use bytes::BytesMut;
use http::header;
use logs::{OpenRecord, Outcome};
use pingora_core::{
    Result,
    apps::{HttpServerApp, ReusedHttpStream},
    protocols::http::ServerSession,
};
use pingora_proxy::{HttpProxy, Session};

use super::{
    Phases,
    exchange::Exchange,
    fence::{Fault, Fence},
};
use crate::{
    connection::Connection, context::Context, head::BodyLength, listener::stream::ClientStream,
    serve::UpgradeCall,
};

/// pingora wants a keep-alive time in whole seconds; between requests the connection is the front's, so any will do.
const KEEP_ALIVE_SECONDS: u64 = 60;

/// Takes a request that asks for a WebSocket to its upstream. `head` is the request's head as pingora reads it again. The stream comes back
/// when the connection may serve on.
pub(crate) async fn upgrade(
    context: &Arc<Context>,
    proxy: &Arc<HttpProxy<Phases>>,
    stream: Box<ClientStream>,
    connection: &Arc<Connection>,
    head: BytesMut,
    call: Box<UpgradeCall>,
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

/// What each request needs before it goes: deadlines, and an interim answer where the client waits for one.
pub(super) async fn prepare(session: &mut Session, exchange: &Exchange) -> Result<()> {
    let limits = &exchange.context.config.listeners[exchange.connection.listener].limits;
    // The fence holds the client's body to its pace, and an upgraded connection may be silent for long.
    session.set_read_timeout(None);
    session.set_write_timeout(Some(limits.body_timeout));
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
