//! What a client's frames could make h2 end the connection for, and the reason that RFC 9113 has for it.
//!
//! h2 says PROTOCOL_ERROR of frames whose length is wrong, of frames for streams that the client itself has
//! ended, and of blocks that it cannot decompress; each has a code of its own. Which frame it was h2 does not
//! say, so that a code is known only where no other frame that came before it in the same piece could have
//! been it, as far as can be seen: of a field that is forbidden (RFC 9113 §8.2.1) PROTOCOL_ERROR is the right
//! code, and behind one the code may be that of what follows.

use super::{
    blocks::Block,
    frames::{
        CONTINUATION, DATA, END_STREAM, Frame, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, UNKNOWN,
        WINDOW_UPDATE,
    },
    settings::Settings,
};

/// The frames that h2 has been given since it last wanted to read.
#[derive(Debug)]
pub(super) struct Charge {
    /// A frame has come whose length its kind cannot have.
    misfit: bool,
    /// What the first frame has to end the connection with that is against the rules.
    reason: Option<u32>,
    /// There were frames that h2 may end the connection for with a right word.
    others: bool,
    /// The first bytes of the payload of the frame under way.
    start: [u8; START_LEN],
    start_len: usize,
    pub(super) settings: Settings,
    /// The frame under way is one of settings.
    is_settings: bool,
    ended: Ended,
}

/// A window's increment.
const START_LEN: usize = 4;

const FRAME_SIZE_ERROR: u32 = 6;
const STREAM_CLOSED: u32 = 5;
const COMPRESSION_ERROR: u32 = 9;

impl Charge {
    pub(super) fn new() -> Self {
        Self {
            misfit: false,
            reason: None,
            others: false,
            start: [0; START_LEN],
            start_len: 0,
            settings: Settings::new(),
            is_settings: false,
            ended: Ended::default(),
        }
    }

    /// h2 wants to read: it has gone through every frame that is complete.
    pub(super) fn asked(&mut self) {
        (self.reason, self.others) = (None, false);
    }

    /// A frame begins; is a block under way? Another then begins within it.
    pub(super) fn begun(&mut self, frame: Frame, in_block: bool) {
        self.misfit |= frame.is_misfit();
        self.others |= in_block && frame.kind == HEADERS;
        self.start_len = 0;
        self.is_settings = frame.kind == SETTINGS;
        if self.is_settings {
            self.settings.begin();
        }
    }

    /// A piece of its payload.
    pub(super) fn payload(&mut self, payload: &[u8]) {
        let room = &mut self.start[self.start_len..];
        let len = payload.len().min(room.len());
        room[..len].copy_from_slice(&payload[..len]);
        self.start_len += len;
        if self.is_settings {
            self.settings.read(payload);
        }
    }

    /// It is complete. `block`: what has come of the block that it is of; `head`: the stream whose head is
    /// under way; `last`: the last that the client has opened.
    pub(super) fn ended(&mut self, frame: Frame, block: Option<Block>, head: Option<u32>, last: u32) {
        let of_head = head == Some(frame.stream);
        match frame.kind {
            HEADERS if !frame.is_whole_head(self.start[0]) => self.others = true,
            HEADERS | CONTINUATION if block.is_some_and(|block| block.broken) => {
                self.accuse(COMPRESSION_ERROR);
            }
            HEADERS if of_head => self.ended.open(frame.stream),
            CONTINUATION if of_head => {}
            DATA | HEADERS if head.is_none() && self.ended.contains(frame.stream, last) => {
                self.accuse(STREAM_CLOSED);
            }
            SETTINGS if head.is_none() => match self.settings.fault() {
                Some(fault) => self.accuse(fault),
                None => self.others |= frame.stream != 0 || frame.is_ack(),
            },
            _ => self.others |= head.is_some() || !self.is_blameless(frame, last),
        }
        if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
            self.ended.insert(frame.stream);
        }
    }

    /// What is right where h2 says PROTOCOL_ERROR in a farewell.
    pub(super) fn reason(&self) -> Option<u32> {
        self.misfit.then_some(FRAME_SIZE_ERROR).or(self.reason)
    }

    /// The first that h2 finds is the one it ends the connection for.
    fn accuse(&mut self, reason: u32) {
        if !self.others {
            self.reason.get_or_insert(reason);
        }
    }

    /// Has h2 no reason to end the connection for it with PROTOCOL_ERROR?
    fn is_blameless(&self, frame: Frame, last: u32) -> bool {
        let is_opened = frame.stream % 2 == 1 && frame.stream <= last;
        match frame.kind {
            DATA => is_opened && !frame.is_padded(),
            PRIORITY => frame.stream != 0,
            RST_STREAM => is_opened,
            PING => frame.stream == 0,
            WINDOW_UPDATE => (frame.stream == 0 || is_opened) && self.start != [0; START_LEN],
            kind => kind >= UNKNOWN,
        }
    }
}

/// Which of the last streams the client has ended, so that it may not send their DATA or HEADERS any more.
#[derive(Debug, Default)]
struct Ended {
    streams: [u64; ENDED_WORDS],
}

/// Twice as many streams as there may be at a time.
const ENDED_WORDS: usize = 4;

impl Ended {
    fn open(&mut self, stream: u32) {
        let (word, bit) = Self::place(stream);
        self.streams[word] &= !bit;
    }

    fn insert(&mut self, stream: u32) {
        let (word, bit) = Self::place(stream);
        self.streams[word] |= bit;
    }

    fn contains(&self, stream: u32, last: u32) -> bool {
        let (word, bit) = Self::place(stream);
        let is_known = last
            .checked_sub(stream)
            .is_some_and(|since| since < 2 * u64::BITS * ENDED_WORDS as u32);
        is_known && stream % 2 == 1 && self.streams[word] & bit != 0
    }

    /// The client's streams have odd numbers.
    fn place(stream: u32) -> (usize, u64) {
        let number = stream / 2;
        let word = (number / u64::BITS) as usize % ENDED_WORDS;
        (word, 1 << (number % u64::BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_streams_are_known() {
        let mut ended = Ended::default();
        for stream in (1..2001).step_by(2) {
            ended.open(stream);
            assert!(!ended.contains(stream, stream), "{stream}");
            if stream % 3 == 0 {
                ended.insert(stream);
            }
            assert_eq!(ended.contains(stream, stream), stream % 3 == 0);
        }
        assert!(ended.contains(1995, 1999) && ended.contains(1995 - 480, 1999));
        assert!(!ended.contains(1997, 1999) && !ended.contains(3, 1999) && !ended.contains(2001, 1999));
    }
}
