//! HTTP/2.

mod h2_head;
mod h2_session;
mod http2;
mod refusals;

pub(crate) use http2::serve_http2;

/// What we call ourselves in answers.
pub(crate) const SERVER: &str = "appliance";

#[cfg(test)]
mod tests;
