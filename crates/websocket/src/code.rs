//! Status codes of close frames (RFC 6455 §7.4).

/// Nothing came for too long.
pub const GOING_AWAY: u16 = 1001;
/// The peer keeps to no protocol.
pub const PROTOCOL: u16 = 1002;
/// Said by nobody: there was a close frame without a code.
pub const NO_CODE: u16 = 1005;
/// Said by nobody: the connection ended without a close frame.
pub const ABNORMAL: u16 = 1006;
/// Text that is not UTF-8, or data that cannot be unpacked.
pub const BAD_DATA: u16 = 1007;
/// A message is too large.
pub const TOO_LARGE: u16 = 1009;
/// The application, or its worker, failed.
pub const INTERNAL: u16 = 1011;
/// The server leaves; the client may come again.
pub const RESTART: u16 = 1012;
