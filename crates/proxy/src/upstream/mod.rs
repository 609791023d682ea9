//! Servers outside that speak HTTP: which one is asked, what is known of each, and the way of a request there and back.
//!
//! The way goes through the [`Downstream`](message::downstream::Downstream) like everything else that
//! answers, and so it is the same for the clients of HTTP/1 and HTTP/2, their WebSockets included.

mod answer_body;
mod answer_head;
mod connection;
mod discovery;
mod exchange;
mod failure;
mod handshake;
mod health;
mod http2;
mod idle;
mod lookup;
mod members;
mod name_servers;
mod names;
mod order;
mod peers;
mod question;
mod request_head;
mod server;
mod server_socket;
mod server_stream;
mod tunnel;
mod unserved;
mod upgrade;
mod upload;

pub(crate) use exchange::answer;
pub(crate) use health::look_after;
pub(crate) use names::begin;
pub(crate) use peers::Upstream;
pub(crate) use question::Question;
pub(crate) use upgrade::Upgrade;
