//! How a WebSocket is closed (RFC 6455 §5.5.1 and §7.4).

use std::str::from_utf8;

use super::Violation;

/// Nothing came for too long.
pub const GOING_AWAY: u16 = 1001;
/// The peer keeps to no protocol.
pub const PROTOCOL: u16 = 1002;
/// Said by nobody: there was a close frame without a code.
pub const NO_CODE: u16 = 1005;
/// Said by nobody: the connection ended without a close frame.
pub const ABNORMAL: u16 = 1006;
/// Text that is not UTF-8, or data that can not be unpacked.
pub const BAD_DATA: u16 = 1007;
/// A message is too large.
pub const TOO_LARGE: u16 = 1009;
/// The application, or its worker, failed.
pub const INTERNAL: u16 = 1011;
/// The server leaves; the client may come again.
pub const RESTART: u16 = 1012;

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
