//! For the fuzzer: bytes of a client through the reader.

use super::{
    passing::Passing,
    reader::{Item, Reader},
};

/// Feeds `bytes` to a reader in two pieces, the second one cut again by the room that is given. Nothing may
/// panic, and no message may exceed its limit.
pub fn read(bytes: &[u8]) {
    const LIMIT: u64 = 1 << 16;
    let Some((&knobs, bytes)) = bytes.split_first() else {
        return;
    };
    let room = 1 + usize::from(knobs >> 1);
    let mut reader = Reader::new(LIMIT, knobs & 1 == 1);
    let mut message = 0;
    let mut input = Vec::new();
    for piece in bytes.chunks(bytes.len() / 2 + 1) {
        input.extend_from_slice(piece);
        loop {
            let (used, item) = match reader.next(&mut input, room) {
                Ok(next) => next,
                Err(_) => return,
            };
            let more = match item {
                None => false,
                Some(Item::Part { last, bytes, .. }) => {
                    message = if last { 0 } else { message + bytes.len() as u64 };
                    assert!(bytes.len() <= room && message <= LIMIT);
                    true
                }
                Some(_) => true,
            };
            input.drain(..used);
            if !more {
                break;
            }
        }
    }
}

/// Lets `bytes` go past in two pieces. Where a frame ends must not depend on that.
pub fn pass(bytes: &[u8]) {
    let mut whole = Passing::default();
    whole.take_all(bytes);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut pieces = Passing::default();
    pieces.take_all(first);
    pieces.take_all(second);
    assert_eq!(whole, pieces);
}
