//! Frames of one direction of a connection, as its bytes pass by (RFC 9113 §4.1).

/// What every frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of its payload.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0: the connection's own.
    pub(super) stream: u32,
}

/// One step through the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A frame begins: its payload is still to come.
    Begun(Frame),
    /// A piece of the payload of the last one begun.
    Payload(&'a [u8]),
    /// It is complete.
    Ended(Frame),
}

/// Where in the frames of one direction we are. Keeps nine bytes, whatever passes.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    head: [u8; HEAD_LEN],
    /// Bytes of `head` that are there.
    have: usize,
    /// Bytes of the payload still to come; the frame is not yet said to have ended.
    left: Option<usize>,
}

const HEAD_LEN: usize = 9;

/// What the bytes before the first frame of a client count as: no kind of frame.
const PREFACE: u8 = 0xff;
const PREFACE_LEN: u8 = 24;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const PRIORITY: u8 = 2;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
pub(super) const CONTINUATION: u8 = 9;
/// From here on there are only kinds that h2 passes over.
pub(super) const UNKNOWN: u8 = 10;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 0x20;
pub(super) const PRIORITY_LEN: usize = 5;

impl Frame {
    /// Of one that begins a head, and whose payload begins with this byte: is there nothing that h2 could
    /// dislike in it but the fields?
    pub(super) fn is_whole_head(self, first: u8) -> bool {
        let padding = if self.is_padded() { usize::from(first) } else { 0 };
        self.length >= self.head_min() + padding && self.stream % 2 == 1
    }

    /// What stands in it before the fields, or before a body.
    pub(super) fn head_min(self) -> usize {
        let priority = if self.flags & PRIORITIZED == 0 {
            0
        } else {
            PRIORITY_LEN
        };
        usize::from(self.is_padded()) + priority
    }

    pub(super) fn is_padded(self) -> bool {
        self.flags & PADDED != 0
    }

    pub(super) fn is_ack(self) -> bool {
        self.flags & ACK != 0
    }

    /// Has it a length that its kind cannot have, so that the connection has to end for it (RFC 9113 §4.2)?
    pub(super) fn is_misfit(self) -> bool {
        match self.kind {
            PING => self.length != 8,
            RST_STREAM | WINDOW_UPDATE => self.length != 4,
            SETTINGS => !self.length.is_multiple_of(6) || (self.is_ack() && self.length != 0),
            GOAWAY => self.length < 8,
            PRIORITY => self.length != PRIORITY_LEN,
            HEADERS => self.length < self.head_min(),
            DATA => self.is_padded() && self.length == 0,
            _ => false,
        }
    }
}

impl Frames {
    /// What a client sends: a preface of 24 bytes comes first.
    pub(super) fn of_client() -> Self {
        Self {
            head: [0, 0, PREFACE_LEN, PREFACE, 0, 0, 0, 0, 0],
            have: HEAD_LEN,
            left: Some(PREFACE_LEN.into()),
        }
    }

    /// What a server sends.
    pub(super) fn of_server() -> Self {
        Self {
            head: [0; HEAD_LEN],
            have: 0,
            left: None,
        }
    }

    /// Goes one step on and takes the bytes it went over; `None` when they have run out.
    pub(super) fn step<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Step<'a>> {
        match self.left {
            Some(0) => {
                self.have = 0;
                self.left = None;
                return Some(Step::Ended(self.frame()));
            }
            Some(left) if !bytes.is_empty() => {
                let (payload, rest) = bytes.split_at(bytes.len().min(left));
                *bytes = rest;
                self.left = Some(left - payload.len());
                return Some(Step::Payload(payload));
            }
            Some(_) => return None,
            None => {}
        }
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD_LEN - self.have));
        self.head[self.have..self.have + head.len()].copy_from_slice(head);
        self.have += head.len();
        *bytes = rest;
        if self.have < HEAD_LEN {
            return None;
        }
        let frame = self.frame();
        self.left = Some(frame.length);
        Some(Step::Begun(frame))
    }

    fn frame(&self) -> Frame {
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        Frame {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            // The highest bit means nothing and is to be ignored.
            stream: u32::from_be_bytes(stream) & !(1 << 31),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        all.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        all.extend([0, 0, 3, DATA, END_STREAM, 0x80, 0, 1, 2, 7, 8, 9]);
        for piece in [1, 5, 1000] {
            let mut frames = Frames::of_client();
            let (mut ended, mut payload) = (Vec::new(), Vec::new());
            for mut bytes in all.chunks(piece) {
                while let Some(step) = frames.step(&mut bytes) {
                    match step {
                        Step::Begun(_) => payload.clear(),
                        Step::Payload(more) => payload.extend_from_slice(more),
                        Step::Ended(frame) => ended.push((frame.kind, frame.stream, payload.len())),
                    }
                }
            }
            assert_eq!(
                ended,
                [(PREFACE, 0, 24), (4, 0, 0), (DATA, 0x102, 3)],
                "in pieces of {piece}"
            );
        }
    }
}
