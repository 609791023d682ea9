//! Signals that a terminal or an init system sends to whole groups. The supervisor decides when a worker goes, so here they do
//! nothing. A handler that does nothing, and not "ignore": what is ignored stays ignored in every program that the
//! application starts, and those should die of a ^C.

/// Installs the empty handler for SIGTERM, SIGINT and SIGHUP, ignores SIGPIPE as Python does, and unblocks every signal.
pub(crate) fn leave_to_supervisor() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: the structures are zeroed and then filled as sigaction(2) demands; the handler touches nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::sigprocmask(libc::SIG_SETMASK, &action.sa_mask, std::ptr::null_mut());
    }
}
