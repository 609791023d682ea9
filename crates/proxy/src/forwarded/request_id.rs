//! The id by which one request is found in every log.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
};

thread_local! {
    /// Two generators, each seeded by the operating system through `RandomState`: an id has 128 bits of state behind it.
    static RANDOM: RefCell<[fastrand::Rng; 2]> = RefCell::new([seeded(), seeded()]);
}

fn seeded() -> fastrand::Rng {
    fastrand::Rng::with_seed(RandomState::new().hash_one(std::process::id()))
}

/// 32 hexadecimal digits. Not a secret: who sees some ids may guess others.
pub(super) fn make() -> String {
    let parts = RANDOM.with_borrow_mut(|[first, second]| [first.u64(..), second.u64(..)]);
    let mut id = String::with_capacity(32);
    for byte in parts.iter().flat_map(|part| part.to_be_bytes()) {
        id.push(char::from(DIGITS[usize::from(byte >> 4)]));
        id.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    id
}

/// The id a trusted proxy gave, if it may stand in logs and fields as it is.
pub(super) fn accept(given: &[u8]) -> Option<String> {
    let sane = matches!(given.len(), 1..=128)
        && given
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    sane.then(|| String::from_utf8_lossy(given).into_owned())
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unlike_each_other() {
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| make()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(
            ids.iter()
                .all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
        );
    }

    #[test]
    fn only_sane_ids_are_taken_over() {
        assert_eq!(accept(b"a.B_9-").as_deref(), Some("a.B_9-"));
        assert_eq!(accept(&[b'a'; 128]).map(|id| id.len()), Some(128));
        for bad in [&b""[..], b"a b", b"a\"b", b"a\n", "é".as_bytes(), &[b'a'; 129]] {
            assert_eq!(accept(bad), None);
        }
    }
}
