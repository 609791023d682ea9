//! Executes a child with its descriptors and its identity.
#![allow(unsafe_code)]

use std::{
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use rustix::io::fcntl_dupfd_cloexec;

use super::{open_files, privileges::Confinement};

/// Whom a child runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunAs {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Descriptors that children get lie below this number; copies that wait for the exec lie above.
const PARKED: RawFd = 16;

/// Starts the command with each descriptor at its number, as somebody else if asked, confined, in a session of
/// its own (the terminal, its ^C and what could be typed into it are for the supervisor alone) and killed by
/// the kernel when this process dies. Answers its pid; it is reaped by [`super::wait::reap`].
pub(crate) fn spawn(
    command: &mut Command,
    descriptors: &[(BorrowedFd<'_>, RawFd)],
    run_as: Option<&RunAs>,
    confinement: Confinement,
) -> io::Result<u32> {
    // Copies first, so that no source lies on another one's target.
    let parked = descriptors
        .iter()
        .map(|&(fd, target)| Ok((fcntl_dupfd_cloexec(fd, PARKED)?, target)))
        .collect::<io::Result<Vec<(OwnedFd, RawFd)>>>()?;
    let targets: Vec<(RawFd, RawFd)> = parked
        .iter()
        .map(|(fd, target)| (fd.as_raw_fd(), *target))
        .collect();
    let run_as = run_as.cloned();
    let open_files = open_files::limit_of_children().map(|(soft, hard)| libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    });
    let parent = std::process::id();
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe functions are allowed. It
    // makes system calls on values moved into it and allocates nothing (`last_os_error` does not allocate).
    unsafe {
        command.pre_exec(move || {
            accept_signals()?;
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            if let Some(limit) = &open_files
                && libc::setrlimit(libc::RLIMIT_NOFILE, limit) < 0
            {
                return Err(io::Error::last_os_error());
            }
            confinement.begin(run_as.as_ref().map(|who| who.uid))?;
            if let Some(who) = &run_as {
                drop_privileges(who)?;
            }
            for &(from, to) in &targets {
                if libc::dup2(from, to) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            // After the change of identity, which clears it.
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the line above; then no signal would ever come.
            if libc::getppid().cast_unsigned() != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
    #[allow(clippy::zombie_processes, reason = "every child is reaped by os::wait::reap")]
    let child = command.spawn()?;
    Ok(child.id())
}

/// Our signals are blocked because we read them from a descriptor; a child wants its own.
fn accept_signals() -> io::Result<()> {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised by the first call before the second reads it; no old mask is asked for.
    let done = unsafe {
        libc::sigemptyset(none.as_mut_ptr()) == 0
            && libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) == 0
    };
    if done {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Groups first: afterwards there is no right to change them.
fn drop_privileges(who: &RunAs) -> io::Result<()> {
    // SAFETY: three system calls on plain numbers; the pointer and the length are those of one live vector.
    let done = unsafe {
        libc::setgroups(who.groups.len(), who.groups.as_ptr()) == 0
            && libc::setgid(who.gid) == 0
            && libc::setuid(who.uid) == 0
    };
    if done {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
