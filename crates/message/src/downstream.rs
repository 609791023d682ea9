//! The client as seen by whatever answers a request, the same for HTTP/1 and HTTP/2.
//!
//! Files, fixed answers and apps are written once against this trait. The sessions of HTTP/1 and HTTP/2
//! implement it.

#[cfg(any(test, feature = "recorder"))]
pub mod recorder;

use std::{fs::File, future::poll_fn, pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;

use crate::{
    answer::Answer, client_error::ClientError, connection::Connection, duplex::Duplex, fields::Fields,
    head::Head,
};

/// One request of a client and the answer to it.
///
/// The implementation keeps the client to the listener's limits: deadlines, minimum rate, and framing. It
/// sends no body bytes where HTTP forbids them (HEAD, 204, 304), so a caller need not treat those methods
/// apart.
pub trait Downstream: Duplex + Send {
    /// The request's head.
    fn head(&self) -> &Head;

    /// The connection it came by.
    fn connection(&self) -> &Connection;

    /// Sets the largest body that [`Downstream::read_body`] accepts; the listener knows nothing of routes.
    fn limit_body(&mut self, bytes_max: u64);

    /// Next piece of the request body, `None` at its end. Sends `100 Continue` first when the client waits
    /// for it. Safe to drop before it is ready: nothing is lost.
    fn read_body(&mut self) -> impl Future<Output = Result<Option<Bytes>, ClientError>> + Send;

    /// The next piece if it is there, `Some(None)` at the end; does not wait for more.
    fn read_ready(&mut self) -> impl Future<Output = Result<Option<Option<Bytes>>, ClientError>> + Send {
        poll_fn(|cx| {
            Poll::Ready(match pin!(self.read_body()).poll(cx) {
                Poll::Ready(piece) => piece.map(Some),
                Poll::Pending => Ok(None),
            })
        })
    }

    /// As [`Downstream::read_body`], into memory of the caller's, which must not be empty, where that spares
    /// a copy: what has come already, or comes in another form, is a piece as ever. Safe to drop.
    fn read_body_into(
        &mut self,
        room: &mut [u8],
    ) -> impl Future<Output = Result<BodyPiece, ClientError>> + Send {
        let _ = room;
        async { Ok(self.read_body().await?.map_or(BodyPiece::End, BodyPiece::Bytes)) }
    }

    /// Sends an informational response (1xx) ahead of the final answer, at once. Not every client can be told
    /// one; then nothing happens. After a 100 reading the body sends none.
    fn send_informational(&mut self, answer: &Answer)
    -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Sends the head of the final answer; it may be held back until body bytes or the end come, so that both
    /// leave in one write.
    fn send_head(&mut self, answer: &Answer) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Sends body bytes; they leave at once. Waits while the client does not take them. Not safe to drop
    /// half-way: the answer can then only be cut.
    fn send_body(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Sends body bytes from a file, in constant memory.
    fn send_file(
        &mut self,
        file: &Arc<File>,
        offset: u64,
        len: u64,
    ) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// The answer is complete. Without this call after [`Downstream::send_head`] the answer counts as cut:
    /// the connection (HTTP/1) or the stream (HTTP/2) is closed so that the client can tell.
    fn end(&mut self) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// The answer is complete and these fields come behind its body: where the protocol and the client allow
    /// it, else it is merely complete.
    fn end_with(&mut self, trailers: &Fields) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Resolves when the client has left; may never resolve. Safe to drop. To be called only while nothing is
    /// being read or sent.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;

    /// Has [`Downstream::send_head`] been called?
    fn answered(&self) -> bool;

    /// Body bytes of the request taken off the connection so far.
    fn bytes_in(&self) -> u64;

    /// Body bytes of the answer given to the connection so far.
    fn bytes_out(&self) -> u64;
}

/// What [`Downstream::read_body_into`] has read.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyPiece {
    /// So many bytes, at the beginning of the room.
    Read(usize),
    /// These.
    Bytes(Bytes),
    /// Nothing: it was all.
    End,
}
