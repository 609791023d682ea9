//! A request body that goes to its worker while it arrives.
//!
//! The client's task puts in what it reads, the link takes out what the worker's credit allows. What was given to a worker
//! that may not have started the request is kept, so that another one can be given all of it.

use std::{collections::VecDeque, task::Waker};

use bytes::Bytes;
use wire::frame::{PAYLOAD_MAX, WINDOW};

use super::outbox::Outbox;

/// Pieces that may wait, however small they are.
const PIECES_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Upload {
    /// Given to the worker, which may still give the request back.
    kept: Vec<u8>,
    /// Something was given and not kept.
    spent: bool,
    /// Not given yet.
    pieces: VecDeque<Bytes>,
    waiting: usize,
    /// Bytes the worker takes now.
    window: usize,
    /// Nothing is read of the client: reading would tell it to send, and the application may not want the
    /// body.
    patient: bool,
    /// The client has sent all of it.
    whole: bool,
    end_given: bool,
    waker: Option<Waker>,
}

impl Upload {
    /// Nothing has arrived. `patient`: nothing is to be read before the application asks for it.
    pub(super) fn new(patient: bool) -> Self {
        Self {
            kept: Vec::new(),
            spent: false,
            pieces: VecDeque::new(),
            waiting: 0,
            window: 0,
            patient,
            whole: false,
            end_given: false,
            waker: None,
        }
    }

    /// A piece has arrived; `None`: it was the last.
    pub(super) fn push(&mut self, piece: Option<Bytes>) {
        match piece {
            Some(bytes) => {
                self.waiting += bytes.len();
                self.pieces.push_back(bytes);
            }
            None => self.whole = true,
        }
    }

    /// Is there nothing to give?
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// May more be read from the client?
    pub(super) fn has_room(&self) -> bool {
        self.waiting < WINDOW as usize && self.pieces.len() < PIECES_MAX && !self.patient
    }

    /// Wakes whoever waits for room, once there is some.
    pub(super) fn when_room(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(old) => old.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }

    /// Whom to wake, if anybody.
    pub(super) fn wake(&mut self) -> Option<Waker> {
        if self.has_room() { self.waker.take() } else { None }
    }

    /// The request goes to a worker, which has got nothing of the body yet.
    pub(super) fn place(&mut self) {
        self.window = WINDOW as usize;
        self.end_given = false;
        if !self.kept.is_empty() {
            self.waiting += self.kept.len();
            self.pieces.push_front(std::mem::take(&mut self.kept).into());
        }
    }

    /// The worker takes so many bytes more, or none, which only says that its application asks for the body.
    /// It runs the request for certain.
    pub(super) fn credit(&mut self, bytes: u32) {
        self.patient = false;
        self.window = self.window.saturating_add(bytes as usize);
        self.spent |= !self.kept.is_empty();
        self.kept = Vec::new();
    }

    /// Is it too late to give all of it to another worker?
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Gives the worker what it takes. `runs`: it cannot give the request back any more. `true`: something
    /// was given.
    pub(super) fn flush(&mut self, outbox: &mut Outbox, stream: u32, runs: bool) -> bool {
        let mut given = false;
        while self.window > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let bytes = piece.split_to(piece.len().min(self.window).min(PAYLOAD_MAX));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            self.window -= bytes.len();
            self.waiting -= bytes.len();
            self.end_given = self.whole && self.pieces.is_empty();
            outbox.body(stream, &bytes, self.end_given);
            if runs {
                self.spent = true;
            } else {
                self.kept.extend_from_slice(&bytes);
            }
            given = true;
        }
        if self.whole && self.pieces.is_empty() && !self.end_given {
            self.end_given = true;
            outbox.body(stream, &[], true);
            given = true;
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use wire::frame::{self, END, Kind};

    use super::*;

    /// Bytes of all Body frames in the outbox, and whether the last is the end.
    fn given(outbox: &Outbox) -> (Vec<u8>, bool) {
        let (mut rest, _) = outbox.piece(0);
        let (mut bytes, mut end) = (Vec::new(), false);
        while let Some((frame, used)) = frame::split(rest).expect("well-formed") {
            assert_eq!(
                (frame.header.kind, frame.header.stream, end),
                (Kind::Body, 7, false)
            );
            bytes.extend_from_slice(frame.payload);
            end = frame.header.has(END);
            rest = &rest[used..];
        }
        (bytes, end)
    }

    #[test]
    fn a_worker_gets_what_its_credit_allows_and_the_end_once() {
        let (mut upload, mut outbox) = (Upload::new(false), Outbox::default());
        upload.place();
        for _ in 0..5 {
            assert!(upload.has_room());
            upload.push(Some(vec![1; 64 << 10].into()));
            upload.flush(&mut outbox, 7, true);
        }
        assert_eq!((given(&outbox).0.len(), given(&outbox).1), (256 << 10, false));
        upload.push(None);
        upload.credit(10);
        assert!(upload.flush(&mut outbox, 7, true));
        assert_eq!(given(&outbox), (vec![1; (256 << 10) + 10], false));
        upload.credit(1 << 20);
        assert!(upload.flush(&mut outbox, 7, true));
        assert_eq!(given(&outbox), (vec![1; 320 << 10], true));
        assert!(!upload.flush(&mut outbox, 7, true));
    }

    #[test]
    fn a_client_is_read_no_further_than_the_window() {
        let mut upload = Upload::new(false);
        for read in 0.. {
            if !upload.has_room() {
                assert_eq!(read, 4);
                break;
            }
            upload.push(Some(vec![1; 64 << 10].into()));
        }
        let mut tiny = Upload::new(false);
        while tiny.has_room() {
            tiny.push(Some(vec![1].into()));
        }
        assert_eq!(tiny.pieces.len(), PIECES_MAX);
    }

    #[test]
    fn a_client_that_waits_to_be_asked_is_not_read_before_the_application_asks() {
        let mut upload = Upload::new(true);
        assert!(!upload.has_room());
        upload.place();
        assert!(!upload.has_room());
        upload.credit(0);
        assert!(upload.has_room());
        // It was asked already when another worker gets the request.
        upload.place();
        assert!(upload.has_room());
    }

    #[test]
    fn the_next_worker_gets_all_of_it_while_the_first_may_not_have_started() {
        let mut upload = Upload::new(false);
        upload.place();
        upload.push(Some(vec![1, 2].into()));
        upload.push(Some(vec![3].into()));
        upload.push(None);
        let mut first = Outbox::default();
        assert!(upload.flush(&mut first, 7, false));
        assert!(!upload.is_spent());
        upload.place();
        let mut second = Outbox::default();
        assert!(upload.flush(&mut second, 7, true));
        assert!(upload.is_spent());
        assert_eq!(given(&first), (vec![1, 2, 3], true));
        assert_eq!(given(&second), given(&first));
    }
}
