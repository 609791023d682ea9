//! The proxy's end of a link.

use std::{
    collections::HashMap,
    io::IoSliceMut,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use wire::{
    frame::{self, AbortReason, FileRange, Header, Kind, Return, TRAYS_MAX, Tray},
    page::{ENTRY_LEN, ENTRY_WORDS, Page},
    request::{Headers, HeadersWriter, LENGTH_UNKNOWN, Request},
    response::{Response, Trailers},
    websocket::{Accept, Close},
};

use crate::rig::send;

/// Entries of the page; a stream takes the one of its number.
pub(crate) const ENTRIES: usize = 64;

/// What a stream has given so far.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) files: Vec<(OwnedFd, FileRange)>,
    pub(crate) frames: usize,
    pub(crate) over: bool,
    pub(crate) aborted: Option<AbortReason>,
    pub(crate) hints: Vec<Vec<u8>>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_slice())
    }
}

/// The proxy's end of a link.
pub(crate) struct Link {
    pub(crate) socket: OwnedFd,
    pub(crate) page: OwnedFd,
    pub(crate) buffer: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
    pub(crate) trays: Trays,
}

/// The trays of a link.
#[derive(Default)]
pub(crate) struct Trays {
    /// By number.
    pub(crate) files: [Option<OwnedFd>; TRAYS_MAX as usize],
    /// What was laid, in order.
    pub(crate) laid: Vec<Tray>,
    /// Numbers of those that were not given back.
    pub(crate) lent: Vec<u32>,
    /// They are not given back at once.
    pub(crate) kept: bool,
}

/// A request in words.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    pub(crate) file: Option<(OwnedFd, u64)>,
    /// The file is lent under this number.
    pub(crate) lent: Option<u32>,
    pub(crate) mount: &'a str,
    pub(crate) websocket: bool,
    /// The body goes on in Body frames.
    pub(crate) streamed: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            query: "",
            headers: &[("host", "example.org")],
            body: b"",
            file: None,
            lent: None,
            mount: "",
            websocket: false,
            streamed: false,
        }
    }
}

impl Link {
    /// Sends a request in the entry of the same number.
    pub(crate) fn ask(&self, stream: u32, ask: Ask<'_>) {
        let mut out = Vec::new();
        self.put(&mut out, stream, &ask);
        let descriptors: Vec<OwnedFd> = ask.file.into_iter().map(|(file, _)| file).collect();
        send(&self.socket, &out, &descriptors);
    }

    /// Appends a request's frame and marks the stream as sent.
    pub(crate) fn put(&self, out: &mut Vec<u8>, stream: u32, ask: &Ask<'_>) {
        self.enter(stream);
        let (body_len, flags) = match &ask.file {
            Some((_, len)) if ask.lent.is_some() => (*len, frame::END | frame::BODY_FD | frame::LENT),
            Some((_, len)) => (*len, frame::END | frame::BODY_FD),
            None if ask.streamed => (LENGTH_UNKNOWN, 0),
            None => (ask.body.len() as u64, frame::END),
        };
        let open = frame::begin(out, stream, Kind::Request, flags);
        Request {
            entry: u16::try_from(stream % ENTRIES as u32).expect("small"),
            version: 11,
            https: true,
            websocket: ask.websocket,
            tls_version: 0x0304,
            cipher_suite: 0x1301,
            deadline_ms: 30_000,
            content_length: body_len,
            method: ask.method.as_bytes(),
            path: ask.path.as_bytes(),
            mount: ask.mount.as_bytes(),
            query: ask.query.as_bytes(),
            target: ask.path.as_bytes(),
            client: b"192.0.2.7",
            client_port: 4711,
            server: b"example.org",
            server_port: 443,
            request_id: format!("id{stream}").as_bytes(),
            headers: Default::default(),
        }
        .encode(out);
        let mut headers = HeadersWriter::begin(out);
        for (name, value) in ask.headers {
            headers.put(out, name.as_bytes(), value.as_bytes());
        }
        let said = ask.headers.iter().any(|(name, _)| *name == "content-length");
        if body_len > 0 && body_len != LENGTH_UNKNOWN && !said {
            headers.put(out, b"content-length", body_len.to_string().as_bytes());
        }
        headers.finish(out);
        out.extend_from_slice(ask.body);
        if let Some(ticket) = ask.lent {
            out.extend_from_slice(&ticket.to_le_bytes());
        }
        frame::finish(out, open);
    }

    /// Marks the stream as sent in the page.
    fn enter(&self, stream: u32) {
        let words = [const { AtomicU64::new(0) }; ENTRY_WORDS];
        Page::new(&words).send(0, stream);
        self.store(stream, &words);
    }

    /// Takes a request back, as the proxy would have done before the worker looked.
    pub(crate) fn recall(&self, stream: u32) -> bool {
        let words = self.load(stream);
        let recalled = Page::new(&words).recall(0, stream);
        if recalled {
            self.store(stream, &words);
        }
        recalled
    }

    pub(crate) fn claimed(&self, stream: u32) -> bool {
        Page::new(&self.load(stream)).thread(0, stream).is_some()
    }

