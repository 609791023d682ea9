//! What a process may do, and what others may do to it, beyond what follows from its user.
//!
//! Nothing here allocates: it also runs between fork and exec.

use std::io;

use rustix::{
    process::{DumpableBehavior, geteuid, set_dumpable_behavior},
    thread::{
        CapabilitySet, capabilities, no_new_privs, remove_capability_from_bounding_set, set_capabilities,
        set_no_new_privs,
    },
};

/// Numbers of capabilities end below this one.
const CAPABILITIES_MAX: u32 = 64;

/// From now on only root may look into this process, whatever user it has: other processes of its user can
/// neither trace it nor read its memory, its environment or its descriptors, and it leaves no core file.
/// A change of user and an exec undo it.
///
/// # Errors
/// Never on Linux.
pub fn hide() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// No program that this process executes has a right that its file could give. What it may do by itself
/// stays, and so does root. Without the right to do so (CAP_SETPCAP) the set stays as it is; it is of no use
/// then to somebody who gets no new privileges.
pub fn empty_bounding_set() {
    for number in 0..CAPABILITIES_MAX {
        // The first number that the kernel does not know ends it as well.
        if remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)).is_err() {
            return;
        }
    }
}

/// Whoever started us has denied new privileges to us and so to every child: a unit, or the engine of a
/// container.
pub(crate) fn are_denied() -> bool {
    no_new_privs().unwrap_or(false)
}

/// What a child keeps of what we may do, and can get by executing programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confinement {
    /// It gets nothing (setuid, setgid, capabilities of files), and what it has it gives up itself.
    NoNewPrivileges,
    /// It gets nothing, and keeps nothing unless it stays root.
    Whole,
    /// It is as free as we are.
    None,
}

impl Confinement {
    /// In the child, before it becomes the user `uid` (`None`: it stays who we are).
    pub(crate) fn begin(self, uid: Option<u32>) -> io::Result<()> {
        if self == Self::None {
            return Ok(());
        }
        set_no_new_privs(true)?;
        let root = uid.unwrap_or_else(|| geteuid().as_raw()) == 0;
        if self == Self::Whole && !root {
            empty_bounding_set();
            // What our starter has given us to pass on (ports below 1024, in most cases); the ambient
            // set goes with it.
            let mut sets = capabilities(None)?;
            sets.inheritable = CapabilitySet::empty();
            set_capabilities(None, sets)?;
        }
        Ok(())
    }
}
