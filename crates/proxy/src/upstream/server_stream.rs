//! One request to a server and its answer, whichever version of HTTP carries them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use message::head::Head;

use super::{
    answer_body::AnswerBody,
    answer_head::{AnswerHead, BadAnswer, Search},
    connection::{ServerConnection, Turn},
    failure::Failure,
    idle::{self, Place},
    question::Question,
    request_head::{self, Then},
};

/// One request to a server and its answer: a connection of HTTP/1.1, or a stream of HTTP/2.
pub(super) trait ServerStream: Send + Sized {
    /// Has the connection served a request before? Then the server may have closed it at this very moment.
    fn is_kept(&self) -> bool;

    /// Has the server said nothing yet since the request was begun?
    fn is_unheard(&self) -> bool;

    /// Has not a byte of the request left? Then the server cannot have begun to carry it out.
    fn is_unsent(&self) -> bool;

    /// Sends the head. `expect`: the body waits for `100 Continue`.
    fn ask(&mut self, head: &Head, question: &Question<'_>, expect: bool) -> Result<(), Failure>;

    /// Sends a piece of the body, as a chunk where HTTP/1.1 needs chunks; only while nothing else of the body
    /// [waits](Self::is_sending).
    fn push(&mut self, piece: Bytes, chunks: bool);

    /// The body is complete.
    fn push_end(&mut self, chunks: bool);

    /// Does something wait to be sent?
    fn is_sending(&self) -> bool;

    /// Sends what waits, and then reads once; says what came first. Safe to drop.
    fn turn(&mut self) -> impl Future<Output = Result<Turn, Failure>> + Send;

    /// Sends what waits. Safe to drop.
    fn sent(&mut self) -> impl Future<Output = ()> + Send;

    /// Takes the head that has come; `None`: more has to be read.
    fn take_head(&mut self, search: &mut Search, head_only: bool) -> Result<Option<AnswerHead>, BadAnswer>;

    /// Takes what has come of the body; `None`: more has to be read, or it is done.
    fn take_body(&mut self, body: &mut AnswerBody) -> Result<Option<Bytes>, BadAnswer>;

    /// May another request follow on this connection, once it is [kept](Self::keep)?
    fn is_reusable(&self) -> bool;

    /// Keeps the connection for the next request, as [`idle::keep`] does.
    fn keep(self, place: &Arc<Place>, patience: Duration, kept_max: usize);

    /// The connection, where it can become a WebSocket.
    fn into_tunnel(self) -> Option<ServerConnection>;
}

impl ServerStream for ServerConnection {
    fn is_kept(&self) -> bool {
        ServerConnection::is_kept(self)
    }

    fn is_unheard(&self) -> bool {
        ServerConnection::is_unheard(self)
    }

    fn is_unsent(&self) -> bool {
        ServerConnection::is_unsent(self)
    }

    fn ask(&mut self, head: &Head, question: &Question<'_>, expect: bool) -> Result<(), Failure> {
        let then = match &question.upgrade {
            Some(upgrade) => Then::Switch(upgrade),
            None if question.upstream.kept_max() == 0 => Then::Close,
            None => Then::Keep,
        };
        let (strip, host) = (question.strip, question.host);
        request_head::write(self.output(), head, question.request, strip, host, expect, then);
        Ok(())
    }

    fn push(&mut self, piece: Bytes, chunks: bool) {
        ServerConnection::push(self, piece, chunks);
    }

    fn push_end(&mut self, chunks: bool) {
        if chunks {
            self.push_last_chunk();
        }
    }

    fn is_sending(&self) -> bool {
        ServerConnection::is_sending(self)
    }

    async fn turn(&mut self) -> Result<Turn, Failure> {
        ServerConnection::turn(self).await.map_err(Failure::Broken)
    }

    async fn sent(&mut self) {
        ServerConnection::sent(self).await;
    }

    fn take_head(&mut self, search: &mut Search, head_only: bool) -> Result<Option<AnswerHead>, BadAnswer> {
        search.take(&mut self.input, head_only)
    }

    fn take_body(&mut self, body: &mut AnswerBody) -> Result<Option<Bytes>, BadAnswer> {
        body.take(&mut self.input)
    }

    fn is_reusable(&self) -> bool {
        ServerConnection::is_reusable(self)
    }

    fn keep(self, place: &Arc<Place>, patience: Duration, kept_max: usize) {
        idle::keep(place, self, patience, kept_max, Instant::now());
    }

    fn into_tunnel(self) -> Option<ServerConnection> {
        Some(self)
    }
}
