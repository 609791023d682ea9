//! How a WebSocket is closed (RFC 6455 §5.5.1 and §7.4).

use std::str::from_utf8;

pub use super::code::*;
use super::violation::Violation;

/// Longest reason in bytes, so that code and reason fit in a control frame.
pub const REASON_BYTES_MAX: usize = 123;

/// May this code stand in a close frame?
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads the payload of a close frame: code and reason; [`NO_CODE`] when it is empty.
pub(super) fn read(payload: &[u8]) -> Result<(u16, &str), Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok((NO_CODE, "")),
            _ => Err(Violation::protocol("close frame of one byte")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Violation::protocol("invalid close code"));
    }
    let reason = from_utf8(reason).map_err(|_| Violation {
        code: BAD_DATA,
        reason: "close reason is not UTF-8",
    })?;
    Ok((code, reason))
}

/// As much of a reason as fits.
pub fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
