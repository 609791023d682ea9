//! Why a request head is refused.

/// A head that breaks the rules of HTTP/1 or our limits. The connection ends after the answer: nothing behind
/// such a head can be trusted to start where it seems to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// Status of the answer.
    pub status: u16,
    /// What is wrong, for the operator.
    pub why: &'static str,
}

impl Refusal {
    /// 400
    #[inline]
    pub const fn bad(why: &'static str) -> Self {
        Self { status: 400, why }
    }

    /// Any other status.
    #[inline]
    pub const fn new(status: u16, why: &'static str) -> Self {
        Self { status, why }
    }
}
