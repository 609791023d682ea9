//! What has become of the processes of an app: told by `GET /status`.

use std::time::Instant;

/// Workers forked, and the last process that ended.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) forks: u64,
    pub(super) last_exit: Option<Exit>,
}

/// The end of a worker, or of the zygote.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) slot: Option<u32>,
    pub(super) pid: Option<u32>,
    pub(super) cause: String,
    pub(super) at: Instant,
}

impl History {
    pub(super) fn forked(&mut self) {
        self.forks = self.forks.saturating_add(1);
    }

    pub(super) fn exited(&mut self, slot: Option<u32>, pid: Option<u32>, cause: &str, at: Instant) {
        self.last_exit = Some(Exit {
            slot,
            pid,
            cause: cause.to_owned(),
            at,
        });
    }
}
