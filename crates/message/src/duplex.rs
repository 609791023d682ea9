//! A client's connection, or its stream, as bytes in both directions: what is left of HTTP behind the head
//! that accepts a WebSocket.

use std::task::{Context, Poll};

use bytes::BytesMut;

use crate::client_error::ClientError;

/// Both directions at once, so polled: reading and writing are not each other's prisoners. To be used once
/// the head of status 101 (HTTP/1.1), or 200 for an extended CONNECT (HTTP/2), was given to
/// [`send_head`](crate::downstream::Downstream::send_head). The pace is the caller's business: nothing in
/// here has a deadline.
pub trait Duplex {
    /// Bytes from the client that nobody has used yet.
    fn input(&mut self) -> &mut BytesMut;

    /// Bytes for the client that have not been written yet.
    fn output(&mut self) -> &mut BytesMut;

    /// Reads once, to the end of `input`; 0: the client sends no more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ClientError>>;

    /// Writes `output`, until it is empty or the client takes no more.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>>;

    /// The end is not to look like one: the connection or the stream is reset.
    fn cut(&mut self);
}
