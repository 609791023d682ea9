//! The messages of one WebSocket, both ways, within the windows of the frames.

use std::{collections::VecDeque, sync::Arc};

use pyo3::{prelude::*, types::PyBytes};
use wire::{
    frame::{self, END, Kind, MESSAGE_COST, MORE, TEXT, WINDOW},
    websocket::Close,
};

use crate::engine::link::Link;

/// Most bytes of a message in one frame.
const FRAME: u64 = 256 << 10;

/// What is owed is granted from here on: a frame for every message would be one more for the proxy to look at. The rest of the
/// window stays with the client all the time, so nothing waits for a grant that does not come.
const GRANT_BYTES_MIN: usize = WINDOW as usize / 4;

/// A message of the client.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: bool,
    /// What its last part took of the window, which is owed to the client when the application takes it.
    cost: usize,
}

/// What both sides have said and the other has not taken yet.
#[derive(Debug)]
pub(crate) struct Conversation {
    link: Arc<Link>,
    stream: u32,
    arrived: VecDeque<Message>,
    /// Parts of a message that is not complete.
    partial: Vec<u8>,
    /// What messages took that came, and may come again.
    owed: usize,
    /// Messages that wait for credit, the first from a position on.
    leaving: VecDeque<(Py<PyBytes>, bool)>,
    at: usize,
    credit: u64,
    /// How it ends when all has left.
    end: Option<(u16, String)>,
    over: bool,
}

impl Conversation {
    pub(crate) fn new(link: &Arc<Link>, stream: u32) -> Self {
        Self {
            link: Arc::clone(link),
            stream,
            arrived: VecDeque::new(),
            partial: Vec::new(),
            owed: 0,
            leaving: VecDeque::new(),
            at: 0,
            credit: u64::from(WINDOW),
            end: None,
            over: false,
        }
    }

    /// A message has come, or a part of one. A part is owed at once, or a message larger than the window could never end.
    pub(crate) fn arrive(&mut self, bytes: Vec<u8>, text: bool, more: bool) {
        let cost = bytes.len() + MESSAGE_COST as usize;
        if more {
            self.partial.extend_from_slice(&bytes);
            self.owe(cost);
            return;
        }
        let bytes = if self.partial.is_empty() {
            bytes
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(&bytes);
            whole
        };
        self.arrived.push_back(Message { bytes, text, cost });
    }

    /// The next message for the application.
    pub(crate) fn take(&mut self) -> Option<Message> {
        let message = self.arrived.pop_front()?;
        self.owe(message.cost);
        Some(message)
    }

    /// So much may come again.
    fn owe(&mut self, cost: usize) {
        self.owed += cost;
        if self.owed < GRANT_BYTES_MIN || self.over {
            return;
        }
        // What does not fit stays owed.
        let grant = u32::try_from(self.owed).unwrap_or(u32::MAX);
        self.owed -= grant as usize;
        self.link.put(None, |out| {
            frame::put(out, self.stream, Kind::Credit, 0, &grant.to_le_bytes())
        });
    }

    /// A message of the application.
    pub(crate) fn say(&mut self, py: Python<'_>, bytes: Bound<'_, PyBytes>, text: bool) {
        if self.over {
            return;
        }
        self.leaving.push_back((bytes.unbind(), text));
        self.pump(py);
    }

    /// So much more may be sent.
    pub(crate) fn grant(&mut self, py: Python<'_>, bytes: u32) {
        self.credit = self.credit.saturating_add(u64::from(bytes));
        self.pump(py);
    }

    /// The application closes; what it said before leaves first.
    pub(crate) fn close(&mut self, py: Python<'_>, code: u16, reason: &str) {
        if self.end.is_none() {
            self.end = Some((code, reason.to_owned()));
            self.pump(py);
        }
    }

    /// Nobody takes what has not left yet.
    pub(crate) fn drop_leaving(&mut self) {
        self.leaving.clear();
        self.at = 0;
    }

    /// The stream ends by another frame.
    pub(crate) fn set_over(&mut self) {
        self.over = true;
        self.drop_leaving();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Sends what waits, as far as there is credit, and the end when all of it has left.
    fn pump(&mut self, py: Python<'_>) {
        if self.over {
            return;
        }
        while let Some((bytes, text)) = self.leaving.front() {
            let rest = bytes.as_bytes(py).get(self.at..).unwrap_or_default();
            let cost = u64::from(MESSAGE_COST);
            let room = self.credit.saturating_sub(cost).min(FRAME).min(rest.len() as u64);
            if self.credit < cost || room == 0 && !rest.is_empty() {
                return;
            }
            let part = &rest[..usize::try_from(room).unwrap_or(0)];
            let whole = part.len() == rest.len();
            let flags = if *text { TEXT } else { 0 } | if whole { 0 } else { MORE };
            self.link.put(None, |out| {
                frame::put(out, self.stream, Kind::Message, flags, part)
            });
            self.credit -= room + cost;
            if whole {
                self.at = 0;
                self.leaving.pop_front();
            } else {
                self.at += part.len();
            }
        }
        if let Some((code, reason)) = &self.end {
            self.link.put(None, |out| {
                let open = frame::begin(out, self.stream, Kind::Close, END);
                Close { code: *code, reason }.encode(out);
                frame::finish(out, open);
            });
            self.over = true;
        }
    }
}
