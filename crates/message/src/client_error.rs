//! What a client does to the request it has sent.

/// Why a client's request or answer cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It closed or reset the connection or the stream.
    #[error("client left")]
    Gone,
    /// It paused longer than `body_timeout` or was slower than `body_rate_min` (408 while reading).
    #[error("client too slow")]
    TooSlow,
    /// The body is larger than the route allows (413).
    #[error("request body larger than {0} bytes")]
    BodyTooLarge(u64),
    /// The body breaks its framing (400).
    #[error("malformed request body")]
    BadBody,
}
