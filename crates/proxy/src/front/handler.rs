//! What the connection loop needs from the rest of the proxy.

use std::sync::Arc;

use bytes::Bytes;
use logs::{OpenRecord, Record, Remote};
use message::{
    answer::{Answer, AnswerLength},
    error_page,
};

use super::session::Http1Session;
use crate::{context::Context, drain::Drain, serve};

/// What the connection loop needs from the rest of the proxy; the loop's own tests bring another one.
pub(crate) trait Handler: Send + Sync {
    /// When to leave.
    fn drain(&self) -> &Drain;

    /// Opens the record of a request.
    fn open(&self, peer: Remote) -> OpenRecord;

    /// The answer to a request that could not even be read, and its body.
    fn refusal(&self, status: u16) -> (Answer, Bytes);

    /// Answers a request.
    fn answer(&self, session: &mut Http1Session<'_>, record: &mut Record) -> impl Future<Output = ()> + Send;
}

/// The proxy of one front thread.
#[derive(Clone)]
pub(crate) struct Front {
    /// Shared by all threads.
    pub(crate) context: Arc<Context>,
}

impl Handler for Front {
    fn drain(&self) -> &Drain {
        &self.context.drain
    }

    fn open(&self, peer: Remote) -> OpenRecord {
        self.context.log.open(peer)
    }

    fn refusal(&self, status: u16) -> (Answer, Bytes) {
        let (content_type, page) = error_page::page(status);
        let mut answer = Answer::new(status);
        answer.length = AnswerLength::Known(page.len() as u64);
        answer.fields.push("Content-Type", content_type);
        self.context.router.name_server(&mut answer);
        (answer, page)
    }

    async fn answer(&self, session: &mut Http1Session<'_>, record: &mut Record) {
        serve::serve(&self.context, session, record).await;
    }
}
