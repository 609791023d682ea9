//! The head of a frame (RFC 6455 §5.2).

use bytes::BytesMut;

use super::Violation;

/// Longest payload of a control frame.
pub(super) const CONTROL_BYTES_MAX: u64 = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV_OTHERS: u8 = 0x30;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn read(nibble: u8) -> Result<Self, Violation> {
        Ok(match nibble {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(Violation::protocol("unknown opcode")),
        })
    }

    pub(super) fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The head of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) fin: bool,
    /// The message is compressed; only on its first frame.
    pub(super) compressed: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    pub(super) len: u64,
}

impl FrameHead {
    /// Reads a head, and says how long it is; `None`: not all of it has come. What is wrong with it is told
    /// as soon as its byte is there. `deflate`: compression was agreed on.
    pub(super) fn read(bytes: &[u8], deflate: bool) -> Result<Option<(Self, usize)>, Violation> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let opcode = Opcode::read(first & 0x0f)?;
        let (fin, compressed) = (first & FIN != 0, first & RSV1 != 0);
        if first & RSV_OTHERS != 0 || (compressed && !deflate) {
            return Err(Violation::protocol("reserved bit set"));
        }
        if compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Violation::protocol(
                "only a message's first frame says that it is compressed",
            ));
        }
        if opcode.is_control() && !fin {
            return Err(Violation::protocol("fragmented control frame"));
        }
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if second & MASKED == 0 {
            return Err(Violation::protocol("frame without a mask"));
        }
        let short = u64::from(second & !MASKED);
        if opcode.is_control() && short > CONTROL_BYTES_MAX {
            return Err(Violation::protocol("control frame over 125 bytes"));
        }
        let (len, rest) = match short {
            126 => match rest.split_first_chunk::<2>() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Ok(None),
            },
            short => (short, rest),
        };
        let least = match short {
            126 => 126,
            127 => 1 << 16,
            _ => 0,
        };
        if len < least || len >> 63 != 0 {
            return Err(Violation::protocol("length not written in the shortest form"));
        }
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let head = Self {
            fin,
            compressed,
            opcode,
            mask: *mask,
            len,
        };
        Ok(Some((head, bytes.len() - rest.len())))
    }
}

/// Appends the head of one of our frames.
pub(super) fn write(out: &mut BytesMut, fin: bool, compressed: bool, opcode: Opcode, len: usize) {
    let first = opcode as u8 | if fin { FIN } else { 0 } | if compressed { RSV1 } else { 0 };
    match len {
        0..=125 => out.extend_from_slice(&[first, len as u8]),
        126..=0xffff => {
            let [a, b] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, a, b]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}
