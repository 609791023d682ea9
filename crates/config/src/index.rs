//! References from one part of a configuration to another.

use serde::{Deserialize, Serialize};

/// Position of an app in [`Config::apps`](crate::Config::apps).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AppIndex(pub usize);

/// Position of an upstream in [`Config::upstreams`](crate::Config::upstreams).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UpstreamIndex(pub usize);
