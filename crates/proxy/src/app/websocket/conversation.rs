//! An open WebSocket: messages both ways, pings, and its end.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use logs::Outcome;
use tokio::time::{Instant, Sleep};
use tracing::debug;
use wire::{frame::AbortReason, websocket::Close};

use super::line::Line;
use crate::{
    app::call::Event,
    downstream::Downstream,
    websocket::{
        Violation, close,
        extension::Deflate,
        keepalive::{Keepalive, Sign},
        reader::{Item, Reader},
        writer::Writer,
    },
};

/// A client has this long to answer our close frame: a round trip on a bad line, and what it still had to send before.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// The worker's messages are framed while less than this waits for the client.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// Readings before the other tasks of the thread get their turn.
const READS_PER_TURN: usize = 8;

/// Messages without bytes cost their client nothing of the worker's credit, so so many in a row are followed by a pause.
const EMPTY_MAX: u32 = 1024;
const EMPTY_PAUSE: Duration = Duration::from_secs(1);

/// One WebSocket.
pub(super) struct Conversation<'a, D> {
    line: Line<'a>,
    down: &'a mut D,
    reader: Reader,
    writer: Writer,
    keepalive: Keepalive,
    /// The latest ping that was not answered yet: a flood of them is answered once.
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

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing more is to be read or written.
    Closed(Outcome),
    /// The connection is to be cut.
    Cut(Outcome),
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
        config: &config::WebSocket,
        deflate: Option<Deflate>,
        write_timeout: Duration,
    ) -> Self {
        Self {
            line,
            down,
            reader: Reader::new(config.message_bytes_max, deflate.is_some()),
            writer: Writer::new(deflate),
            keepalive: Keepalive::new(config, Instant::now()),
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
                    AbortReason::Exception | AbortReason::Protocol => Outcome::AppFailed,
                    AbortReason::Cancelled | AbortReason::NotStarted => Outcome::WorkerDied,
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

    /// Takes what the client has sent. `false`: there is more.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        self.paused_until.take_if(|until| *until <= now);
        // What came while the worker had no room for it, or together with the head.
        self.understand(now);
        for _ in 0..READS_PER_TURN {
            if !self.reads() {
                return Ok(true);
            }
            match self.down.poll_fill(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Ok(1..)) => {
                    self.keepalive.heard(now);
                    self.understand(now);
                }
                Poll::Ready(Ok(0) | Err(_)) => return Err(self.gone()),
            }
        }
        Ok(false)
    }

    fn reads(&self) -> bool {
        match self.stage {
            Stage::Open => !self.blocked && self.paused_until.is_none(),
            Stage::Closing { .. } => true,
            Stage::Parting { .. } => false,
        }
    }

    /// The client is not there any more.
    fn gone(&mut self) -> End {
        if self.stage == Stage::Open {
            self.line.close(close::ABNORMAL, "");
            self.outcome = Outcome::ClientGone;
        }
        End::Closed(self.outcome)
    }

    /// Makes messages of the bytes that are there.
    fn understand(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Parting { .. }) || self.paused_until.is_some() {
            return;
        }
        // Taken out, so that what is written can go to the same client.
        let mut input = std::mem::take(self.down.input());
        let mut at = 0;
        self.blocked = false;
        loop {
            // After our close frame messages are read only to find the client's, and go nowhere.
            let open = self.stage == Stage::Open;
            let room = if open { self.line.room() } else { usize::MAX };
            let (used, item) = match self.reader.next(&mut input[at..], room) {
                Ok(next) => next,
                Err(violation) => {
                    self.violated(violation, now);
                    at = input.len();
                    break;
                }
            };
            at += used;
            match item {
                None => break,
                Some(Item::Part { text, last, bytes }) if open => {
                    self.line.message(text, last, bytes);
                    self.empty = if bytes.is_empty() { self.empty + 1 } else { 0 };
                    if self.empty >= EMPTY_MAX {
                        self.empty = 0;
                        self.paused_until = Some(now + EMPTY_PAUSE);
                        break;
                    }
                }
                Some(Item::Ping(payload)) if open => self.pong = Some(payload.to_vec()),
                Some(Item::Part { .. } | Item::Ping(_) | Item::Pong) => {}
                Some(Item::Full) => {
                    self.blocked = true;
                    break;
                }
                Some(Item::Close { code, reason }) => {
                    if open {
                        self.line.close(code, reason);
                        Writer::close(code, "", self.down.output());
                    }
                    self.part(now);
                    at = input.len();
                    break;
                }
            }
        }
        input.advance(at);
        *self.down.input() = input;
    }

    /// The client has broken a rule: it is told which, and nothing more of it is read.
    fn violated(&mut self, violation: Violation, now: Instant) {
        let Violation { code, reason } = violation;
        debug!(code, reason, "WebSocket client broke the protocol");
        if self.stage == Stage::Open {
            self.outcome = Outcome::Refused;
            self.line.close(code, reason);
            Writer::close(code, reason, self.down.output());
        }
        self.part(now);
    }

    fn part(&mut self, now: Instant) {
        self.pong = None;
        self.stage = Stage::Parting {
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
