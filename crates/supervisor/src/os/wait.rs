//! Children: ended ones are collected, live ones get signals.
//!
//! A pid stays taken until it is reaped here, and only children that were not reaped yet are ever signalled, so a signal
//! cannot reach a stranger that got the same number.
#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, signal};
use rustix::{
    io::Errno,
    process::{
        Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, set_child_subreaper, wait,
        waitid, waitpid,
    },
};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// Collects one child that has ended. As subreaper we also adopt what our children leave behind, so any pid may come.
pub(crate) fn reap() -> Option<(u32, Ended)> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let ended = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Ended::Code(code),
                    (None, Some(signal)) => Ended::Signal(signal),
                    (None, None) => continue,
                };
                return Some((pid.as_raw_nonzero().get().cast_unsigned(), ended));
            }
            Err(Errno::INTR) => {}
            _ => return None,
        }
    }
}

/// Waits for this child to end.
pub(crate) fn wait_for(child: u32) -> Option<Ended> {
    let pid = pid(child)?;
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                return match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Some(Ended::Code(code)),
                    (None, Some(signal)) => Some(Ended::Signal(signal)),
                    (None, None) => continue,
                };
            }
            Err(Errno::INTR) => {}
            _ => return None,
        }
    }
}

/// Is this our child, ended or not, and not reaped yet?
pub(crate) fn is_child(number: u32) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pid(number).is_some_and(|pid| waitid(WaitId::Pid(pid), options).is_ok())
}

/// Sends a signal to a child that was not reaped yet.
pub(crate) fn kill(child: u32, signal: Signal) {
    if let Some(pid) = pid(child) {
        // It may be a zombie already, which is as good.
        let _ = kill_process(pid, signal);
    }
}

/// Orphans below us become our children, and the end of each child is kept until it is reaped.
pub(crate) fn adopt_orphans() -> std::io::Result<()> {
    // Whoever started us may have left this signal ignored, and that is inherited: the kernel would then reap for us, and
    // no death would ever be heard of.
    // SAFETY: the default action; no handler is replaced that anything here relies on.
    unsafe { signal(nix::sys::signal::Signal::SIGCHLD, SigHandler::SigDfl) }?;
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// All children of this process, known or adopted.
pub(crate) fn children() -> Vec<u32> {
    let own = std::process::id();
    let listed = std::fs::read_to_string(format!("/proc/self/task/{own}/children"));
    if let Ok(text) = listed {
        return text
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect();
    }
    // A kernel without that file: look at every process.
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| is_child(pid))
        .collect()
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}
