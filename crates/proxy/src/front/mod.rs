//! HTTP/1: the connection loop, heads and bodies.

mod authority;
mod body;
mod chunked;
pub(crate) mod date;
pub(crate) mod handler;
pub(crate) mod http1;
mod pace;
pub(crate) mod parse;
mod patience;
pub(crate) mod refusal;
mod reply;
mod request_line;
pub(crate) mod scan;
mod session;
