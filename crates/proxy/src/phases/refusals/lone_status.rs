//! The one thing that is read in a header block.

/// Is this header block one field only, and that one in the dynamic table or a `:status` that gets there (RFC 7541 §6)?
pub(super) fn is_lone_status(mut block: &[u8]) -> bool {
    // Changes of the table's size.
    while let [0x20..=0x3f, ..] = block {
        let Some((_, rest)) = integer(block, 5) else {
            return false;
        };
        block = rest;
    }
    match block {
        [0x80..=0xff, ..] => {
            integer(block, 7).is_some_and(|(index, rest)| index > STATIC_LAST && rest.is_empty())
        }
        // A literal with the name of the static table's `:status`: indexed, not indexed, never indexed.
        [0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e, value @ ..] => {
            integer(value, 7).is_some_and(|(len, rest)| rest.len() == len)
        }
        _ => false,
    }
}

/// Last index of HPACK's static table.
const STATIC_LAST: usize = 61;

/// An integer with a prefix of so many bits (RFC 7541 §5.1), and what follows it.
fn integer(bytes: &[u8], prefix_bits: u32) -> Option<(usize, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mask = (1usize << prefix_bits) - 1;
    let mut value = usize::from(first) & mask;
    if value < mask {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (&byte, more) = rest.split_first()?;
        rest = more;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_alone_is_told_from_every_other_block() {
        // As h2 writes it first, later, and behind a change of the table's size.
        for alone in [
            &[0x48, 0x83, 0x68, 0xcc, 0x2f][..],
            &[0xbe],
            &[0x3f, 0xe1, 0x1f, 0xff, 0x00],
        ] {
            assert!(is_lone_status(alone), "{alone:x?}");
        }
        // With more behind it, out of the static table, and nothing.
        for other in [&[0x48, 0x83, 0x68, 0xcc, 0x2f, 0xbf][..], &[0x8c], &[]] {
            assert!(!is_lone_status(other), "{other:x?}");
        }
    }
}
