//! Memory that large pieces of answers travel in: our end of [`wire::frame::Tray`].
//!
//! A tray is the worker's. It is mapped here when it is used for the first time, and its bytes go on as [`Bytes`] like any others: to
//! the client, or to the disk while that is slow. With the last of them the tray is to be given back. Nothing
//! is in a hurry for that, while a frame of its own would be a writing here and a waking of the worker for each answer: so it
//! goes with whatever is written next, and is only written by itself when several have gathered or nothing was written for
//! [`LINGER`].

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use shm::Reader;
use tokio::sync::Notify;
use wire::{
    Malformed,
    frame::{TRAY_BYTES, TRAYS_MAX, Tray},
};

use super::LinkError;

/// How long a tray may wait for company on its way back.
pub(super) const LINGER: Duration = Duration::from_millis(50);

/// So many do not wait any longer: the worker may have no other left soon.
const MANY: u32 = TRAYS_MAX / 2;

/// The trays of one link.
#[derive(Debug)]
pub(super) struct Trays {
    known: [Option<Arc<Ours>>; TRAYS_MAX as usize],
    returns: Arc<Returns>,
}

/// A tray that we have mapped.
#[derive(Debug)]
struct Ours {
    map: Reader,
    /// Its bytes are ours to read.
    lent: AtomicBool,
}

/// Bytes on a tray. When they are dropped the tray goes back.
struct Lent {
    ours: Arc<Ours>,
    tray: Tray,
    returns: Arc<Returns>,
}

impl Trays {
    pub(super) fn new(returns: Arc<Returns>) -> Self {
        Self {
            known: Default::default(),
            returns,
        }
    }

    /// The bytes that a frame speaks of. `file`: the tray is new.
    pub(super) fn take(&mut self, tray: Tray, file: Option<OwnedFd>) -> Result<Bytes, LinkError> {
        let malformed = Malformed { what: "tray" };
        let known = self.known.get_mut(tray.number as usize).ok_or(malformed)?;
        let ours = match (known, file) {
            (Some(ours), None) => Arc::clone(ours),
            (known @ None, Some(file)) => {
                let map = Reader::map(&file, u64::from(TRAY_BYTES)..=u64::from(TRAY_BYTES))?;
                let lent = AtomicBool::new(false);
                Arc::clone(known.insert(Arc::new(Ours { map, lent })))
            }
            // Never heard of, or for the second time.
            _ => return Err(malformed.into()),
        };
        if ours.lent.swap(true, Ordering::Acquire) {
            // Somebody still reads what was there.
            return Err(malformed.into());
        }
        Ok(Bytes::from_owner(Lent {
            ours,
            tray,
            returns: Arc::clone(&self.returns),
        }))
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // All that is done with the body of an answer is to copy it, as it is, to a client or a file.
        self.ours.map.to_be_sent(self.tray.len as usize)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.ours.lent.store(false, Ordering::Release);
        self.returns.put(self.tray.number);
    }
}

/// Trays of one link that wait to be given back. What is dropped may be dropped on any thread and under any lock, so nothing but
/// the link's writer is told.
#[derive(Debug)]
pub(super) struct Returns {
    /// A bit for each.
    waiting: AtomicU32,
    writer: Arc<Notify>,
}

impl Returns {
    pub(super) fn new(writer: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicU32::new(0),
            writer: Arc::clone(writer),
        })
    }

    fn put(&self, number: u32) {
        let before = self.waiting.fetch_or(1 << number, Ordering::AcqRel);
        // The first begins to wait, and the last ends it.
        if before == 0 || before.count_ones() + 1 == MANY {
            self.writer.notify_one();
        }
    }

    /// Does none wait?
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Are they so many that they should not wait?
    pub(super) fn are_many(&self) -> bool {
        self.waiting.load(Ordering::Acquire).count_ones() >= MANY
    }

    /// All that wait, which are written now.
    pub(super) fn take(&self) -> impl Iterator<Item = u32> {
        let waiting = self.waiting.swap(0, Ordering::AcqRel);
        (0..TRAYS_MAX).filter(move |number| waiting & (1 << number) != 0)
    }
}

const _: () = assert!(TRAYS_MAX <= u32::BITS);

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;

    fn file() -> OwnedFd {
        let file = memfd_create("tray", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd");
        ftruncate(&file, u64::from(TRAY_BYTES)).expect("ftruncate");
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).expect("seal");
        file
    }

    fn woken(writer: &Notify) -> bool {
        let mut notified = std::pin::pin!(writer.notified());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        notified.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn the_writer_is_told_of_the_first_that_comes_back_and_when_they_are_many() {
        let writer = Arc::new(Notify::new());
        let returns = Returns::new(&writer);
        let mut trays = Trays::new(Arc::clone(&returns));
        let lent: Vec<Bytes> = (0..MANY + 1)
            .map(|number| trays.take(Tray { number, len: 3 }, Some(file())).expect("a tray"))
            .collect();
        for (before, bytes) in lent.into_iter().enumerate() {
            assert_eq!(returns.is_empty(), before == 0);
            let part = bytes.slice(1..2);
            drop(bytes);
            assert!(!woken(&writer), "a part of it is still to be read");
            drop(part);
            let now = before + 1;
            assert_eq!(woken(&writer), now == 1 || now == MANY as usize, "{now}");
            assert_eq!(returns.are_many(), now >= MANY as usize);
        }
        assert!(returns.take().eq(0..MANY + 1));
        assert!(returns.is_empty() && returns.take().next().is_none());
    }

    #[test]
    fn a_tray_is_not_taken_again_before_it_is_given_back() {
        let mut trays = Trays::new(Returns::new(&Arc::default()));
        let tray = Tray { number: 5, len: 3 };
        assert!(trays.take(tray, None).is_err());
        let lent = trays.take(tray, Some(file())).expect("new");
        assert_eq!(lent, &[0; 3][..]);
        assert!(trays.take(tray, None).is_err());
        drop(lent);
        assert!(trays.take(tray, Some(file())).is_err());
        assert_eq!(trays.take(tray, None).expect("again").len(), 3);
    }
}
