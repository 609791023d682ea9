//! A worker in a thread: it speaks frames, claims in the page, and does what the path of a request says.

mod bridge;
mod trays;
mod uploads;

use std::{
    collections::HashMap,
    fs::File,
    io::{IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{FileExt, MetadataExt},
            net::UnixStream,
        },
    },
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};
use shm::Words;
use wire::{
    frame::{self, AbortReason, END, FileRange, INLINE_BODY_MAX, Kind, LENT, OVERDUE, Return, WINDOW},
    page::{ENTRY_LEN, Page},
    request::{HeadersWriter, Request},
    response::Response,
};

use super::websocket_worker::Socket;
use crate::app::LinkParts;

/// What the test can see of a worker.
#[derive(Default)]
pub(crate) struct Seen {
    /// Paths it has run.
    pub(super) run: Mutex<Vec<String>>,
    pub(super) cancelled: AtomicUsize,
    /// Of these, past their deadline.
    pub(super) overdue: AtomicUsize,
    /// Bytes of request bodies that may follow their requests.
    pub(super) fed: AtomicUsize,
    /// The most response bytes beyond what was granted when it stopped for credit.
    pub(super) stopped: AtomicUsize,
    /// Messages that have come on WebSockets: text or not, and the bytes.
    pub(crate) messages: Mutex<Vec<(bool, Vec<u8>)>>,
    /// How WebSockets were closed by the proxy.
    pub(crate) closes: Mutex<Vec<(u16, String)>>,
    /// Files that were lent: their inode, and the file where the worker has kept it.
    pub(super) lent: Mutex<Vec<(u64, Option<File>)>>,
    /// Trays that were given back.
    pub(super) returned: Mutex<Vec<u32>>,
    /// The application's ends of the sockets that it was given.
    pub(super) bridges: Mutex<Vec<UnixStream>>,
    /// Bytes of messages that were never granted.
    pub(super) ungranted: AtomicUsize,
}

pub(super) struct Worker {
    socket: UnixStream,
    page: Words,
    pub(super) seen: Arc<Seen>,
    /// Data that waits for credit: stream, what may be sent, what is left.
    streaming: HashMap<u32, (u64, u64)>,
    pub(super) sockets: HashMap<u32, Socket>,
    pub(super) out: Vec<u8>,
    uploads: HashMap<u32, uploads::Upload>,
    trays: Vec<trays::Own>,
}

