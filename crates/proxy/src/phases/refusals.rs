//! Heads that h2 refuses by itself.
//!
//! h2 resets a stream whose head is against the rules, answers 431 to a head of more than twice `head_max`,
//! turns away what is one stream too many, and ends the connection over what it cannot decode; and tells
//! nobody. To let larger heads in, so that the refusal were ours, would be a memory hole: their fields are
//! some bytes on the wire and a hundred times as much in memory, for each of the streams that a client may
//! open at once. So the frames are watched on their way to h2 and from it, and the books are kept
//! ([`Ledger`]): a head that has come in, and is not among what h2 has handed over when it has nothing more
//! to do, was refused. h2 reads again only when it has gone through every frame it had, so that the moment is
//! known. What h2 has written meanwhile tells with which status. Its 431 has a form that nothing else on the
//! connection has: a final head with a single field, on a stream that was not handed over.

mod allowance;
mod berth;
mod blocks;
mod charge;
mod frames;
mod ledger;
mod lone_status;
mod settings;
mod unsent;

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, StreamId};
use logs::Outcome;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

pub(super) use self::{allowance::Allowance, berth::Berth, ledger::Refused};
use self::{ledger::Ledger, unsent::Unsent};
use crate::listener::stream::ClientStream;

/// A client's HTTP/2 connection as the one that serves it sees it; h2 reads and writes through the [`Watched`] half.
#[derive(Clone)]
pub(super) struct Books {
    wire: Arc<Mutex<Wire>>,
}

struct Wire {
    stream: Box<ClientStream>,
    ledger: Ledger,
    /// Flushes of h2 wait for [`Books::settle`].
    lazy: bool,
    /// One does.
    waiting: bool,
    /// Answers that broke off.
    cuts: Vec<Cut>,
    allowance: Allowance,
    /// Requests that the client may cancel.
    cancelled: Allowance,
    unsent: Unsent,
    broken_off: Option<BrokenOff>,
}

/// Why we have ended a connection: status and outcome of the requests that this has cut.
pub(super) type BrokenOff = (u16, Outcome);

/// What is to be told of a connection when h2 has nothing more to hand over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// h2 has refused this.
    Refused(Refused),
    /// Its client sends more frames of no use than it [may](Allowance).
    Flooded,
}

/// An answer that broke off; its stream is reset when it is dropped at the latest.
struct Cut {
    reply: SendStream<Bytes>,
    _body: RecvStream,
    reason: Reason,
}

impl Books {
    /// Nothing has been read or written yet. What h2 writes leaves when it flushes, until [`Books::flush_lazily`].
    ///
    /// `unsent_max`: see [`Unsent`].
    pub(super) fn open(stream: Box<ClientStream>, unsent_max: usize) -> (Self, Watched) {
        let now = Instant::now();
        let books = Self {
            wire: Arc::new(Mutex::new(Wire {
                stream,
                ledger: Ledger::new(),
                lazy: false,
                waiting: false,
                cuts: Vec::new(),
                allowance: Allowance::of_frames(now),
                cancelled: Allowance::of_cancelled(now),
                unsent: Unsent::new(unsent_max),
                broken_off: None,
            })),
        };
        (books.clone(), Watched { books })
    }

    /// From now on what h2 writes leaves when it has nothing more to do, and [`Books::settle`] is called for that. It flushes
    /// behind each piece of a body of a kilobyte or more: a system call and a TLS record for every answer, however many are
    /// ready.
    pub(super) fn flush_lazily(&self) {
        self.wire().lazy = true;
    }

    /// Has the client taken all that h2 had for it, and that it gives a window?
    pub(super) fn is_quiet(&self) -> bool {
        let wire = self.wire();
        wire.unsent.has_left() && !wire.ledger.is_blocked()
    }

    /// h2 has no streams.
    pub(super) fn clear(&self) {
        self.wire().unsent.clear_all();
    }

    /// The connection is ended by us: what still runs has not lost its client.
    pub(super) fn break_off(&self, why: BrokenOff) {
        self.wire().broken_off = Some(why);
    }

    pub(super) fn broken_off(&self) -> Option<BrokenOff> {
        self.wire().broken_off
    }

