//! The slabs that a proxy lends its bodies in, mapped.
//!
//! To read a body of a megabyte by `pread`, 64 KiB at a time, takes 120 us: each call looks up every page, and reads into memory
//! that had to be cleared first; and the GIL is let go and taken again for it. Copied from a mapping that is there it takes 33 us, but
//! 160 us where it has to be mapped before and unmapped afterwards. So a slab is mapped when it comes for the second time, and the
//! mapping is kept for the next body in it: a proxy lends that slab first that came back last.
//!
//! A mapping keeps a slab's memory from the system when the proxy has given the slab up. Therefore all of them go about once a
//! second ([`Ticker::keep`](super::ticker::Ticker::keep)): what comes often is soon mapped again, and among hundreds of bodies
//! that costs nothing.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
};

use rustix::fs::fstat;
use shm::Reader;

use super::lock;

/// Slabs of one proxy that are known at a time: as many as it keeps for one app when each has had a body of a megabyte. Further
/// ones are read by `pread`; to give up the oldest for them would only map each of them anew, where they come in turn.
const KNOWN_MAX: usize = 16;

/// Longest file that is mapped: a proxy's slabs have 4 MiB. A larger one has no business here, and its pages
/// are not ours to keep.
const LEN_MAX: u64 = 16 << 20;

/// What has come from one proxy since they were cleared.
#[derive(Debug, Default)]
pub(crate) struct Slabs(Mutex<Vec<Known>>);

#[derive(Debug)]
struct Known {
    name: Name,
    /// From the second time on.
    map: Option<Arc<Reader>>,
}

/// Tells a file from all others for as long as it is mapped. One that is not may have gone, and another one have its name; that
/// one is then mapped the first time it comes.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    device: u64,
    inode: u64,
    len: i64,
}

impl Slabs {
    /// The map of a file that was lent; `None` where it is to be read by its descriptor. Whoever has it keeps it, also when it is
    /// cleared in here.
    pub(crate) fn find(&self, file: &OwnedFd) -> Option<Arc<Reader>> {
        let stat = fstat(file).ok()?;
        let name = Name {
            device: stat.st_dev,
            inode: stat.st_ino,
            len: stat.st_size,
        };
        let mut all = lock(&self.0);
        if let Some(known) = all.iter_mut().find(|known| known.name == name) {
            if known.map.is_none() {
                known.map = Reader::map(file, 1..=LEN_MAX).ok().map(Arc::new);
            }
            return known.map.clone();
        }
        if all.len() < KNOWN_MAX {
            all.push(Known { name, map: None });
        }
        None
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        let gone = std::mem::take(&mut *lock(&self.0));
        // Unmapped without the lock: somebody may be waiting for it with the GIL held.
        drop(gone);
    }

    /// In a process that the application has forked, which may live for long. Another thread may have had the lock during the fork.
    pub(crate) fn disown(&self) {
        if let Ok(mut all) = self.0.try_lock() {
            all.clear();
        }
    }
}
