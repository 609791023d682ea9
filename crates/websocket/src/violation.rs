//! What a peer does that the protocol forbids.

use super::code;

/// The client broke the protocol, or a limit: the connection is closed with this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// Status code of the close frame.
    pub code: u16,
    /// Its reason.
    pub reason: &'static str,
}

impl Violation {
    pub(super) const fn protocol(reason: &'static str) -> Self {
        Self {
            code: code::PROTOCOL,
            reason,
        }
    }
}
