//! Sockets that applications are given, as they should be and otherwise.

use std::{
    fs::File,
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixStream},
    },
};

use wire::{
    frame::{self, AbortReason, Kind},
    request::Request,
};

use super::Worker;

impl Worker {
    /// What a path says: a socket whose other end is the test's, or a fault.
    pub(super) fn bridge(&mut self, stream: u32, path: &str, request: &Request<'_>) {
        match path {
            "/bridge-never" => return self.answer(stream, &[], b"plain", true),
            "/bridge-file" => return self.give(stream, &tempfile::tempfile().expect("a file")),
            "/bridge-datagram" => {
                let (socket, _) = UnixDatagram::pair().expect("socketpair");
                return self.give(stream, &File::from(OwnedFd::from(socket)));
            }
            _ => {}
        }
        if path != "/bridge-unasked" {
            let sent = |name: &[u8]| request.headers.iter().any(|(other, _)| other == name);
            assert!(request.websocket && request.method == b"GET");
            assert!(sent(b"upgrade") && sent(b"connection") && sent(b"sec-websocket-key"));
        }
        for _ in 0..if path == "/bridge-twice" { 2 } else { 1 } {
            let (ours, theirs) = UnixStream::pair().expect("socketpair");
            self.give(stream, &File::from(OwnedFd::from(theirs)));
            self.seen.bridges.lock().expect("lock").push(ours);
        }
        match path {
            "/bridge-answer" => self.answer(stream, &[], b"plain", true),
            "/bridge-raise" => self.abort(stream, AbortReason::Exception),
            "/bridge-lie" => self.abort(stream, AbortReason::Switched),
            "/bridge-quick" => {
                // The thread that answers a close is behind the one that runs the request.
                self.flush();
                std::thread::sleep(std::time::Duration::from_millis(300));
                self.abort(stream, AbortReason::Switched);
            }
            _ => {}
        }
    }

    fn give(&mut self, stream: u32, file: &File) {
        self.flush();
        let mut frame = Vec::new();
        frame::put(&mut frame, stream, Kind::Socket, 0, &[]);
        self.send_file(&frame, file);
    }
}
