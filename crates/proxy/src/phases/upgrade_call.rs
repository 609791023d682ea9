//! One request for a WebSocket given to pingora, and its connection with it.

use std::sync::Arc;

use bytes::BytesMut;
use http::header;
use logs::{OpenRecord, Outcome};
use pingora_core::{apps::HttpServerApp, protocols::http::ServerSession};
use pingora_proxy::{HttpProxy, Session};

use super::{
    Phases,
    exchange::Exchange,
    fence::{Fault, Fence},
};
use crate::{connection::Connection, context::Context, listener::stream::ClientStream, serve::UpgradeCall};

/// Takes a request that asks for a WebSocket, and has no body, to its upstream. `head` is the request's head as pingora reads it
/// again. The connection ends with it, whatever the server says.
pub(crate) async fn upgrade(
    context: &Arc<Context>,
    proxy: &Arc<HttpProxy<Phases>>,
    stream: Box<ClientStream>,
    connection: &Arc<Connection>,
    head: BytesMut,
    call: Box<UpgradeCall>,
    record: OpenRecord,
) {
    let limits = &context.config.listeners[connection.listener].limits;
    let fault = Fault::default();
    let Some(exchange) = Exchange::new(context, connection, call, record, Arc::clone(&fault)) else {
        return;
    };
    let fence = Fence::new(stream, limits, fault);
    let mut session = ServerSession::new_http1(Box::new(fence));
    session.set_pipelined_prefix(head);
    let shutdown = context.drain.watch();
    let (_, left) = exchange.scope(proxy.process_new_http(session, &shutdown)).await;
    if let Some(mut exchange) = left {
        // pingora has refused the head by rules of its own and has said so to the client.
        exchange.set_outcome(Outcome::Refused);
        exchange.finish(Some(400), 0, 0);
    }
}

/// What the request needs before it goes.
pub(super) fn prepare(session: &mut Session, exchange: &Exchange) {
    let limits = &exchange.context.config.listeners[exchange.connection.listener].limits;
    // An upgraded connection may be silent for long.
    session.set_read_timeout(None);
    session.set_write_timeout(Some(limits.body_timeout));
    // There is no body that anybody could be told to send.
    session.req_header_mut().remove_header(&header::EXPECT);
    // Where the server does not want to, the client is told that its connection ends.
    session.set_keepalive(None);
}
