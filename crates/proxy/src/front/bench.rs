//! A door for the benches.

use std::time::Duration;

use super::{parse::parse, scan::Scan};

/// Finds the end of a head and reads it, as the connection loop does with what one read brought. Says how many fields it
/// has; `None` when it is not a whole valid head.
#[must_use]
pub fn read_head(bytes: &[u8]) -> Option<usize> {
    let mut scan = Scan::default();
    let len = scan.find_end(bytes, &LIMITS).ok()??;
    let parsed = parse(&bytes[..len], scan.fields()).ok()?;
    Some(parsed.head.fields.len())
}

const LIMITS: config::Limits = config::Limits {
    connections_max: 1,
    target_bytes_max: 8 << 10,
    head_bytes_max: 32 << 10,
    headers_max: 100,
    head_timeout: Duration::ZERO,
    idle_timeout: Duration::ZERO,
    body_timeout: Duration::ZERO,
    body_rate_min: 0,
    requests_max: 1,
};
