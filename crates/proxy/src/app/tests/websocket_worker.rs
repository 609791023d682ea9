//! What the worker of the tests does with WebSockets, by their path.

use std::{collections::VecDeque, sync::atomic::Ordering};

use wire::{
    frame::{self, AbortReason, END, Header, Kind, MESSAGE_COST, MORE, TEXT, WINDOW},
    request::HeadersWriter,
    response::Response,
    websocket::{Accept, Close},
};

use super::worker::Worker;

/// An accepted WebSocket.
pub(super) struct Socket {
    path: String,
    /// The message that is coming.
    message: Vec<u8>,
    /// What waits to be sent: text, bytes.
    waiting: VecDeque<(bool, Vec<u8>)>,
    /// How much of the first of those was sent.
    sent: usize,
    credit: u64,
    /// What messages took that was not granted.
    held: usize,
}

impl Worker {
    pub(super) fn websocket(&mut self, stream: u32, path: &str) {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        let mut subprotocol = "";
        match path {
            "/deny" => return self.deny(stream, 403),
            "/deny-200" => return self.deny(stream, 200),
            "/raise" => return self.abort(stream, AbortReason::Exception),
            "/silent" => return,
            "/chat" => {
                subprotocol = "chat";
                fields.push(("X-Fine", "yes"));
                fields.push(("Sec-WebSocket-Accept", "forged"));
                fields.push(("Connection", "close"));
            }
            "/unasked" => subprotocol = "unasked",
            _ => {}
        }
        let open = frame::begin(&mut self.out, stream, Kind::Accept, 0);
        let mut headers: HeadersWriter = Accept::encode(subprotocol.as_bytes(), &mut self.out);
        for (name, value) in fields {
            headers.put(&mut self.out, name.as_bytes(), value.as_bytes());
        }
        headers.finish(&mut self.out);
        frame::finish(&mut self.out, open);
        let mut socket = Socket {
            path: path.to_owned(),
            message: Vec::new(),
            waiting: VecDeque::new(),
            sent: 0,
            credit: u64::from(WINDOW),
            held: 0,
        };
        if path == "/flood" {
            socket
                .waiting
                .extend((0..64).map(|_| (false, vec![b'x'; 100_000])));
        }
        if path == "/tiny" {
            socket.waiting.extend((0..20_000).map(|_| (false, vec![b'x'])));
        }
        self.sockets.insert(stream, socket);
        self.websocket_send(stream);
    }

    fn deny(&mut self, stream: u32, status: u16) {
        let open = frame::begin(&mut self.out, stream, Kind::Response, END);
        Response::encode(status, b"", &mut self.out).finish(&mut self.out);
        self.out.extend_from_slice(b"denied");
        frame::finish(&mut self.out, open);
    }

    /// `false`: it dies.
    pub(super) fn websocket_message(&mut self, header: Header, payload: &[u8]) -> bool {
        let stream = header.stream;
        let Some(socket) = self.sockets.get_mut(&stream) else {
            return true;
        };
        let (text, whole) = (header.has(TEXT), !header.has(MORE));
        let cost = payload.len() + MESSAGE_COST as usize;
        if socket.path == "/stuck" {
            socket.held += cost;
            self.seen.ungranted.store(socket.held, Ordering::SeqCst);
            return true;
        }
        let granted = (cost as u32).to_le_bytes();
        frame::put(&mut self.out, stream, Kind::Credit, 0, &granted);
        socket.message.extend_from_slice(payload);
        if !whole {
            return true;
        }
        let message = std::mem::take(&mut socket.message);
        self.seen
            .messages
            .lock()
            .expect("lock")
            .push((text, message.clone()));
        match (socket.path.as_str(), message.as_slice()) {
            (_, b"die") => return false,
            (_, b"raise") => {
                self.sockets.remove(&stream);
                self.abort(stream, AbortReason::Exception);
            }
            (_, b"break") => self.answer(stream, &[], b"", false),
            (_, b"close") => {
                socket.waiting.push_back((true, b"last words".to_vec()));
                self.websocket_send(stream);
                self.end(stream, 4001, "enough");
            }
            ("/quiet", _) => {}
            _ => {
                socket.waiting.push_back((text, message));
                self.websocket_send(stream);
            }
        }
        true
    }

    pub(super) fn websocket_credit(&mut self, stream: u32, credit: u64) {
        if let Some(socket) = self.sockets.get_mut(&stream) {
            socket.credit += credit;
            self.websocket_send(stream);
        }
    }

    pub(super) fn websocket_close(&mut self, stream: u32, payload: &[u8]) {
        let Close { code, reason } = Close::decode(payload).expect("well-formed");
        self.seen
            .closes
            .lock()
            .expect("lock")
            .push((code, reason.to_owned()));
        let deaf = self
            .sockets
            .remove(&stream)
            .is_none_or(|socket| socket.path == "/deaf");
        if !deaf {
            let open = frame::begin(&mut self.out, stream, Kind::Close, END);
            Close {
                code: 1000,
                reason: "",
            }
            .encode(&mut self.out);
            frame::finish(&mut self.out, open);
        }
    }

    fn end(&mut self, stream: u32, code: u16, reason: &str) {
        self.sockets.remove(&stream);
        let open = frame::begin(&mut self.out, stream, Kind::Close, END);
        Close { code, reason }.encode(&mut self.out);
        frame::finish(&mut self.out, open);
    }

    fn websocket_send(&mut self, stream: u32) {
        let Some(socket) = self.sockets.get_mut(&stream) else {
            return;
        };
        while let Some((text, message)) = socket.waiting.front() {
            let rest = &message[socket.sent..];
            let room = socket.credit.saturating_sub(u64::from(MESSAGE_COST)) as usize;
            if socket.credit < u64::from(MESSAGE_COST) || room == 0 && !rest.is_empty() {
                self.seen.stopped.fetch_add(1, Ordering::SeqCst);
                return;
            }
            let part = &rest[..rest.len().min(room)];
            let last = part.len() == rest.len();
            let flags = if *text { TEXT } else { 0 } | if last { 0 } else { MORE };
            frame::put(&mut self.out, stream, Kind::Message, flags, part);
            socket.credit -= part.len() as u64 + u64::from(MESSAGE_COST);
            socket.sent += part.len();
            if last {
                socket.waiting.pop_front();
                socket.sent = 0;
            }
        }
    }
}