/// Starts a worker; it ends with its link.
pub(crate) fn start(link: u64, seen: &Arc<Seen>) -> LinkParts {
    let (ours, theirs) = UnixStream::pair().expect("socketpair");
    let page = memfd_create("page", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd");
    ftruncate(&page, 128 * ENTRY_LEN as u64).expect("ftruncate");
    fcntl_add_seals(&page, SealFlags::SHRINK).expect("seal");
    let worker = Worker {
        socket: theirs,
        page: Words::map(&page).expect("map"),
        seen: Arc::clone(seen),
        streaming: HashMap::new(),
        sockets: HashMap::new(),
        uploads: HashMap::new(),
        trays: Vec::new(),
        out: Vec::new(),
    };
    std::thread::spawn(move || worker.run());
    LinkParts {
        link,
        slot: link as u32,
        pid: 4711,
        evented: false,
        concurrency: 64,
        socket: OwnedFd::from(ours),
        page,
    }
}

impl Worker {
    fn run(mut self) {
        let mut buffer = Vec::new();
        let mut files = Vec::new();
        loop {
            let mut chunk = vec![0; 64 << 10];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let got = recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut chunk)],
                &mut control,
                RecvFlags::empty(),
            );
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    files.extend(rights.map(File::from));
                }
            }
            match got {
                Ok(received) if received.bytes > 0 => buffer.extend_from_slice(&chunk[..received.bytes]),
                _ => return,
            }
            while let Some((frame, used)) = frame::split(&buffer).expect("well-formed") {
                let (header, payload) = (frame.header, frame.payload.to_vec());
                buffer.drain(..used);
                let file = header.carries_descriptor().then(|| files.remove(0));
                if !self.take(header, &payload, file) {
                    return;
                }
            }
            let out = std::mem::take(&mut self.out);
            if self.socket.write_all(&out).is_err() {
                return;
            }
        }
    }

    /// `false`: it dies.
    fn take(&mut self, header: frame::Header, payload: &[u8], file: Option<File>) -> bool {
        match header.kind {
            Kind::Request => return self.request(header, payload, file),
            Kind::Body => return self.body(header.stream, payload, header.has(END)),
            Kind::Credit => {
                let credit = u32::from_le_bytes(payload.try_into().expect("four bytes"));
                if let Some((may, _)) = self.streaming.get_mut(&header.stream) {
                    *may += u64::from(credit);
                }
                self.stream(header.stream);
                self.websocket_credit(header.stream, u64::from(credit));
                self.write_on(header.stream, u64::from(credit));
            }
            Kind::Return => self.returned(payload),
            Kind::Message => return self.websocket_message(header, payload),
            Kind::Close => self.websocket_close(header.stream, payload),
            Kind::Cancel => {
                self.seen.cancelled.fetch_add(1, Ordering::SeqCst);
                if header.has(OVERDUE) {
                    self.seen.overdue.fetch_add(1, Ordering::SeqCst);
                }
                self.uploads.remove(&header.stream);
                self.streaming.remove(&header.stream);
                self.abort(header.stream, AbortReason::Cancelled);
            }
            kind => panic!("{kind:?} from the proxy"),
        }
        true
    }

    fn request(&mut self, header: frame::Header, payload: &[u8], file: Option<File>) -> bool {
        let stream = header.stream;
        let (payload, ticket) = match payload.split_last_chunk::<4>() {
            Some((payload, ticket)) if header.has(LENT) => (payload, Some(u32::from_le_bytes(*ticket))),
            _ => (payload, None),
        };
        let (request, inline) = Request::decode(payload).expect("well-formed");
        let path = String::from_utf8_lossy(request.path).into_owned();
        if let (Some(ticket), Some(file)) = (ticket, &file) {
            let inode = file.metadata().expect("stat").ino();
            let kept = (path == "/echo-kept").then(|| file.try_clone().expect("dup"));
            if kept.is_none() && path != "/die" {
                let shared = path == "/echo-forked";
                let back = Return { ticket, shared };
                frame::put(&mut self.out, 0, Kind::Return, 0, &back.encode());
            }
            self.seen.lent.lock().expect("lock").push((inode, kept));
        }
        if path == "/unclaimed" {
            return true;
        }
        if path == "/die-first" {
            return false;
        }
        if !Page::new(self.page.words()).claim(request.entry, stream, super::super::now_ns(), 99) {
            return true;
        }
        if path == "/give-back" && self.seen.run.lock().expect("lock").is_empty() {
            self.seen.run.lock().expect("lock").push("gave back".to_owned());
            self.abort(stream, AbortReason::NotStarted);
            return true;
        }
        self.seen.run.lock().expect("lock").push(path.clone());
        if path.starts_with("/bridge") {
            self.bridge(stream, &path, &request);
            return true;
        }
        if request.websocket {
            self.websocket(stream, &path);
            return true;
        }
        if !header.has(END) || uploads::PATHS.contains(&path.as_str()) {
            assert!(inline.len() <= INLINE_BODY_MAX && file.is_none());
            return self.upload(header, &path, request.content_length, inline);
        }
        match path.as_str() {
            "/hints" => {
                let open = frame::begin(&mut self.out, stream, Kind::Informational, 0);
                let mut headers = Response::encode(103, b"", &mut self.out);
                headers.put(&mut self.out, b"Link", b"</style.css>; rel=preload");
                headers.finish(&mut self.out);
                frame::finish(&mut self.out, open);
                self.answer(stream, &[], b"hello", true);
            }
            "/head-only" => self.answer(stream, &[], b"", false),
            "/trailers" | "/trailers-sized" => {
                let fields = [("Trailer", "X-Sum"), ("Content-Length", "5")];
                let fields = if path == "/trailers" {
                    &fields[..1]
                } else {
                    &fields
                };
                self.answer(stream, fields, b"hello", false);
                let open = frame::begin(&mut self.out, stream, Kind::Trailers, END);
                let mut headers = HeadersWriter::begin(&mut self.out);
                for name in ["X-Sum", "Content-Length", "Set-Cookie", "Transfer-Encoding"] {
                    headers.put(&mut self.out, name.as_bytes(), b"5");
                }
                headers.finish(&mut self.out);
                frame::finish(&mut self.out, open);
            }
            "/die" => return false,
            "/hang" => {}
            "/exception" => self.abort(stream, AbortReason::Exception),
            "/echo" | "/echo-kept" | "/echo-forked" => {
                let mut body = inline.to_vec();
                if let Some(file) = file {
                    body.resize(request.content_length as usize, 0);
                    file.read_exact_at(&mut body, 0).expect("whole body");
                }
                assert_eq!(body.len() as u64, request.content_length);
                let sum = body.iter().map(|&byte| u64::from(byte)).sum::<u64>();
                self.answer(stream, &[], format!("{} {sum}", body.len()).as_bytes(), true);
            }
            "/head" => {
                let mut text = format!(
                    "{} {} {:?} {:?} ",
                    request.version,
                    String::from_utf8_lossy(request.target),
                    String::from_utf8_lossy(request.mount),
                    String::from_utf8_lossy(request.server),
                );
                for (name, value) in request.headers.iter() {
                    text += &format!(
                        "{}={};",
                        String::from_utf8_lossy(name),
                        String::from_utf8_lossy(value)
                    );
                }
                self.answer(stream, &[], text.as_bytes(), true);
            }
            "/short" => self.answer(stream, &[("Content-Length", "100")], b"short", true),
            "/long" => self.answer(stream, &[("Content-Length", "4")], b"longer", true),
            "/bad" => self.answer(
                stream,
                &[("Content-Length", "1"), ("Content-Length", "2")],
                b"",
                true,
            ),
            "/file" => {
                self.answer(stream, &[("Content-Length", "12")], b"<<", false);
                let file = memfd_create("file", MemfdFlags::CLOEXEC)
                    .map(File::from)
                    .expect("memfd");
                file.write_all_at(b"0123456789abcdef", 0).expect("write");
                self.flush();
                let range = FileRange { offset: 4, len: 8 }.encode();
                let mut frame = Vec::new();
                frame::put(&mut frame, stream, Kind::File, 0, &range);
                self.send_file(&frame, &file);
                frame::put(&mut self.out, stream, Kind::Data, END, b">>");
            }
            "/die-late" => {
                self.answer(stream, &[], b"begun", false);
                self.flush();
                return false;
            }
            "/drip" => {
                self.answer(stream, &[], b"first", false);
            }
            // Everything once more behind the end of the answer.
            "/late" => {
                self.answer(stream, &[], b"hello", true);
                self.answer(stream, &[], b"again", false);
                frame::put(&mut self.out, stream, Kind::Data, 0, b"more");
                self.flush();
                let file = memfd_create("file", MemfdFlags::CLOEXEC)
                    .map(File::from)
                    .expect("memfd");
                let mut frame = Vec::new();
                let range = FileRange { offset: 0, len: 0 }.encode();
                frame::put(&mut frame, stream, Kind::File, 0, &range);
                self.send_file(&frame, &file);
                self.abort(stream, AbortReason::Exception);
                return self.lay(stream, "/tray/70000/3");
            }
            path if path.starts_with("/tray") => return self.lay(stream, path),
            path => {
                if let Some(len) = path.strip_prefix("/stream/") {
                    self.answer(stream, &[], b"", false);
                    self.streaming
                        .insert(stream, (u64::from(WINDOW), len.parse().expect("length")));
                    self.stream(stream);
                } else {
                    self.answer(stream, &[("Content-Type", "text/plain")], b"hello", true);
                }
            }
        }
        true
    }

    fn stream(&mut self, stream: u32) {
        let Some((may, left)) = self.streaming.get_mut(&stream) else {
            return;
        };
        while *may > 0 && *left > 0 {
            let len = (*may).min(*left).min(16 << 10);
            *may -= len;
            *left -= len;
            let end = if *left == 0 { END } else { 0 };
            frame::put(&mut self.out, stream, Kind::Data, end, &vec![b'x'; len as usize]);
        }
        if *left == 0 {
            self.streaming.remove(&stream);
        } else {
            self.seen.stopped.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn answer(&mut self, stream: u32, fields: &[(&str, &str)], body: &[u8], end: bool) {
        let open = frame::begin(&mut self.out, stream, Kind::Response, if end { END } else { 0 });
        let mut headers = Response::encode(200, b"OK", &mut self.out);
        for (name, value) in fields {
            headers.put(&mut self.out, name.as_bytes(), value.as_bytes());
        }
        headers.finish(&mut self.out);
        self.out.extend_from_slice(body);
        frame::finish(&mut self.out, open);
    }

    pub(super) fn abort(&mut self, stream: u32, reason: AbortReason) {
        frame::put(&mut self.out, stream, Kind::Abort, 0, &[reason as u8]);
    }

    fn flush(&mut self) {
        self.socket
            .write_all(&std::mem::take(&mut self.out))
            .expect("write");
    }

    fn send_file(&mut self, frame: &[u8], file: &File) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&files));
        let sent = sendmsg(
            &self.socket,
            &[IoSlice::new(frame)],
            &mut control,
            SendFlags::NOSIGNAL,
        );
        assert_eq!(sent.expect("send"), frame.len());
    }
}
