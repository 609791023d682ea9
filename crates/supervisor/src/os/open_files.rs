//! The limit of open files: raised for ourselves, since each worker takes some, and as it was for our
//! children, who are asked for nothing else than what they are used to. The proxy raises its own.

use std::{io, sync::OnceLock};

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// The limits we were started with, soft and hard.
static STARTED_WITH: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// Raises the soft limit to the hard one.
pub(crate) fn raise_limit() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    STARTED_WITH.get_or_init(|| (soft, hard));
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// The limits for a child, where ours were raised.
pub(crate) fn limit_of_children() -> Option<(rlim_t, rlim_t)> {
    STARTED_WITH.get().copied()
}
