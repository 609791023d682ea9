//! An open bridge: bytes both ways, pings between frames, and its end.

use std::{
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use logs::Outcome;
use message::downstream::Downstream;
use tokio::{
    io::ReadBuf,
    time::{Instant, Sleep},
};
use websocket::{close, passing::Passing, writer::Writer};
use wire::frame::AbortReason;

use super::app_end::{AppEnd, READ_BYTES};
use crate::app::{
    call::Event,
    exchange::Ticket,
    websocket::{
        CLOSE_TIME, End, OUTPUT_BYTES_MAX,
        keepalive::{Keepalive, Sign},
    },
};

/// How long the second sign that an application has ended may come behind the first one. A worker that dies
/// closes all its descriptors, one after the other; and where a client closes, the thread that runs the
/// request may be quicker than the one that answers the close.
const LAST_WORD_TIME: Duration = Duration::from_millis(500);

/// Readings before the other tasks of the thread get their turn.
const READS_PER_TURN: usize = 8;

/// One bridge.
pub(super) struct Traffic<'a, 'b, D> {
    ticket: &'a mut Ticket<'b>,
    down: &'a mut D,
    app: &'a mut AppEnd,
    /// What the application says, and what the client does.
    said: Passing,
    heard: Passing,
    keepalive: Keepalive,
    stage: Stage,
    /// Nothing more comes of the application.
    app_over: bool,
    /// Nothing more comes of the client, which may still listen: Chromium ends its side of an HTTP/2 stream
    /// with its close frame.
    client_over: bool,
    /// A frame of ours that waits for the end of one of the application's.
    waiting: Option<Ours>,
    /// The client has been sent a close frame; nothing may follow.
    closed: bool,
    outcome: Outcome,
    write_timeout: Duration,
    /// Since when the client has taken nothing of what waits.
    stalled: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The application has closed its socket without a close frame, and its request has not ended; or that
    /// has, and the client's close frame has not been answered.
    Ending {
        until: Instant,
    },
    /// The client is sent a close frame, and its own is waited for.
    Closing {
        until: Instant,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ours {
    Ping,
    Close(u16),
}

impl<'a, 'b, D: Downstream> Traffic<'a, 'b, D> {
    pub(super) fn new(
        ticket: &'a mut Ticket<'b>,
        down: &'a mut D,
        app: &'a mut AppEnd,
        keepalive: Keepalive,
        write_timeout: Duration,
    ) -> Self {
        let (first, mut heard) = (std::mem::take(&mut app.head), Passing::default());
        heard.take_all(down.input());
        let mut traffic = Self {
            ticket,
            down,
            app,
            said: Passing::default(),
            heard,
            keepalive,
            stage: Stage::Open,
            app_over: false,
            client_over: false,
            waiting: None,
            closed: false,
            outcome: Outcome::Ok,
            write_timeout,
            stalled: None,
        };
        traffic.say(&first);
        traffic
    }

    /// One turn: takes what is there on both sides, writes to each. `draining` resolves when the proxy
    /// leaves.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut draining: Pin<&mut impl Future<Output = ()>>,
        mut timer: Pin<&mut Sleep>,
    ) -> Poll<End> {
        loop {
            let now = Instant::now();
            if self.stage == Stage::Open && draining.as_mut().poll(cx).is_ready() {
                self.leave();
            }
            while let Poll::Ready(event) = self.poll_event(cx) {
                self.absorb(event);
            }
            let listened = self.listen(cx);
            let read = match self.read(cx, now) {
                Ok(read) => read,
                Err(end) => return Poll::Ready(end),
            };
            self.advance(now, listened);
            if let Some(end) = self.look(now) {
                return Poll::Ready(end);
            }
            let drained = match self.flush(cx, now) {
                Ok(drained) => drained,
                Err(end) => return Poll::Ready(end),
            };
            if drained && let Some(end) = self.end() {
                return Poll::Ready(end);
            }
            // What stopped for want of room may go on.
            if drained && listened == Listened::Full {
                continue;
            }
            if !read || listened == Listened::Some {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(due) = self.due() {
                // Every sign of life puts it off: it is set again only once it has gone off, and finds that
                // it was too early.
                if due < timer.deadline() || timer.is_elapsed() {
                    timer.as_mut().reset(due);
                }
                if timer.as_mut().poll(cx).is_ready() {
                    continue;
                }
            }
            self.shrink();
            return Poll::Pending;
        }
    }

    /// The server leaves: says so to the client, whose answer tells the application.
    pub(super) fn leave(&mut self) {
        if self.stage == Stage::Open {
            self.put(Ours::Close(close::RESTART));
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.ticket.over {
            return Poll::Pending;
        }
        self.ticket.call.poll_event(cx)
    }

    /// What the worker says of the request; the application speaks elsewhere.
    fn absorb(&mut self, event: Event) {
        match event {
            // Some give an answer after all, for a server that has let them have the connection.
            Event::Response { end, .. } | Event::Data { end, .. } | Event::File { end, .. } => {
                self.ticket.over |= end;
            }
            Event::Trailers(_) => self.ticket.over = true,
            Event::Abort(reason) => {
                self.ticket.over = true;
                self.outcome = match reason {
                    AbortReason::Switched => self.outcome,
                    AbortReason::Exception | AbortReason::Protocol => Outcome::AppFailed,
                    AbortReason::Cancelled => Outcome::Shutdown,
                    AbortReason::NotStarted => Outcome::WorkerDied,
                };
            }
            Event::Fail(_) => {
                self.ticket.over = true;
                self.outcome = Outcome::WorkerDied;
            }
            Event::Leaving => self.leave(),
            Event::Informational(_) | Event::Credit(_) | Event::Returned(_) => {}
            Event::Socket(_) | Event::Accept(_) | Event::Message { .. } | Event::Close(_) => {
                self.ticket.app.give_up(self.ticket.id);
                self.ticket.over = true;
                self.outcome = Outcome::AppFailed;
            }
        }
    }

    /// Takes what the application has said.
    fn listen(&mut self, cx: &mut Context<'_>) -> Listened {
        for _ in 0..READS_PER_TURN {
            if self.app_over {
                return Listened::All;
            }
            if self.down.output().len() >= OUTPUT_BYTES_MAX {
                return Listened::Full;
            }
            let mut memory = [MaybeUninit::uninit(); READ_BYTES];
            let mut piece = ReadBuf::uninit(&mut memory);
            match self.app.poll_read(cx, &mut piece, self.ticket.over) {
                Poll::Ready(()) => {
                    self.app_over = self.app.closed;
                    self.say(piece.filled());
                }
                Poll::Pending => {
                    // What it has written before its request ended has been there since then.
                    self.app_over = self.ticket.over && !self.owes_close();
                    return Listened::All;
                }
            }
        }
        Listened::Some
    }

    /// Passes on what the application says, and ours between its frames.
    fn say(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.closed {
            let (piece, rest) = bytes.split_at(self.said.take(bytes));
            self.down.output().extend_from_slice(piece);
            bytes = rest;
            self.closed = self.said.is_closed();
            self.put_waiting();
        }
    }

    /// A frame of ours, as soon as there is a place for it.
    fn put(&mut self, ours: Ours) {
        self.waiting = Some(ours);
        self.put_waiting();
    }

    fn put_waiting(&mut self) {
        if !self.said.is_between() || self.closed {
            return;
        }
        match self.waiting.take() {
            Some(Ours::Ping) => Writer::ping(self.down.output()),
            Some(Ours::Close(code)) => {
                Writer::close(code, "", self.down.output());
                self.closed = true;
            }
            None => {}
        }
    }

    /// Takes what the client has sent, as fast as the application does. `false`: there is more.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        for _ in 0..READS_PER_TURN {
            if self.app_over {
                // Nobody reads it any more.
                self.down.input().clear();
            } else if self.app.poll_write(cx, self.down.input()).is_pending() {
                // A sign of life may be there, and it is us who do not look.
                self.keepalive.heard(now);
                return Ok(true);
            }
            if self.client_over {
                return Ok(true);
            }
            match self.down.poll_fill(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Ok(1..)) => {
                    self.keepalive.heard(now);
                    // All that was there before has been written.
                    self.heard.take_all(self.down.input());
                }
                Poll::Ready(Ok(0)) if self.owes_close() => self.client_over = true,
                Poll::Ready(Ok(0) | Err(_)) => {
                    if self.stage == Stage::Open && !self.heard.is_closed() {
                        self.outcome = Outcome::ClientGone;
                    }
                    return Err(End::Closed(self.outcome));
                }
            }
        }
        Ok(false)
    }

    /// Has the client closed, and not been answered?
    fn owes_close(&self) -> bool {
        self.heard.is_closed() && !self.closed
    }

    /// What follows from who has said that nothing more comes.
    fn advance(&mut self, now: Instant, listened: Listened) {
        if let Stage::Closing { .. } = self.stage {
            return;
        }
        let failed = self.ticket.over && self.outcome != Outcome::Ok;
        if self.app_over && !self.closed && failed {
            self.put(Ours::Close(close::INTERNAL));
        }
        if self.closed || matches!(self.waiting, Some(Ours::Close(_))) {
            self.stage = Stage::Closing {
                until: now + CLOSE_TIME,
            };
        } else if self.stage == Stage::Open && self.client_over {
            self.stage = Stage::Ending {
                until: now + CLOSE_TIME,
            };
        } else if self.stage == Stage::Open && listened == Listened::All && self.app_over != self.ticket.over
        {
            self.stage = Stage::Ending {
                until: now + LAST_WORD_TIME,
            };
        }
    }

    /// All is written that was to be: is that the end?
    fn end(&mut self) -> Option<End> {
        if self.closed {
            let passed = self.heard.is_closed() && self.down.input().is_empty();
            return passed.then_some(End::Closed(self.outcome));
        }
        let over = self.app_over && self.ticket.over;
        // Inside of a frame there is no end that could be told.
        over.then_some(if self.said.is_between() {
            End::Closed(self.outcome)
        } else {
            End::Cut(self.outcome)
        })
    }

    /// Writes what waits; `true` when nothing does any more.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        let before = self.down.output().len();
        match self.down.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.stalled = None;
                Ok(true)
            }
            Poll::Ready(Err(_)) => {
                if self.stage == Stage::Open {
                    self.outcome = Outcome::ClientGone;
                }
                Err(End::Closed(self.outcome))
            }
            Poll::Pending => {
                if self.down.output().len() < before {
                    self.stalled = None;
                }
                self.stalled.get_or_insert(now);
                Ok(false)
            }
        }
    }

    /// Looks at the time.
    fn look(&mut self, now: Instant) -> Option<End> {
        match self.stage {
            Stage::Closing { until } if until <= now => return Some(End::Cut(self.outcome)),
            // It has let go of its client, and is busy with something else.
            Stage::Ending { until } if until <= now => return Some(End::Closed(self.outcome)),
            _ => {}
        }
        let stalled = self
            .stalled
            .is_some_and(|since| since + self.write_timeout <= now);
        let mut dead = false;
        if self.stage == Stage::Open {
            if !self.said.is_between() {
                // There is no place for a ping, and whether the client is there the rest of the frame will
                // tell.
                self.keepalive.heard(now);
            }
            match self.keepalive.look(now) {
                Sign::Fine => {}
                Sign::Ask => self.put(Ours::Ping),
                Sign::Dead => dead = true,
            }
        }
        (stalled || dead).then(|| {
            if self.stage == Stage::Open {
                self.outcome = Outcome::ClientTimeout;
            }
            End::Cut(self.outcome)
        })
    }

    /// When to look again.
    fn due(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Open => self.keepalive.due(),
            Stage::Ending { until } | Stage::Closing { until } => Some(until),
        };
        let stalled = self.stalled.map(|since| since + self.write_timeout);
        [stage, stalled].into_iter().flatten().min()
    }

    /// An idle bridge keeps no buffers.
    fn shrink(&mut self) {
        if self.down.input().is_empty() {
            *self.down.input() = BytesMut::new();
        }
        if self.down.output().is_empty() {
            *self.down.output() = BytesMut::new();
        }
    }
}

/// How much of what the application has said was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listened {
    /// All of it.
    All,
    /// There may be more.
    Some,
    /// The client has to take some first.
    Full,
}
