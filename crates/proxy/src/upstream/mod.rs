//! Servers outside that speak HTTP: which one is asked, what is known of each, and the way of a request there and back.
//!
//! The way is our own for plain HTTP/1.1, through the [`Downstream`](crate::downstream::Downstream) like everything else that
//! answers. Only a request that changes the protocol of its connection (a WebSocket) is left to pingora, see
//! [`phases`](crate::phases).

mod answer_body;
pub(crate) mod answer_head;
mod balance;
mod connection;
mod exchange;
mod failure;
mod idle;
mod peers;
pub(crate) mod request_head;
mod upload;

pub(crate) use exchange::{Question, answer};
pub(crate) use peers::{PeerError, Seat, Upstream};
