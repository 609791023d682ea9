//! Why a memory file is not mapped.

use std::io;

/// Why a descriptor cannot be mapped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Without the seals its owner could shrink it under us, and touching the lost part is a SIGBUS.
    #[error("memory file is not sealed against another length")]
    NotSealed,
    /// Nothing to map, absurdly much, or not what was agreed upon.
    #[error("memory file has {0} bytes")]
    Size(u64),
    /// The kernel refused.
    #[error("memory file cannot be mapped: {0}")]
    Os(#[from] io::Error),
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Os(error) => error,
            other => Self::other(other),
        }
    }
}
