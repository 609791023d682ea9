//! `[server]`: what concerns the whole program.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Identity, IpNet};

/// `[server]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Whom proxy and workers run as, when started as root. `None`: whoever started us.
    pub user: Option<Identity>,
    /// Where the server keeps files of its own; may be absent or read-only. The run user need not write there.
    #[serde(with = "crate::serialised_path::optional")]
    pub state_dir: Option<PathBuf>,
    /// Front threads of the proxy, at least 1.
    pub threads: usize,
    /// How long the drain of a stop may take before what is left is cut.
    pub grace: Duration,
    /// Proxies of earlier generations that may still serve long transfers.
    pub old_proxies: usize,
    /// File that holds the supervisor's pid while it runs.
    #[serde(with = "crate::serialised_path::optional")]
    pub pid_file: Option<PathBuf>,
    /// Where commands come in.
    pub control: Control,
    /// Peers whose X-Forwarded-* and Forwarded fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Request fields with an underscore in their name go on to applications and upstreams.
    pub underscores_in_headers: bool,
    /// Where bodies wait.
    pub buffers: Buffers,
}

/// `server.control`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Control {
    /// At the first of the usual places where a socket can be made.
    #[default]
    Usual,
    /// There is none.
    Off,
    /// At this path.
    At(#[serde(with = "crate::serialised_path")] PathBuf),
}

/// `[server.buffers]`: bodies of requests and responses wait in memory up to a size, then in an unlinked file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Buffers {
    /// Bytes of one body kept in memory before it moves to a temporary file.
    pub memory_bytes: usize,
    /// Bytes that all bodies beyond their `memory_bytes` share before they move to a file; the most that
    /// request bodies may have together where no file can be made.
    pub shared_bytes: usize,
    /// Bytes of one response that may wait for a slow client (memory and file together); past it the worker waits.
    pub response_bytes_max: u64,
    /// Directory of the temporary files, which are unlinked at once.
    #[serde(with = "crate::serialised_path")]
    pub directory: PathBuf,
}
