//! The worker's end of a WebSocket.

use std::sync::Arc;

use websocket::close;
use wire::{
    frame::{self, Kind, MESSAGE_COST, MORE, TEXT, WINDOW},
    websocket::Close,
};

use crate::app::{
    App,
    call::Call,
    dispatcher::{CallId, LinkIndex},
};

/// The stream to the worker. What is said on it is gathered until it is [sent](Line::send). When it is dropped before
/// either side has closed it, the client is gone.
pub(super) struct Line<'a> {
    app: &'a App,
    id: CallId,
    call: Arc<Call>,
    /// Where it is for the rest of its life: an accepted request never moves.
    place: Option<(LinkIndex, u32)>,
    /// What messages may take that are sent now.
    credit: u64,
    /// What messages took that came, and that may come again.
    owed: u32,
    frames: Vec<u8>,
    over: bool,
}

/// What is owed is granted from here on: a frame for every message would be many.
const GRANT_BYTES_MIN: u32 = WINDOW / 4;

impl<'a> Line<'a> {
    pub(super) fn new(app: &'a App, id: CallId, call: Arc<Call>) -> Self {
        Self {
            place: app.turn(|state, _| state.dispatcher.place(id)),
            app,
            id,
            call,
            credit: u64::from(WINDOW),
            owed: 0,
            frames: Vec::new(),
            over: false,
        }
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    /// Bytes of one message that may be sent now.
    pub(super) fn room(&self) -> usize {
        let bytes = self.credit.saturating_sub(u64::from(MESSAGE_COST));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(super) fn credited(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(u64::from(bytes));
    }

    /// A message, or a part of one.
    pub(super) fn message(&mut self, text: bool, last: bool, bytes: &[u8]) {
        let stream = self.place.map_or(0, |(_, stream)| stream);
        let flags = if text { TEXT } else { 0 } | if last { 0 } else { MORE };
        let cost = bytes.len() as u64 + u64::from(MESSAGE_COST);
        self.credit = self.credit.saturating_sub(cost);
        frame::put(&mut self.frames, stream, Kind::Message, flags, bytes);
    }

    /// So many bytes of a message of the worker's are on their way to the client.
    pub(super) fn taken(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.owed = self.owed.saturating_add(bytes.saturating_add(MESSAGE_COST));
    }

    /// The worker has closed, or is gone.
    pub(super) fn ended(&mut self) {
        self.over = true;
        self.forget();
    }

    /// The worker does not keep to the protocol: its link is closed.
    pub(super) fn break_off(&mut self) {
        self.over = true;
        self.app.give_up(self.id);
    }

    /// Says that the client's side is closed; nothing follows.
    pub(super) fn close(&mut self, code: u16, reason: &str) {
        if self.over {
            return;
        }
        let stream = self.place.map_or(0, |(_, stream)| stream);
        let open = frame::begin(&mut self.frames, stream, Kind::Close, 0);
        Close {
            code,
            reason: close::cut(reason),
        }
        .encode(&mut self.frames);
        frame::finish(&mut self.frames, open);
        self.over = true;
        self.send(false);
        self.forget();
    }

    /// Sends what was gathered. `drained`: the client has taken all that it was given.
    pub(super) fn send(&mut self, drained: bool) {
        let grant = if drained && !self.over && self.owed >= GRANT_BYTES_MIN {
            std::mem::take(&mut self.owed)
        } else {
            0
        };
        if grant > 0 {
            self.call.granted(grant);
        } else if self.frames.is_empty() {
            return;
        }
        // An idle WebSocket keeps no room for the next one.
        let frames = std::mem::take(&mut self.frames);
        self.app.turn(|state, _| {
            // A link that is gone takes nothing, and its index may be another's.
            if let Some((index, stream)) = state.dispatcher.place(self.id)
                && self.place == Some((index, stream))
            {
                state.write(index, |outbox| {
                    outbox.frames(&frames);
                    if grant > 0 {
                        outbox.credit(stream, grant);
                    }
                });
            }
        });
    }

    fn forget(&self) {
        self.app
            .turn(|state, now_ns| state.dispatcher.abandon(self.id, now_ns));
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.close(close::ABNORMAL, "");
    }
}
