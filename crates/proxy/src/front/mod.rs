//! HTTP/1: the connection loop, heads and bodies.

pub mod bench;
mod body;
pub(crate) mod handler;
pub(crate) mod http1;
pub(crate) mod pace;
pub(crate) mod parse;
pub(crate) mod reply;
pub(crate) mod scan;
pub(crate) mod session;
