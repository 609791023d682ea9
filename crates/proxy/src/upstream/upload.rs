//! The body of a request on its way to a server.

use bytes::Bytes;
use message::head::BodyLength;

use super::server_stream::ServerStream;

/// The request's body.
#[derive(Default)]
pub(super) struct Upload {
    /// More of it is to come.
    pub(super) reading: bool,
    /// It goes up in chunks.
    chunked: bool,
    /// Some of it was read.
    pub(super) begun: bool,
    /// The client sends it once it has been told to.
    expects_continue: bool,
    /// The client has been told so, whether it waits for that or not.
    continued: bool,
    /// It will never be read to its end.
    abandoned: bool,
    /// What was read of it while the request may have to be sent again.
    replay: Vec<u8>,
    /// `replay` is not all that was read.
    lost: bool,
    /// Of a request that may not be sent again: the first piece, as long as it is all that was read. It goes
    /// to another connection where not a byte has left on this one.
    first: Option<Bytes>,
}

impl Upload {
    /// Nothing of it has been read. `expects_continue`: the client waits for `100 Continue`; `repeatable`:
    /// the request may have to be sent again.
    pub(super) fn new(body: BodyLength, expects_continue: bool, repeatable: bool) -> Self {
        Self {
            reading: body != BodyLength::Known(0),
            chunked: body == BodyLength::Unknown,
            expects_continue,
            lost: !repeatable,
            ..Self::default()
        }
    }

    /// The server has been given all of it.
    pub(super) fn is_whole(&self) -> bool {
        !self.reading && !self.abandoned
    }

    /// Can it be sent again, on another connection or to another server, from its first byte on?
    pub(super) fn can_repeat(&self) -> bool {
        !self.begun || !self.lost
    }

    /// The same of a request that may not be sent again, and of which nothing has left.
    pub(super) fn can_begin(&self) -> bool {
        self.can_repeat() || self.first.is_some()
    }

    /// Does the client still wait for `100 Continue`?
    pub(super) fn awaits_word(&self) -> bool {
        self.reading && self.expects_continue && !self.continued
    }

    /// The server says `100 Continue`, or we do in its place. Is the client to hear it? It does once.
    pub(super) fn go_on(&mut self) -> bool {
        !std::mem::replace(&mut self.continued, true)
    }

    /// Nobody wants it any more.
    pub(super) fn abandon(&mut self) {
        self.reading = false;
        self.abandoned = true;
    }

    /// A piece of the body goes to the server; `None`: there is no more.
    pub(super) fn pass(&mut self, server: &mut impl ServerStream, piece: Option<Bytes>) {
        let is_first = !std::mem::replace(&mut self.begun, true);
        self.reading = piece.is_some();
        self.keep(piece.as_ref(), is_first);
        self.frame(server, piece);
    }

    /// Keeps what may have to be sent again.
    fn keep(&mut self, piece: Option<&Bytes>, is_first: bool) {
        let Some(piece) = piece else { return };
        if self.lost {
            self.first = is_first.then(|| piece.clone());
            return;
        }
        self.lost = self.replay.len() + piece.len() > REPLAY_BYTES_MAX;
        if self.lost {
            self.replay = Vec::new();
        } else {
            self.replay.extend_from_slice(piece);
        }
    }

    /// What another connection has been sent for nothing goes to this one.
    pub(super) fn repeat(&self, server: &mut impl ServerStream) {
        if !self.replay.is_empty() {
            self.frame(server, Some(Bytes::copy_from_slice(&self.replay)));
        }
        if let Some(first) = &self.first {
            self.frame(server, Some(first.clone()));
        }
        if self.begun && !self.reading {
            self.frame(server, None);
        }
    }

    /// Some of the request has left.
    pub(super) fn has_left(&mut self) {
        self.first = None;
    }

    /// The request will not be sent again.
    pub(super) fn forget(&mut self) {
        self.lost = true;
        self.first = None;
        self.replay = Vec::new();
    }

    fn frame(&self, server: &mut impl ServerStream, piece: Option<Bytes>) {
        match piece {
            Some(piece) => server.push(piece, self.chunked),
            None => server.push_end(self.chunked),
        }
    }
}

/// Of a request's body: kept until the server has said something, so that the request can be sent again.
const REPLAY_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_piece_is_kept_until_something_has_left() {
        let piece = || Some(Bytes::from_static(b"precious"));
        let new = || Upload::new(BodyLength::Known(16), false, false);
        let take = |upload: &mut Upload, piece: Option<Bytes>| {
            let is_first = !std::mem::replace(&mut upload.begun, true);
            upload.keep(piece.as_ref(), is_first);
        };
        let mut upload = new();
        assert!(upload.can_begin() && upload.can_repeat());
        take(&mut upload, piece());
        assert!(upload.can_begin() && !upload.can_repeat());
        upload.has_left();
        assert!(!upload.can_begin());
        // The second piece makes it too much to be sent again.
        let mut upload = new();
        take(&mut upload, piece());
        take(&mut upload, piece());
        assert!(!upload.can_begin());
    }
}
