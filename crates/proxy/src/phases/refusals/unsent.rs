//! What h2 has of the answers of a connection, and its client has not taken.
//!
//! h2 bounds that for each stream, and for nothing larger: a client with wide windows that reads nothing
//! would have it keep a quarter of a megabyte for each of its streams, on each of its connections. So it is
//! bounded for each connection, and for less where all of them together have much. Only what its window
//! allows is given to h2, so all of it leaves as soon as the client reads, whatever becomes of other streams;
//! unless the client makes its windows smaller afterwards.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

/// Bytes of one connection, and of one where all have much. The latter still fills records of TLS.
const MAX: usize = 1 << 20;
const CROWDED_MAX: usize = 64 << 10;

/// Of all connections of the process.
static ALL: AtomicUsize = AtomicUsize::new(0);

/// What h2 has of one connection. More than it really has, where streams were reset, until the client has
/// taken all.
#[derive(Debug)]
pub(super) struct Unsent {
    bytes: usize,
    /// Of these, what may have no window any more: it can be there when h2 has nothing more to write.
    stranded: usize,
    /// The windows have become smaller, or will when h2 gets to it.
    shrinks: bool,
    /// From so many bytes on, of all connections together, each may have less.
    all_max: usize,
    /// Of streams, by what they are known by here.
    waiting: Vec<(u64, Waker)>,
    last_waiter: u64,
    /// Bytes that have ever left.
    taken: u64,
    /// The connection is over: nobody needs to wait.
    closed: bool,
}

impl Unsent {
    pub(super) fn new(all_max: usize) -> Self {
        Self {
            bytes: 0,
            stranded: 0,
            shrinks: false,
            all_max,
            waiting: Vec::new(),
            last_waiter: 0,
            taken: 0,
            closed: false,
        }
    }

    /// A number for one more stream that waits.
    pub(super) fn waiter(&mut self) -> u64 {
        self.last_waiter += 1;
        self.last_waiter
    }

    /// How much more may h2 have? The waiter is woken when it may have more.
    pub(super) fn poll_room(&mut self, waiter: u64, cx: &mut Context<'_>) -> Poll<usize> {
        if self.closed {
            return Poll::Ready(usize::MAX);
        }
        match self.max().checked_sub(self.bytes) {
            None | Some(0) => {
                match self.waiting.iter_mut().find(|(of, _)| *of == waiter) {
                    Some((_, waker)) => waker.clone_from(cx.waker()),
                    None => self.waiting.push((waiter, cx.waker().clone())),
                }
                Poll::Pending
            }
            Some(room) => Poll::Ready(room),
        }
    }

    /// It does not wait any more.
    pub(super) fn forget(&mut self, waiter: u64) {
        self.waiting.retain(|(of, _)| *of != waiter);
    }

    /// Bytes that have ever left: more than before, where the client reads.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Has all left that can?
    pub(super) fn has_left(&self) -> bool {
        self.bytes == self.stranded
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        ALL.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes have left.
    pub(super) fn remove(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        if bytes == 0 {
            return;
        }
        self.bytes -= bytes;
        self.stranded = self.stranded.min(self.bytes);
        self.taken += bytes as u64;
        ALL.fetch_sub(bytes, Ordering::Relaxed);
        if !self.waiting.is_empty() && self.bytes <= self.max() / 2 {
            self.wake();
        }
    }

    /// The client has made the windows of all its streams smaller.
    pub(super) fn shrink(&mut self) {
        self.shrinks = true;
    }

    /// All that could leave has left.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shrinks) {
            // Nobody knows what is stuck, so that all of it may be.
            self.stranded = self.bytes;
        }
        self.remove(self.bytes - self.stranded);
        if self.stranded > 0 && !self.waiting.is_empty() && self.bytes < self.max() {
            self.wake();
        }
    }

    /// h2 has nothing at all.
    pub(super) fn clear_all(&mut self) {
        (self.shrinks, self.stranded) = (false, 0);
        self.clear();
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.clear_all();
        self.wake();
    }

    fn max(&self) -> usize {
        if ALL.load(Ordering::Relaxed) < self.all_max {
            MAX
        } else {
            CROWDED_MAX
        }
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(|(_, waker)| waker.wake());
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_less_where_all_have_much_and_all_of_it_again_when_it_has_been_read() {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut one, mut other) = (Unsent::new(usize::MAX), Unsent::new(0));
        assert_eq!(one.poll_room(1, &mut cx), Poll::Ready(MAX));
        one.add(MAX);
        assert_eq!(one.poll_room(1, &mut cx), Poll::Pending);
        assert_eq!(other.poll_room(1, &mut cx), Poll::Ready(CROWDED_MAX));
        other.add(CROWDED_MAX - 1);
        assert_eq!(other.poll_room(1, &mut cx), Poll::Ready(1));
        other.add(2);
        assert!(other.poll_room(1, &mut cx).is_pending());
        assert_eq!((one.waiting.len(), other.waiting.len()), (1, 1));
        one.remove(MAX / 2);
        assert_eq!(
            (one.waiting.len(), one.poll_room(1, &mut cx)),
            (0, Poll::Ready(MAX / 2))
        );
        other.clear();
        assert_eq!(other.poll_room(1, &mut cx), Poll::Ready(CROWDED_MAX));
        other.add(CROWDED_MAX);
        other.close();
        assert_eq!(other.poll_room(1, &mut cx), Poll::Ready(usize::MAX));
    }

    #[test]
    fn what_lost_its_window_counts_until_it_has_left() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut unsent = Unsent::new(usize::MAX);
        // However often windows grow and shrink, h2 has no more than it may have.
        let mut given = 0;
        for _ in 0..100 {
            if let Poll::Ready(room) = unsent.poll_room(1, &mut cx) {
                let piece = room.min(256 << 10);
                unsent.add(piece);
                given += piece;
            }
            unsent.shrink();
            unsent.clear();
        }
        assert_eq!((given, unsent.bytes), (MAX, MAX));
        // The client widens them again and takes a part: there is room for as much.
        unsent.remove(MAX / 4);
        unsent.clear();
        assert_eq!(unsent.poll_room(1, &mut cx), Poll::Ready(MAX / 4));
        // Of what is given now, all leaves that is not stuck already.
        unsent.add(MAX / 4);
        assert!(unsent.poll_room(1, &mut cx).is_pending());
        unsent.clear();
        assert!(unsent.waiting.is_empty(), "woken");
        assert_eq!(unsent.poll_room(1, &mut cx), Poll::Ready(MAX / 4));
        assert!(unsent.has_left());
        unsent.clear_all();
        assert_eq!(unsent.bytes, 0);
    }

    #[test]
    fn who_has_left_does_not_wait() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut unsent = Unsent::new(usize::MAX);
        unsent.add(MAX);
        for _ in 0..1000 {
            let waiter = unsent.waiter();
            assert!(unsent.poll_room(waiter, &mut cx).is_pending());
            assert!(unsent.poll_room(waiter, &mut cx).is_pending());
            assert_eq!(unsent.waiting.len(), 1);
            unsent.forget(waiter);
        }
        assert!(unsent.waiting.is_empty());
    }
}
