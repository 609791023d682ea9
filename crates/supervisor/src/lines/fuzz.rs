//! For the fuzzer: what an application prints.

use super::{CUT, LINE_MAX, Lines, OPEN_MAX, REQUEST_ID_MAX};

/// Prints `bytes` in pieces, whose size the first two say. Nothing may panic, and lines and what waits for its
/// end have a bound.
pub fn print(bytes: &[u8]) {
    let Some((knobs, bytes)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let size = usize::from(u16::from_le_bytes(*knobs)).max(1);
    let longest = LINE_MAX.max(size) + CUT.len();
    let mut lines = Lines::default();
    for piece in bytes.chunks(size) {
        lines.push(piece, |line| {
            assert!(
                line.text.len() <= longest && line.request_id.is_none_or(|id| id.len() <= REQUEST_ID_MAX)
            );
        });
        assert!(lines.rest.len() < longest && lines.open.len() <= OPEN_MAX);
    }
    lines.end(|_| {});
}
