//! Signals that a terminal, an init system or an operator sends. The supervisor decides when a worker goes,
//! so here they do nothing, or ask it. A handler that does nothing, and not "ignore": what is ignored stays
//! ignored in every program that the application starts, and those should die of a ^C.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        OnceLock,
        atomic::{AtomicI32, Ordering},
    },
};

/// The worker's control socket; -1: none.
static CONTROL: AtomicI32 = AtomicI32::new(-1);

/// What is sent on it.
static WISH: OnceLock<Vec<u8>> = OnceLock::new();

/// The process that the handlers are for.
static OWNER: AtomicI32 = AtomicI32::new(0);

extern "C" fn nothing(signal: libc::c_int) {
    by_default_in_copies(signal);
}

extern "C" fn ask(signal: libc::c_int) {
    if by_default_in_copies(signal) {
        return;
    }
    let control = CONTROL.load(Ordering::Relaxed);
    if let (0.., Some(wish)) = (control, WISH.get()) {
        // SAFETY: async-signal-safe, and errno is put back. A number that is no socket any more is an error;
        // no memory depends on it.
        unsafe {
            let errno = *libc::__errno_location();
            let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
            libc::send(control, wish.as_ptr().cast(), wish.len(), flags);
            *libc::__errno_location() = errno;
        }
    }
}

/// A process that the application has forked is ended by the signal, from its first moment on, as it would be
/// under another server.
fn by_default_in_copies(signal: libc::c_int) -> bool {
    // SAFETY: all of it is async-signal-safe. What is raised here is delivered when the handler returns.
    unsafe {
        let copy = libc::getpid() != OWNER.load(Ordering::Relaxed);
        if copy {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        copy
    }
}

type Handler = extern "C" fn(libc::c_int);

/// SIGTERM asks on this socket, from [`leave_to_supervisor`] on.
pub(crate) fn ask_on(control: &OwnedFd, wish: Vec<u8>) {
    let _ = WISH.set(wish);
    CONTROL.store(control.as_raw_fd(), Ordering::Relaxed);
}

/// SIGTERM asks the supervisor in a worker; SIGINT and SIGHUP do nothing. Ignores SIGPIPE as Python does, and
/// unblocks every signal.
pub(crate) fn leave_to_supervisor() {
    OWNER.store(std::process::id().cast_signed(), Ordering::Relaxed);
    let on_term = if CONTROL.load(Ordering::Relaxed) < 0 {
        nothing
    } else {
        ask
    };
    for (signal, handler) in [
        (libc::SIGTERM, on_term as Handler),
        (libc::SIGINT, nothing),
        (libc::SIGHUP, nothing),
    ] {
        install(signal, handler as libc::sighandler_t);
    }
    // SAFETY: the set is zeroed and then made empty as sigemptyset(3) demands.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// SIGUSR1 and SIGQUIT, which mean something to other servers, do nothing. Before the application is
/// imported: it may have handlers of its own for them.
pub(crate) fn hear_nothing() {
    for signal in [libc::SIGUSR1, libc::SIGQUIT] {
        install(signal, nothing as Handler as libc::sighandler_t);
    }
}

fn install(signal: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: the structure is zeroed and then filled as sigaction(2) demands; our handlers call only what is
    // async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}
