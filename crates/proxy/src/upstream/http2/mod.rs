//! Servers that are spoken with in HTTP/2: `h2c://`, and `https://` where `http2` is set and the server
//! chooses it.
//!
//! The protocol is the `h2` crate's. A request is a stream, which the [exchange](super::exchange) sees like a
//! connection of HTTP/1.1 ([`ServerStream`](super::server_stream::ServerStream)), so retries, uploads,
//! timeouts and refusals are the same. Connections belong to the front thread that opened them, like
//! [idle](super::idle) ones; each carries the requests of its thread until the server's limit of streams is
//! reached, and then another is opened.
//!
//! What a server may cost: an answer whose client does not read it fills the window of its stream, which then
//! stops alone, since the connection's window holds those of all its streams. Whatever else a server sends
//! costs it its connection once it is more than that without an answer getting on.

mod answer_head;
mod connection;
mod driver;
mod health;
mod pool;
mod reach;
mod request_head;
mod socket;
mod stream;

pub(super) use health::ask;
pub(super) use reach::{Reached, reach};

/// Requests of one connection at a time, where the server allows as many. nginx and most servers allow 100 or
/// 128.
const STREAMS_MAX: usize = 100;

/// Bytes of an answer that a server may send before the client has taken those before.
const STREAM_WINDOW_BYTES: u32 = 128 << 10;

/// All streams of a connection have their windows filled in this: a client that does not read stops no other.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX as u32;

/// Bytes of one request's body that wait in h2 for the server.
const SEND_BUFFER_BYTES: usize = 64 << 10;
