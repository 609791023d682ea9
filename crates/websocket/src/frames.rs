//! The client's half of the protocol, for tests.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// A frame with this first byte, masked.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    out.extend_from_slice(&mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    out
}

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The last one of its message.
    pub fin: bool,
    /// Its message is compressed.
    pub rsv1: bool,
    /// What it is.
    pub opcode: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Takes a server's frame off the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!((first & 0x30, second & 0x80), (0, 0), "reserved bits, or a mask");
    let (len, start) = match second {
        126 => (
            u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            4,
        ),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        len => (u64::from(len), 2),
    };
    let end = start + len as usize;
    let frame = Frame {
        fin: first & 0x80 != 0,
        rsv1: first & 0x40 != 0,
        opcode: first & 15,
        payload: bytes.get(start..end)?.to_vec(),
    };
    Some((frame, end))
}

/// The message of these frames.
pub fn unpack(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = frames
        .iter()
        .flat_map(|frame| frame.payload.clone())
        .collect::<Vec<_>>();
    if !frames[0].rsv1 {
        return bytes;
    }
    bytes.extend_from_slice(&[0, 0, 0xff, 0xff]);
    let mut out = Vec::new();
    let mut unpack = Decompress::new(false);
    while unpack.total_in() < bytes.len() as u64 || out.len() == out.capacity() {
        out.reserve(1 << 16);
        let rest = &bytes[unpack.total_in() as usize..];
        unpack
            .decompress_vec(rest, &mut out, FlushDecompress::None)
            .expect("packed");
    }
    out
}

/// A compressed message.
pub fn pack(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 1024);
    let mut pack = Compress::new(Compression::best(), false);
    pack.compress_vec(message, &mut out, FlushCompress::Sync)
        .expect("packs");
    assert_eq!(pack.total_in(), message.len() as u64);
    out.truncate(out.len() - 4);
    out
}
