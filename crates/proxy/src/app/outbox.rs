//! Frames that wait to be written to a link.

use std::{fs::File, ops::Range, sync::Arc};

use wire::frame::{self, END, HEADER_LEN, Kind, OVERDUE, Return};

use super::{call::Call, dispatcher::LinkIndex};

/// Room kept for the next batch; what a burst needed beyond it is given back.
const ROOM_BYTES: usize = 64 << 10;

/// Frames, one after the other, and the descriptors that go with some of them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Where the frame begins that a descriptor belongs to.
    files: Vec<(usize, Arc<File>)>,
}

impl Outbox {
    /// Appends a request to this link.
    pub(super) fn request(&mut self, call: &Call, link: LinkIndex, stream: u32, entry: u16) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(call.frame());
        if let Some(field) = self.bytes.get_mut(at + 4..at + 8) {
            field.copy_from_slice(&stream.to_le_bytes());
        }
        if let Some(field) = self.bytes.get_mut(at + HEADER_LEN..at + HEADER_LEN + 2) {
            field.copy_from_slice(&entry.to_le_bytes());
        }
        if let Some(file) = call.hand_over(link) {
            self.files.push((at, Arc::clone(file)));
        }
    }

    /// Appends a cancellation.
    pub(super) fn cancel(&mut self, stream: u32, overdue: bool) {
        let flags = if overdue { OVERDUE } else { 0 };
        frame::put(&mut self.bytes, stream, Kind::Cancel, flags, &[]);
    }

    /// Appends a piece of a request's body. `end`: it is the last.
    pub(super) fn body(&mut self, stream: u32, bytes: &[u8], end: bool) {
        frame::put(
            &mut self.bytes,
            stream,
            Kind::Body,
            if end { END } else { 0 },
            bytes,
        );
    }

    /// Appends a credit.
    pub(super) fn credit(&mut self, stream: u32, bytes: u32) {
        frame::put(&mut self.bytes, stream, Kind::Credit, 0, &bytes.to_le_bytes());
    }

    /// Appends that these trays can be used again.
    pub(super) fn returns(&mut self, trays: impl Iterator<Item = u32>) {
        for ticket in trays {
            let back = Return {
                ticket,
                shared: false,
            };
            frame::put(&mut self.bytes, 0, Kind::Return, 0, &back.encode());
        }
    }

    /// Appends frames of an open stream, already written: a WebSocket's messages and its close.
    pub(super) fn frames(&mut self, frames: &[u8]) {
        self.bytes.extend_from_slice(frames);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets everything, keeping some room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM_BYTES);
        self.files.clear();
    }

    /// What to write from position `at` on in one go: bytes up to the next frame with a descriptor, and the descriptor when
    /// `at` is where such a frame begins. One descriptor at a time, so that no receiver has too little room for them.
    pub(super) fn piece(&self, at: usize) -> (&[u8], Option<&Arc<File>>) {
        let next = self.files.partition_point(|(start, _)| *start < at);
        let (file, end) = match self.files.get(next) {
            Some((start, file)) if *start == at => (Some(file), self.start(next + 1)),
            _ => (None, self.start(next)),
        };
        (self.bytes.get::<Range<usize>>(at..end).unwrap_or_default(), file)
    }

    /// Position behind the frame at `at`, and its stream; to leave it out.
    pub(super) fn skip(&self, at: usize) -> Option<(usize, u32)> {
        let rest = self.bytes.get(at..)?;
        let (frame, len) = frame::split(rest).ok()??;
        Some((at + len, frame.header.stream))
    }

    fn start(&self, file: usize) -> usize {
        self.files.get(file).map_or(self.bytes.len(), |(start, _)| *start)
    }
}

#[cfg(test)]
mod tests {
    use wire::frame::BODY_FD;

    use super::*;
    use crate::app::request_body::Stored;

    fn call(flags: u8, body: bool) -> Call {
        let mut frame = Vec::new();
        frame::put(&mut frame, 0, Kind::Request, flags, &[0; 4]);
        let body = body.then(|| Stored::File {
            file: Arc::new(File::open("/dev/null").expect("open")),
            _share: None,
        });
        Call::new(frame, body)
    }

    #[test]
    fn a_descriptor_goes_with_the_first_byte_of_its_frame() {
        let mut outbox = Outbox::default();
        outbox.request(&call(0, false), 0, 7, 3);
        outbox.request(&call(BODY_FD, true), 0, 8, 4);
        outbox.cancel(7, false);
        outbox.request(&call(BODY_FD, true), 0, 9, 5);
        let (first, file) = outbox.piece(0);
        assert_eq!((first.len(), file.is_some()), (16, false));
        let (frame, used) = frame::split(first).expect("well-formed").expect("complete");
        assert_eq!(
            (frame.header.stream, used, frame.payload),
            (7, 16, &[3, 0, 0, 0][..])
        );
        let (second, file) = outbox.piece(16);
        assert_eq!((second.len(), file.is_some()), (28, true));
        // Half of it was written, with the descriptor.
        let (rest, file) = outbox.piece(20);
        assert_eq!((rest.len(), file.is_some()), (24, false));
        assert_eq!(outbox.skip(16), Some((32, 8)));
        let (last, file) = outbox.piece(44);
        assert_eq!((last.len(), file.is_some()), (16, true));
        assert_eq!(outbox.piece(60).0.len(), 0);
    }
}
