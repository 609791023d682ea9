//! What applications have started by themselves, where it outlives the workers of its generation.
//!
//! A job in the background is commonly meant to do so, and one that is not looks the same: a reload leaves
//! and names it, as a reload of gunicorn does without naming it. A stop ends it, as systemd does with all of
//! a unit.

use std::fs;

use rustix::process::{Pid, getsid};
use tracing::info;

use crate::{context::Pids, os::wait};

/// So many are named; all are counted.
const NAMED_MAX: usize = 8;

/// Tells of the processes below us that we have not started.
pub(crate) fn tell(pids: &Pids) {
    let left: Vec<u32> = wait::children()
        .into_iter()
        .filter(|&pid| !pids.has(pid) && !is_being_born(pid, pids))
        .collect();
    if left.is_empty() {
        return;
    }
    let named: Vec<String> = left.iter().take(NAMED_MAX).map(|&pid| name(pid)).collect();
    info!(
        count = left.len(),
        processes = named.join(", "),
        "processes that applications have started live on after a reload; a stop ends them"
    );
}

/// Is it in the session of a zygote that is there? Then it may be a worker that has not said hello, and has
/// not outlived anything.
fn is_being_born(pid: u32, pids: &Pids) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let leader = pid.and_then(|pid| getsid(Some(pid)).ok());
    leader.is_some_and(|leader| pids.has(leader.as_raw_nonzero().get().cast_unsigned()))
}

fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{pid} ({})", name.trim_end())
}