    fn store(&self, stream: u32, words: &[AtomicU64]) {
        let bytes: Vec<u8> = words
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .collect();
        let at = u64::from(stream) % ENTRIES as u64 * ENTRY_LEN as u64;
        rustix::io::pwrite(&self.page, &bytes, at).expect("the page");
    }

    fn load(&self, stream: u32) -> Vec<AtomicU64> {
        let mut bytes = [0u8; ENTRY_LEN];
        let at = u64::from(stream) % ENTRIES as u64 * ENTRY_LEN as u64;
        rustix::io::pread(&self.page, &mut bytes, at).expect("the page");
        bytes
            .chunks_exact(8)
            .map(|word| AtomicU64::new(u64::from_ne_bytes(word.try_into().expect("8 bytes"))))
            .collect()
    }

    pub(crate) fn tell(&self, stream: u32, kind: Kind, payload: &[u8]) {
        let mut out = Vec::new();
        frame::put(&mut out, stream, kind, 0, payload);
        send(&self.socket, &out, &[]);
    }

    pub(crate) fn tell_flags(&self, stream: u32, kind: Kind, flags: u8, payload: &[u8]) {
        let mut out = Vec::new();
        frame::put(&mut out, stream, kind, flags, payload);
        send(&self.socket, &out, &[]);
    }

    /// Asks for a WebSocket and waits until it is accepted; the subprotocol and the header fields.
    pub(crate) fn connect(&mut self, stream: u32, path: &str) -> (String, Vec<(String, Vec<u8>)>) {
        self.ask(
            stream,
            Ask {
                websocket: true,
                headers: &[
                    ("host", "example.org"),
                    ("sec-websocket-protocol", "chat, superchat"),
                ],
                ..Ask::get(path)
            },
        );
        let (header, payload, _) = self.frame().expect("the worker is alive");
        assert_eq!((header.kind, header.stream), (Kind::Accept, stream));
        let accept = Accept::decode(&payload).expect("an acceptance");
        let subprotocol = String::from_utf8_lossy(accept.subprotocol).into_owned();
        (subprotocol, fields(accept.headers))
    }

    pub(crate) fn message(&self, stream: u32, text: &str) {
        self.tell_flags(stream, Kind::Message, frame::TEXT, text.as_bytes());
    }

    /// The next message of a WebSocket, put together; grants what comes. `Err`: how it ended.
    pub(crate) fn hear(&mut self, stream: u32) -> Result<(Vec<u8>, bool), (u16, String)> {
        let mut whole = Vec::new();
        loop {
            let (header, payload, _) = self.frame().expect("the worker is alive");
            assert_eq!(header.stream, stream);
            match header.kind {
                Kind::Message => {
                    whole.extend_from_slice(&payload);
                    let len = u32::try_from(payload.len()).expect("small");
                    self.credit(stream, len + frame::MESSAGE_COST);
                    if !header.has(frame::MORE) {
                        return Ok((whole, header.has(frame::TEXT)));
                    }
                }
                Kind::Close => {
                    assert!(header.has(frame::END));
                    let close = Close::decode(&payload).expect("a close");
                    return Err((close.code, close.reason.to_owned()));
                }
                Kind::Credit => {}
                kind => panic!("{kind:?} from a worker"),
            }
        }
    }

    pub(crate) fn close(&self, stream: u32, code: u16, reason: &str) {
        let mut payload = Vec::new();
        Close { code, reason }.encode(&mut payload);
        self.tell(stream, Kind::Close, &payload);
    }

    pub(crate) fn credit(&self, stream: u32, bytes: u32) {
        self.tell(stream, Kind::Credit, &bytes.to_le_bytes());
    }

    /// The next frame, when it has been received already. What lies on a tray is as if it had come in the frame.
    pub(crate) fn buffered(&mut self) -> Option<(Header, Vec<u8>, Option<OwnedFd>)> {
        let (frame, used) = frame::split(&self.buffer).expect("frames")?;
        let (mut header, mut payload) = (frame.header, frame.payload.to_vec());
        self.buffer.drain(..used);
        let mut descriptor = header.carries_descriptor().then(|| self.descriptors.remove(0));
        if header.kind == Kind::Tray {
            header.kind = Kind::Data;
            payload = self.pick_up(Tray::decode(&payload).expect("a tray"), descriptor.take());
        }
        Some((header, payload, descriptor))
    }

    fn pick_up(&mut self, tray: Tray, new: Option<OwnedFd>) -> Vec<u8> {
        let number = tray.number;
        assert!(!self.trays.lent.contains(&number), "{number} is lent");
        let known = &mut self.trays.files[number as usize];
        assert_ne!(
            known.is_some(),
            new.is_some(),
            "{number} comes with its descriptor once"
        );
        *known = new.or(known.take());
        self.trays.lent.push(number);
        self.trays.laid.push(tray);
        let bytes = self.on_tray(tray);
        if !self.trays.kept {
            self.give_back(number);
        }
        bytes
    }

