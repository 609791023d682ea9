//! Where frames begin and end in bytes that go past.
//!
//! Of a WebSocket whose application speaks the protocol itself we read nothing but the lengths of frames: a
//! frame of ours (a ping, a close) may stand between two of the application's and nowhere else, and a close
//! frame tells that the end is near. What is wrong with the frames is the business of those who speak.

/// The frames of one direction.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passing {
    /// What has come of a frame's head.
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
    /// Bytes that are still to come of the frame whose head is whole.
    left: u64,
    closed: bool,
}

impl Passing {
    /// Takes bytes up to the end of the frame they belong to; says how many that is.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while self.left == 0 {
            let Some(&byte) = bytes.get(at) else { return at };
            at += 1;
            // Its length is known by then, so that there is room.
            if let Some(place) = self.head.get_mut(self.head_len) {
                *place = byte;
                self.head_len += 1;
            }
            if let Some(len) = self.payload() {
                self.left = len;
                if len == 0 {
                    self.end();
                    return at;
                }
            }
        }
        let there = (bytes.len() - at) as u64;
        let taken = there.min(self.left);
        self.left -= taken;
        if self.left == 0 {
            self.end();
        }
        // No more than there is.
        at + taken as usize
    }

    /// The same for all of them.
    pub fn take_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.take(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Is no frame under way?
    pub fn is_between(&self) -> bool {
        self.head_len == 0
    }

    /// Has a close frame gone past?
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Bytes behind the head, once that is whole.
    fn payload(&self) -> Option<u64> {
        let (&[_, second], rest) = self.head.get(..self.head_len)?.split_first_chunk()?;
        let mask = if second & MASKED == 0 { 0 } else { 4 };
        let (len, extended) = match second & !MASKED {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            short => (u64::from(short), 0),
        };
        (rest.len() == extended + mask).then_some(len)
    }

    fn end(&mut self) {
        self.closed |= self.head[0] & 0x0f == CLOSE;
        self.head_len = 0;
    }
}

/// Two bytes, the longest length, and a mask.
const HEAD_BYTES_MAX: usize = 14;
const MASKED: u8 = 0x80;
const CLOSE: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, len: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match len {
            0..126 => frame.push(mask | len as u8),
            126..0x1_0000 => {
                frame.push(mask | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                frame.push(mask | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend_from_slice(&[8; 4]);
        }
        // What looks like the head of a close frame.
        frame.resize(frame.len() + len, 0x88);
        frame
    }

    #[test]
    fn every_frame_ends_where_it_ends_however_it_comes() {
        for masked in [false, true] {
            for len in [0, 1, 125, 126, 127, 300, 0xffff, 0x1_0000] {
                let one = frame(2, len, masked);
                let two = [&one[..], &frame(1, 3, masked)].concat();
                let mut passing = Passing::default();
                assert_eq!(passing.take(&two), one.len(), "{len} masked {masked}");
                assert!(passing.is_between() && !passing.is_closed());
                let mut passing = Passing::default();
                for (at, byte) in one.iter().enumerate() {
                    assert_eq!(passing.take(&[*byte]), 1);
                    assert_eq!(passing.is_between(), at + 1 == one.len(), "{at} of {len}");
                }
                assert!(!passing.is_closed());
            }
        }
    }

    #[test]
    fn a_close_frame_is_seen_once_it_has_passed() {
        for masked in [false, true] {
            for len in [0, 2, 20] {
                let close = frame(8, len, masked);
                let mut passing = Passing::default();
                passing.take_all(&[frame(1, 5, masked), close[..close.len() - 1].to_vec()].concat());
                assert!(!passing.is_closed() && !passing.is_between());
                passing.take_all(&close[close.len() - 1..]);
                assert!(passing.is_closed() && passing.is_between());
            }
        }
    }

    #[test]
    fn a_length_beyond_everything_only_never_ends() {
        let mut passing = Passing::default();
        let head = [0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255];
        passing.take_all(&head);
        passing.take_all(&[0; 1000]);
        assert!(!passing.is_between());
    }
}