    /// The request of this stream has been handed over. `true`: it is malformed, which h2 does not know.
    pub(super) fn handed(&self, stream: StreamId) -> bool {
        let mut wire = self.wire();
        wire.ledger.handed();
        wire.ledger.is_malformed(stream.into())
    }

    /// The body of this stream has come to its end: has it malformed trailers?
    pub(super) fn has_malformed_end(&self, stream: StreamId) -> bool {
        self.wire().ledger.is_malformed(stream.into())
    }

    /// To be called whenever h2 has nothing more to hand over: sends what it has written, and says what
    /// nobody has told yet.
    pub(super) fn settle(&self, cx: &mut Context<'_>) -> io::Result<Option<Settled>> {
        let mut wire = self.wire();
        if wire.waiting {
            match Pin::new(&mut *wire.stream).poll_flush(cx) {
                Poll::Ready(flushed) => {
                    wire.waiting = false;
                    flushed?;
                }
                // The task is woken when more can be sent, and comes by here again.
                Poll::Pending => {}
            }
        }
        if !wire.ledger.is_blocked() {
            // What has a window is written as long as the client takes it, so that h2 has nothing else left.
            wire.unsent.clear();
        }
        let frames = wire.ledger.take_control();
        if frames > 0 && !wire.allowance.take(frames, Instant::now()) {
            return Ok(Some(Settled::Flooded));
        }
        let cancelled = wire.ledger.take_cancelled();
        if cancelled > 0 && !wire.cancelled.take(cancelled, Instant::now()) {
            return Ok(Some(Settled::Flooded));
        }
        let settled = wire.ledger.settle().map(Settled::Refused);
        if !wire.waiting && !wire.ledger.is_blocked() && !wire.cuts.is_empty() {
            let cuts = std::mem::take(&mut wire.cuts);
            drop(wire);
            for mut cut in cuts {
                cut.reply.send_reset(cut.reason);
            }
        }
        Ok(settled)
    }

    /// Which head has begun and is not complete, if any?
    pub(super) fn open_head(&self) -> Option<u32> {
        self.wire().ledger.open_head()
    }

    /// Leaves an answer that broke off. A reset takes with it what h2 has not written yet, so that it has to
    /// wait: the stream's task ends with this call, which wakes the connection, and what h2 then writes goes
    /// first.
    pub(super) fn cut(&self, reply: SendStream<Bytes>, body: RecvStream, reason: Reason) {
        self.wire().cuts.push(Cut {
            reply,
            _body: body,
            reason,
        });
    }

    /// To be asked when the connection is over: what nobody will answer any more.
    pub(super) fn close(&self) -> Refused {
        let mut wire = self.wire();
        wire.unsent.close();
        wire.ledger.close()
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        // Both halves live in one task.
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's HTTP/2 connection whose frames are watched.
pub(super) struct Watched {
    books: Books,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.books.wire();
        let before = buf.filled().len();
        let read = Pin::new(&mut *wire.stream).poll_read(cx, buf);
        wire.ledger.asked();
        let filled = buf.filled_mut().get_mut(before..).unwrap_or_default();
        for at in wire.ledger.read(filled) {
            if let Some(byte) = filled.get_mut(at) {
                *byte ^= 1;
            }
        }
        if wire.ledger.take_shrunk() {
            wire.unsent.shrink();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.books.wire();
        let corrected = wire.ledger.corrected(bytes);
        let bytes = corrected.as_deref().unwrap_or(bytes);
        let written = Pin::new(&mut *wire.stream).poll_write(cx, bytes);
        wire.ledger.set_blocked(written.is_pending());
        if let Poll::Ready(Ok(written)) = written {
            wire.ledger.wrote(bytes.get(..written).unwrap_or(bytes));
            let data = wire.ledger.take_data();
            wire.unsent.remove(data);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.books.wire();
        if wire.lazy {
            wire.waiting = true;
            wire.ledger.set_blocked(false);
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut *wire.stream).poll_flush(cx);
        wire.ledger.set_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.books.wire().stream).poll_shutdown(cx)
    }
}
