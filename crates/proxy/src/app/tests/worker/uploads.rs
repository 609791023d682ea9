//! Requests whose body comes in frames of its own.

use std::sync::atomic::Ordering;

use wire::frame::{self, END, INLINE_BODY_MAX, Kind, WINDOW};

use super::Worker;

/// Paths that are for bodies, however they come.
pub(super) const PATHS: [&str; 4] = ["/upload", "/duplex", "/early", "/unread"];

/// What has come of one body.
pub(super) struct Upload {
    path: String,
    length: u64,
    bytes: u64,
    sum: u64,
    /// Bytes that may come before the next credit.
    window: u64,
    /// Answer bytes still to be written before anything is read.
    to_write: u64,
    may_write: u64,
}

impl Worker {
    /// `false`: it dies.
    pub(super) fn upload(&mut self, header: frame::Header, path: &str, length: u64, inline: &[u8]) -> bool {
        let (stream, whole) = (header.stream, header.has(END));
        let mut upload = Upload {
            path: path.to_owned(),
            length,
            bytes: 0,
            sum: 0,
            // What is in the request's own frame counts nothing.
            window: u64::from(WINDOW) + inline.len() as u64,
            to_write: 0,
            may_write: u64::from(WINDOW),
        };
        match path {
            "/early" => {
                self.answer(stream, &[], b"no thanks", true);
                return true;
            }
            "/duplex" => self.answer(stream, &[], b"", false),
            path => {
                if let Some(len) = path.strip_prefix("/write-first/") {
                    upload.to_write = len.parse().expect("length");
                    self.answer(stream, &[], b"", false);
                }
            }
        }
        self.uploads.insert(stream, upload);
        if !whole && path != "/unread" {
            // The application asks for what has not come.
            frame::put(&mut self.out, stream, Kind::Credit, 0, &[0; 4]);
        }
        self.write_on(stream, 0);
        if path == "/die-fed" && inline.len() < INLINE_BODY_MAX {
            self.seen.fed.fetch_add(inline.len(), Ordering::SeqCst);
            return true;
        }
        self.body(stream, inline, whole)
    }

    /// A piece of a body. `false`: it dies.
    pub(super) fn body(&mut self, stream: u32, bytes: &[u8], end: bool) -> bool {
        self.seen.fed.fetch_add(bytes.len(), Ordering::SeqCst);
        let Some(upload) = self.uploads.get_mut(&stream) else {
            // The answer was complete before.
            return true;
        };
        upload.bytes += bytes.len() as u64;
        upload.sum += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        assert!(bytes.len() as u64 <= upload.window, "more than granted");
        upload.window -= bytes.len() as u64;
        if upload.path == "/die-fed" {
            return false;
        }
        if upload.path == "/duplex" && (end || !bytes.is_empty()) {
            frame::put(
                &mut self.out,
                stream,
                Kind::Data,
                if end { END } else { 0 },
                bytes,
            );
        }
        if !matches!(upload.path.as_str(), "/unread") && upload.to_write == 0 {
            self.grant(stream);
        }
        if end {
            let Some(upload) = self.uploads.remove(&stream) else {
                return true;
            };
            let text = format!("{} {} {}", upload.bytes, upload.sum, upload.length as i64);
            match upload.path.as_str() {
                "/duplex" => {}
                path if path.starts_with("/write-first/") => {
                    frame::put(&mut self.out, stream, Kind::Data, END, text.as_bytes());
                }
                _ => self.answer(stream, &[], text.as_bytes(), true),
            }
        }
        true
    }

    /// The proxy takes more of an answer.
    pub(super) fn write_on(&mut self, stream: u32, credit: u64) {
        let Some(upload) = self.uploads.get_mut(&stream) else {
            return;
        };
        if upload.to_write == 0 {
            return;
        }
        upload.may_write += credit;
        while upload.to_write > 0 && upload.may_write > 0 {
            let len = upload.to_write.min(upload.may_write).min(16 << 10);
            upload.to_write -= len;
            upload.may_write -= len;
            frame::put(&mut self.out, stream, Kind::Data, 0, &vec![b'x'; len as usize]);
        }
        if upload.to_write == 0 {
            self.grant(stream);
        }
    }

    fn grant(&mut self, stream: u32) {
        if let Some(upload) = self.uploads.get_mut(&stream) {
            let owed = u64::from(WINDOW).saturating_sub(upload.window);
            if owed > 0 {
                upload.window += owed;
                frame::put(
                    &mut self.out,
                    stream,
                    Kind::Credit,
                    0,
                    &(owed as u32).to_le_bytes(),
                );
            }
        }
    }
}
