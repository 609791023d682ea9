//! Where connections come in: accepting, TLS, and the buffered stream that everything behind works on.

pub(crate) mod crowd;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tls;

#[cfg(test)]
mod tests;
