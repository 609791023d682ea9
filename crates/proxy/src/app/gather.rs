//! Small pieces of an answer that wait one behind the other become one.
//!
//! An application may send a byte at a time. A piece of its own would cost a hundred times as much memory,
//! and be looked at, written to a file and freed for itself.

use bytes::Bytes;

/// Larger pieces are not copied.
const SMALL_BYTES: usize = 1 << 10;

/// What has gathered does not become longer.
const GATHERED_BYTES: usize = 16 << 10;

/// May this be added to the piece before it?
pub(super) fn may_gather(last: &Bytes, more: &[u8]) -> bool {
    more.len() <= SMALL_BYTES && last.len() + more.len() <= GATHERED_BYTES
}

/// Adds it to the piece before it, which takes up to twice its bytes then. `false`: they stay apart, because
/// of their sizes or because somebody else has that piece as well.
pub(super) fn gather(last: &mut Bytes, more: &[u8]) -> bool {
    if !may_gather(last, more) {
        return false;
    }
    match std::mem::take(last).try_into_mut() {
        Ok(mut gathered) => {
            gathered.extend_from_slice(more);
            *last = gathered.freeze();
            true
        }
        Err(shared) => {
            *last = shared;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_gathers_up_to_a_bound_and_nothing_else_is_touched() {
        let mut last = Bytes::copy_from_slice(b"0");
        for number in 1..GATHERED_BYTES {
            assert!(gather(&mut last, &[number as u8]));
        }
        assert!(!gather(&mut last, b"x"));
        assert!(
            last.iter()
                .enumerate()
                .all(|(number, byte)| (number as u8) == *byte || number == 0)
        );
        assert_eq!(last.len(), GATHERED_BYTES);
        let mut last = Bytes::copy_from_slice(b"0");
        assert!(!gather(&mut last, &[0; SMALL_BYTES + 1]));
        let other = last.clone();
        assert!(!gather(&mut last, b"x"));
        drop(other);
        assert!(gather(&mut last, b"x"));
        assert_eq!(last, "0x");
    }
}
