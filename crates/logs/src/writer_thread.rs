//! Threads that write logs.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::{
    process::geteuid,
    thread::{CapabilitySet, CapabilitySets, set_capabilities},
};

/// Starts a thread that has no signals and no capabilities; neither have those that it starts.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    // Signals are for the threads that wait for them: this one inherits a mask that blocks them all.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let thread = Builder::new().name(name.to_owned()).spawn(|| {
        give_up_capabilities();
        run()
    });
    if let Ok(mask) = mask {
        let _ = mask.thread_set_mask();
    }
    thread
}

/// The file is open, so this thread needs no right, and what another thread gives up this one would keep:
/// each has capabilities of its own. A thread of root keeps them. A change of user takes them away, and it
/// must succeed in all threads.
fn give_up_capabilities() {
    if !geteuid().is_root() {
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        // Less is always allowed.
        let _ = set_capabilities(None, none);
    }
}
