//! One stream's place among those of its connection: how much of its answer h2 may have.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

use super::Books;

/// One stream's place. It waits for room until it is dropped.
pub(in crate::phases) struct Berth {
    books: Books,
    /// By what it is known while it waits; 0 where it never has.
    waiter: u64,
    waiting: bool,
}

impl Berth {
    pub(in crate::phases) fn new(books: Books) -> Self {
        Self {
            books,
            waiter: 0,
            waiting: false,
        }
    }

    pub(in crate::phases) fn books(&self) -> &Books {
        &self.books
    }

    /// Waits until h2 has not too much of this connection's answers, and the stream has a window; how much
    /// more may be given to it? `None`: nobody waits for it any more.
    pub(in crate::phases) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        reply: &mut SendStream<Bytes>,
    ) -> Poll<Option<usize>> {
        let room = {
            let mut wire = self.books.wire();
            if self.waiter == 0 {
                self.waiter = wire.unsent.waiter();
            }
            wire.unsent.poll_room(self.waiter, cx)
        };
        self.waiting = room.is_pending();
        let Poll::Ready(room) = room else {
            // A client that gives the stream up does not keep what it would have been given.
            return reply.poll_reset(cx).map(|_| None);
        };
        loop {
            // h2 tells of a window once; what was not used of it is still there.
            match reply.capacity() {
                0 => {}
                window => return Poll::Ready(Some(window.min(room))),
            }
            match ready!(reply.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }

    /// Is it for the others that it waits, and not for its own window?
    pub(in crate::phases) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Bytes of the connection that its client has ever taken.
    pub(in crate::phases) fn taken(&self) -> u64 {
        self.books.wire().unsent.taken()
    }

    /// So many bytes go to h2.
    pub(in crate::phases) fn sends(&self, bytes: usize) {
        self.books.wire().unsent.add(bytes);
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        if self.waiter != 0 {
            self.books.wire().unsent.forget(self.waiter);
        }
    }
}
