//! How the last reload ended.

use std::time::Instant;

/// How the last reload ended.
#[derive(Debug)]
pub(crate) struct LastReload {
    pub(super) outcome: &'static str,
    pub(super) at: Instant,
    pub(super) generation: Option<u64>,
    pub(super) message: Option<String>,
}
