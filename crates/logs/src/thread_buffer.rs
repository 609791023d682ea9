//! The buffer that one thread writes its lines into.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a buffer gathers before the writer is called ahead of its tick.
pub(crate) const FULL_BYTES: usize = 64 * 1024;

/// A buffer that grew past this for a burst is not kept.
const KEEP_BYTES: usize = 2 * FULL_BYTES;

/// Lines of one thread, waiting for the writer. The lock is held for the making of one line by the thread it
/// belongs to, and for the swap of a vector by the writer; nobody waits for a disk under it.
#[derive(Debug, Default)]
pub(crate) struct ThreadBuffer {
    batch: Mutex<Batch>,
}

/// Whole lines, and the share of the sink's bytes they were granted.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) lines: Vec<u8>,
    pub(crate) granted: usize,
}

/// What became of a line.
pub(crate) enum Appended {
    /// It waits for the writer's next tick.
    Waiting,
    /// It waits, and so much with it that the writer should come now.
    Full,
    /// There was no room for it.
    Dropped,
}

impl ThreadBuffer {
    /// Appends what `render` writes, if `grant` gives room for it: it is asked for the bytes missing and
    /// answers with those given, 0 when there are no more.
    pub(crate) fn append(
        &self,
        render: impl FnOnce(&mut Vec<u8>),
        grant: impl FnOnce(usize) -> usize,
    ) -> Appended {
        let mut batch = self.lock();
        let before = batch.lines.len();
        render(&mut batch.lines);
        let after = batch.lines.len();
        if let Some(missing) = after.checked_sub(batch.granted).filter(|&missing| missing > 0) {
            let granted = grant(missing);
            if granted == 0 {
                batch.lines.truncate(before);
                return Appended::Dropped;
            }
            batch.granted += granted;
        }
        if before < FULL_BYTES && after >= FULL_BYTES {
            Appended::Full
        } else {
            Appended::Waiting
        }
    }

    /// Takes what waits, leaving `spare` to go on with; `None`, with `spare` untouched, when nothing waits.
    pub(crate) fn take(&self, spares: &mut Spares) -> Option<Batch> {
        let mut batch = self.lock();
        if batch.lines.is_empty() {
            return None;
        }
        Some(std::mem::replace(
            &mut batch,
            Batch {
                lines: spares.take(),
                granted: 0,
            },
        ))
    }

    /// Whether nothing waits here.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().lines.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Empty buffers that were written out and wait for their next use, at most one for each thread.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    empty: Vec<Vec<u8>>,
}

impl Spares {
    /// Keeps `buffer` for later unless it is huge or `max` are kept already.
    pub(crate) fn keep(&mut self, mut buffer: Vec<u8>, max: usize) {
        if buffer.capacity() <= KEEP_BYTES && self.empty.len() < max {
            buffer.clear();
            self.empty.push(buffer);
        }
    }

    fn take(&mut self) -> Vec<u8> {
        self.empty.pop().unwrap_or_default()
    }
}
