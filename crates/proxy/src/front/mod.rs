//! HTTP/1: the connection loop, heads and bodies.

pub(crate) mod authority;
pub mod bench;
mod body;
pub(crate) mod chunked;
pub(crate) mod date;
pub(crate) mod handler;
pub(crate) mod http1;
pub(crate) mod pace;
pub(crate) mod parse;
pub(crate) mod patience;
pub(crate) mod refusal;
pub(crate) mod reply;
pub(crate) mod request_line;
pub(crate) mod scan;
mod session;
