//! What comes from the client.

use std::{
    mem,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use logs::Outcome;
use message::downstream::Downstream;
use tokio::time::Instant;
use tracing::debug;
use websocket::{Violation, close, reader::Item, writer::Writer};

use super::{Conversation, Stage};
use crate::app::websocket::{CLOSE_TIME, End, OUTPUT_BYTES_MAX};

/// Readings before the other tasks of the thread get their turn.
const READS_PER_TURN: usize = 8;

/// Messages without bytes cost their client nothing of the worker's credit, so so many in a row are followed by a pause.
const EMPTY_MAX: u32 = 1024;
const EMPTY_PAUSE: Duration = Duration::from_secs(1);

impl<D: Downstream> Conversation<'_, D> {
    /// Takes what the client has sent. `false`: there is more.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
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

    pub(super) fn reads(&self) -> bool {
        match self.stage {
            Stage::Open => !self.blocked && self.paused_until.is_none(),
            Stage::Closing { .. } => true,
            Stage::Parting { .. } => false,
        }
    }

    /// The client is not there any more.
    pub(super) fn gone(&mut self) -> End {
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
        let mut input = mem::take(self.down.input());
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
                Some(Item::Ping(payload)) if open => {
                    if self.down.output().len() < OUTPUT_BYTES_MAX {
                        Writer::pong(payload, self.down.output());
                        self.pong = None;
                    } else {
                        self.pong = Some(payload.to_vec());
                    }
                }
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
}