    /// What lies there now.
    pub(crate) fn on_tray(&self, tray: Tray) -> Vec<u8> {
        let mut bytes = vec![0; tray.len as usize];
        let file = self.trays.files[tray.number as usize].as_ref().expect("a tray");
        let read = rustix::io::pread(file, &mut bytes[..], 0).expect("the tray");
        assert_eq!(read, bytes.len());
        bytes
    }

    pub(crate) fn give_back(&mut self, number: u32) {
        self.trays.lent.retain(|other| *other != number);
        let (ticket, shared) = (number, false);
        self.tell(0, Kind::Return, &Return { ticket, shared }.encode());
    }

    /// The next frame, or `None` at the end of the link.
    pub(crate) fn frame(&mut self) -> Option<(Header, Vec<u8>, Option<OwnedFd>)> {
        loop {
            if let Some(frame) = self.buffered() {
                return Some(frame);
            }
            let mut bytes = vec![0; 64 << 10];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            let received = match received {
                // The worker ended with something of ours unread.
                Err(rustix::io::Errno::CONNRESET) => return None,
                received => received.expect("frames in time"),
            };
            for part in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = part {
                    self.descriptors.extend(rights);
                }
            }
            if received.bytes == 0 {
                return None;
            }
            self.buffer.extend_from_slice(&bytes[..received.bytes]);
        }
    }

    /// Reads until these streams are over; gives credit for what comes.
    pub(crate) fn answers(&mut self, streams: &[u32]) -> HashMap<u32, Answer> {
        let mut answers = HashMap::new();
        while !streams
            .iter()
            .all(|stream| answers.get(stream).is_some_and(|answer: &Answer| answer.over))
        {
            let (header, payload, descriptor) = self.frame().expect("the worker is alive");
            let answer = answers.entry(header.stream).or_default();
            let before = answer.body.len();
            answer.take(header, &payload, descriptor);
            let came = u32::try_from(answer.body.len() - before).expect("small");
            if came > 0 && !answer.over {
                self.credit(header.stream, came);
            }
        }
        answers
    }

    /// [`Link::answer_and_return`], when all that matters of the answer is its text.
    pub(crate) fn fetch_and_return(&mut self, stream: u32, ask: Ask<'_>) -> (String, Return) {
        let (answer, back) = self.answer_and_return(stream, ask);
        (answer.text(), back)
    }

    /// Asks and waits for the whole answer and for a file that comes back, in whatever order; gives credit for what comes.
    pub(crate) fn answer_and_return(&mut self, stream: u32, ask: Ask<'_>) -> (Answer, Return) {
        self.ask(stream, ask);
        let (mut answer, mut back) = (Answer::default(), None);
        while !answer.over || back.is_none() {
            let (header, payload, descriptor) = self.frame().expect("the worker is alive");
            if header.kind == Kind::Return {
                back = Some(Return::decode(&payload).expect("a return"));
            } else {
                let before = answer.body.len();
                answer.take(header, &payload, descriptor);
                let came = u32::try_from(answer.body.len() - before).expect("small");
                if came > 0 && !answer.over {
                    self.credit(stream, came);
                }
            }
        }
        (answer, back.expect("one has come"))
    }

    /// Asks and waits for the whole answer.
    pub(crate) fn fetch(&mut self, stream: u32, ask: Ask<'_>) -> Answer {
        self.ask(stream, ask);
        self.answers(&[stream]).remove(&stream).expect("an answer")
    }

    pub(crate) fn get(&mut self, stream: u32, path: &str) -> Answer {
        self.fetch(stream, Ask::get(path))
    }
}

impl Answer {
    pub(crate) fn take(&mut self, header: Header, payload: &[u8], descriptor: Option<OwnedFd>) {
        assert!(!self.over, "a frame after the end: {header:?}");
        self.frames += 1;
        self.over = header.has(frame::END);
        match header.kind {
            Kind::Response => {
                let (response, body) = Response::decode(payload).expect("a response");
                self.status = response.status;
                self.reason = String::from_utf8_lossy(response.reason).into_owned();
                self.headers = fields(response.headers);
                self.body.extend_from_slice(body);
            }
            Kind::Data => self.body.extend_from_slice(payload),
            Kind::File => {
                let range = FileRange::decode(payload).expect("a range");
                self.files.push((descriptor.expect("a descriptor"), range));
            }
            Kind::Abort => {
                self.aborted = Some(AbortReason::decode(payload).expect("a reason"));
                self.over = true;
            }
            Kind::Informational => {
                let response = Response::decode_informational(payload).expect("a response");
                assert_eq!(response.status, 103);
                self.hints
                    .extend(response.headers.iter().map(|(_, value)| value.to_vec()));
            }
            Kind::Trailers => {
                self.trailers = fields(Trailers::decode(payload).expect("trailers"));
            }
            // Bytes of the request's body that may be sent.
            Kind::Credit => self.frames -= 1,
            kind => panic!("{kind:?} from a worker"),
        }
    }
}

fn fields(headers: Headers<'_>) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
        .collect()
}
