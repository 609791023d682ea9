//! What the connection loop needs from the rest of the proxy.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use logs::{OpenRecord, Record, Remote};
use pingora_proxy::HttpProxy;

use super::session::Http1Session;
use crate::{
    connection::Connection,
    context::Context,
    drain::Drain,
    errors,
    listener::stream::ClientStream,
    phases::{self, Phases},
    serve::{self, Next, UpgradeCall},
};

/// What the connection loop needs from the rest of the proxy; the loop's own tests bring another one.
pub(crate) trait Handler: Send + Sync {
    /// When to leave.
    fn drain(&self) -> &Drain;

    /// Opens the record of a request.
    fn open(&self, peer: Remote) -> OpenRecord;

    /// Content-Type and body of an error page.
    fn page(&self, status: u16) -> (&'static str, Bytes);

    /// Answers a request, or says who gets its connection.
    fn answer(
        &self,
        session: &mut Http1Session<'_>,
        record: &mut Record,
    ) -> impl Future<Output = Next> + Send;

    /// Takes a request that asks for a WebSocket to its upstream, and the connection with it. `head` is the request's head.
    fn upgrade(
        &self,
        stream: Box<ClientStream>,
        connection: &Arc<Connection>,
        head: BytesMut,
        call: Box<UpgradeCall>,
        record: OpenRecord,
    ) -> impl Future<Output = ()> + Send;
}

/// The proxy of one front thread.
#[derive(Clone)]
pub(crate) struct Front {
    /// Shared by all threads.
    pub(crate) context: Arc<Context>,
    /// pingora, for the ways that go through it.
    pub(crate) proxy: Arc<HttpProxy<Phases>>,
}

impl Handler for Front {
    fn drain(&self) -> &Drain {
        &self.context.drain
    }

    fn open(&self, peer: Remote) -> OpenRecord {
        self.context.log.open(peer)
    }

    fn page(&self, status: u16) -> (&'static str, Bytes) {
        errors::page(status)
    }

    async fn answer(&self, session: &mut Http1Session<'_>, record: &mut Record) -> Next {
        serve::serve(&self.context, session, record).await
    }

    async fn upgrade(
        &self,
        stream: Box<ClientStream>,
        connection: &Arc<Connection>,
        head: BytesMut,
        call: Box<UpgradeCall>,
        record: OpenRecord,
    ) {
        phases::upgrade(&self.context, &self.proxy, stream, connection, head, call, record).await;
    }
}
