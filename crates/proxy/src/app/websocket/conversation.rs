//! An open WebSocket: messages both ways, pings, and its end.

mod client;

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use logs::Outcome;
use message::downstream::Downstream;
use tokio::time::{Instant, Sleep};
use websocket::{close, extension::Deflate, reader::Reader, writer::Writer};
use wire::{frame::AbortReason, websocket::Close};

use super::{CLOSE_TIME, End, OUTPUT_BYTES_MAX, line::Line};
use crate::app::{
    call::Event,
    websocket::keepalive::{Keepalive, Sign},
};

/// One WebSocket.
pub(super) struct Conversation<'a, D> {
    line: Line<'a>,
    down: &'a mut D,
    reader: Reader,
    writer: Writer,
    keepalive: Keepalive,
    /// The latest ping that there was no room to answer: what is left of a flood of them (RFC 6455 §5.5.3).
    pong: Option<Vec<u8>>,
    stage: Stage,
    outcome: Outcome,
    write_timeout: Duration,
    /// Since when the client has taken nothing of what waits.
    stalled: Option<Instant>,
    /// The worker has no room for what the client sends.
    blocked: bool,
    empty: u32,
    paused_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Our close frame is written; the client's is waited for.
    Closing {
        until: Instant,
    },
    /// Nothing more is read: the connection ends when all is written.
    Parting {
        until: Instant,
    },
}

impl<'a, D: Downstream> Conversation<'a, D> {
    pub(super) fn new(
        line: Line<'a>,
        down: &'a mut D,
        reader: Reader,
        deflate: Option<Deflate>,
        keepalive: Keepalive,
        write_timeout: Duration,
    ) -> Self {
        Self {
            line,
            down,
            reader,
            writer: Writer::new(deflate),
            keepalive,
            pong: None,
            stage: Stage::Open,
            outcome: Outcome::Ok,
            write_timeout,
            stalled: None,
            blocked: false,
            empty: 0,
            paused_until: None,
        }
    }

    /// One turn: takes what is there on both sides, writes once to each. `draining` resolves when the proxy leaves.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut draining: Pin<&mut impl Future<Output = ()>>,
        mut timer: Pin<&mut Sleep>,
    ) -> Poll<End> {
        loop {
            let now = Instant::now();
            if self.stage == Stage::Open && draining.as_mut().poll(cx).is_ready() {
                self.leave(now);
            }
            let listened = self.listen(cx, now);
            let read = match self.read(cx, now) {
                Ok(read) => read,
                Err(end) => return Poll::Ready(end),
            };
            if let Some(end) = self.look(now) {
                return Poll::Ready(end);
            }
            if self.down.output().len() < OUTPUT_BYTES_MAX
                && let Some(payload) = self.pong.take()
            {
                Writer::pong(&payload, self.down.output());
            }
            let drained = match self.flush(cx, now) {
                Ok(drained) => drained,
                Err(end) => return Poll::Ready(end),
            };
            self.line.send(drained);
            if drained && matches!(self.stage, Stage::Parting { .. }) {
                return Poll::Ready(End::Closed(self.outcome));
            }
            // What stopped for want of room may go on, and a stage that has just begun has its own sources.
            if drained && (!listened || self.pong.is_some()) {
                continue;
            }
            if !read {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(due) = self.due() {
                // Every sign of life puts it off: it is set again only once it has gone off, and finds that it was too early.
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

    /// The server leaves: says so to both sides.
    pub(super) fn leave(&mut self, now: Instant) {
        if self.stage == Stage::Open {
            self.line.close(close::RESTART, "");
            self.close(close::RESTART, "", now);
        }
    }

    /// Takes what the worker has said. `false`: there may be more, when the client has taken some.
    fn listen(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        while self.stage == Stage::Open {
            if self.down.output().len() >= OUTPUT_BYTES_MAX {
                return false;
            }
            match self.line.call().poll_event(cx) {
                Poll::Ready(event) => self.absorb(event, now),
                Poll::Pending => return true,
            }
        }
        true
    }

    fn absorb(&mut self, event: Event, now: Instant) {
        match event {
            Event::Message { bytes, text, more } => {
                self.writer.part(text, !more, &bytes, self.down.output());
                self.line.taken(bytes.len());
            }
            Event::Credit(bytes) => self.line.credited(bytes),
            Event::Returned(_) => {}
            Event::Leaving => self.leave(now),
            Event::Close(payload) => {
                self.line.ended();
                match Close::decode(&payload) {
                    Ok(Close { code, reason }) => self.close(code, reason, now),
                    Err(_) => self.close(close::INTERNAL, "", now),
                }
            }
            Event::Abort(reason) => {
                self.line.ended();
                self.outcome = match reason {
                    AbortReason::Exception | AbortReason::Protocol | AbortReason::Switched => {
                        Outcome::AppFailed
                    }
                    AbortReason::Cancelled => Outcome::Shutdown,
                    AbortReason::NotStarted => Outcome::WorkerDied,
                };
                self.close(close::INTERNAL, "", now);
            }
            Event::Fail(_) => {
                self.line.ended();
                self.outcome = Outcome::WorkerDied;
                self.close(close::INTERNAL, "", now);
            }
            Event::Response { .. }
            | Event::Data { .. }
            | Event::File { .. }
            | Event::Informational(_)
            | Event::Trailers(_)
            | Event::Socket(_)
            | Event::Accept(_) => {
                self.line.break_off();
                self.outcome = Outcome::AppFailed;
                self.close(close::INTERNAL, "", now);
            }
        }
    }

    /// Writes our close frame, and waits for the client's.
    fn close(&mut self, code: u16, reason: &str, now: Instant) {
        self.pong = None;
        Writer::close(code, reason, self.down.output());
        self.stage = Stage::Closing {
            until: now + CLOSE_TIME,
        };
    }

    /// Writes what waits; `true` when nothing does any more.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        let before = self.down.output().len();
        match self.down.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.stalled = None;
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(self.gone()),
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
            Stage::Closing { until } | Stage::Parting { until } if until <= now => {
                return Some(End::Cut(self.outcome));
            }
            _ => {}
        }
        if self
            .stalled
            .is_some_and(|since| since + self.write_timeout <= now)
        {
            return Some(self.silent());
        }
        if self.stage == Stage::Open {
            if !self.reads() {
                // A sign of life may be there, and it is us who do not look.
                self.keepalive.heard(now);
            }
            match self.keepalive.look(now) {
                Sign::Fine => {}
                Sign::Ask => Writer::ping(self.down.output()),
                // Nothing was heard from it, which is what 1006 says; a close frame would not be heard either.
                Sign::Dead => return Some(self.silent()),
            }
        }
        None
    }

    fn silent(&mut self) -> End {
        if self.stage == Stage::Open {
            self.line.close(close::ABNORMAL, "");
            self.outcome = Outcome::ClientTimeout;
        }
        End::Cut(self.outcome)
    }

    /// When to look again.
    fn due(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Open => self.keepalive.due(),
            Stage::Closing { until } | Stage::Parting { until } => Some(until),
        };
        let stalled = self.stalled.map(|since| since + self.write_timeout);
        [stage, stalled, self.paused_until].into_iter().flatten().min()
    }

    /// An idle WebSocket keeps no buffers.
    fn shrink(&mut self) {
        if self.down.input().is_empty() {
            *self.down.input() = BytesMut::new();
        }
        if self.down.output().is_empty() {
            *self.down.output() = BytesMut::new();
        }
    }
}
