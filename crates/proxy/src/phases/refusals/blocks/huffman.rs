//! HPACK's Huffman code (RFC 7541 §5.2), as far as it takes to see where symbols begin.

/// A string on its way. Its code is canonical: the length of a symbol is told by the size of what it begins
/// with.
#[derive(Debug, Default)]
pub(super) struct Huffman {
    /// What has come and is no whole symbol yet: the highest bits, so many of them.
    bits: u64,
    have: u32,
    /// Whole symbols so far.
    symbols: usize,
    has_hash: bool,
    has_end: bool,
}

impl Huffman {
    /// A piece of it.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        // Four at a time: this is most of what a walk costs.
        let (chunks, rest) = bytes.as_chunks();
        for chunk in chunks {
            self.add(u32::from_be_bytes(*chunk), u32::BITS);
        }
        for &byte in rest {
            self.add(byte.into(), u8::BITS);
        }
    }

    /// So many bits more, behind the 29 at most that are there.
    fn add(&mut self, bits: u32, count: u32) {
        self.bits |= u64::from(bits) << (u64::BITS - count - self.have);
        self.have += count;
        loop {
            // What has not come yet counts as zeros: that makes no symbol of what is none yet.
            let window = (self.bits >> u32::BITS) as u32;
            let len = symbol_bits(window);
            if len > self.have {
                return;
            }
            self.has_hash |= len == HASH_BITS && window >> (u32::BITS - HASH_BITS) == HASH;
            self.has_end |= len == END_BITS && window >> (u32::BITS - END_BITS) == END;
            self.symbols += 1;
            self.bits <<= len;
            self.have -= len;
        }
    }

    /// Bytes of the string as far as it has come.
    pub(super) fn len(&self) -> usize {
        self.symbols
    }

    /// Is there a `#` in what has come?
    pub(super) fn has_hash(&self) -> bool {
        self.has_hash
    }

    /// It is complete: is it against the rules? What fills its last byte are the first bits of the end of
    /// strings, which itself is in none.
    pub(super) fn is_broken(&self) -> bool {
        self.has_end || self.have > FILLING_BITS_MAX || self.bits.leading_ones() < self.have
    }
}

/// How many bits has the symbol that these begin with?
fn symbol_bits(window: u32) -> u32 {
    match SHORT[(window >> (u32::BITS - u8::BITS)) as usize] {
        0 => {
            let longer = ENDS.iter().find(|(end, _)| window < *end);
            longer.map_or(END_BITS, |(_, bits)| *bits)
        }
        bits => bits.into(),
    }
}

/// The same for symbols of a byte at most, which are nearly all, by their first byte. 0: it is longer.
static SHORT: [u8; 256] = {
    let (mut short, mut byte, mut at) = ([0; 256], 0, 0);
    while byte < short.len() {
        while at < ENDS.len() && ENDS[at].0 <= (byte as u32) << (u32::BITS - u8::BITS) {
            at += 1;
        }
        if ENDS[at].1 <= u8::BITS {
            short[byte] = ENDS[at].1 as u8;
        }
        byte += 1;
    }
    short
};

const SHORTEST_BITS: u32 = 5;
const FILLING_BITS_MAX: u32 = 7;
const HASH: u32 = 0xffa;
const HASH_BITS: u32 = 12;
const END: u32 = (1 << END_BITS) - 1;
const END_BITS: u32 = 30;

/// How many symbols have a code of so many bits (RFC 7541 appendix B), but for the longest.
const SYMBOLS: [(u32, u32); 20] = [
    (SHORTEST_BITS, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
];

/// What is smaller than this, and not than the one before, begins with a symbol of so many bits.
static ENDS: [(u32, u32); SYMBOLS.len()] = {
    let (mut ends, mut end, mut at) = ([(0, 0); SYMBOLS.len()], 0, 0);
    while at < SYMBOLS.len() {
        let (bits, symbols) = SYMBOLS[at];
        end += symbols << (u32::BITS - bits);
        ends[at] = (end, bits);
        at += 1;
    }
    ends
};

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> Huffman {
        let mut huffman = Huffman::default();
        bytes.chunks(piece).for_each(|piece| huffman.read(piece));
        huffman
    }

    #[test]
    fn the_code_is_complete() {
        // The four symbols that are left have the longest code.
        let (end, _) = ENDS[ENDS.len() - 1];
        assert_eq!(end, u32::MAX << 4);
        // The first and the last of some lengths, as the RFC lists them.
        for (code, bits) in [
            (0x0, 5),
            (0x9, 5),
            (0x14, 6),
            (0x5c, 7),
            (0xfd, 8),
            (0x3fc, 10),
            (0x7fa, 11),
            (HASH, HASH_BITS),
            (0xffb, 12),
            (0x1ffd, 13),
            (0x7fff0, 19),
            (0xfff_ffe2, 28),
            (0x3fff_fffc, 30),
        ] {
            assert_eq!(symbol_bits(code << (u32::BITS - bits)), bits, "{code:x}");
        }
    }

    #[test]
    fn strings_are_read_in_pieces_of_any_size() {
        for piece in [1, 2, 100] {
            // Examples of RFC 7541 (C.4.1, C.6.1), `/a#b`, and nothing.
            for (bytes, len, has_hash) in [
                (
                    &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                    15,
                    false,
                ),
                (
                    b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
                    23,
                    false,
                ),
                (b"\x60\x7f\xf5\x1f", 4, true),
                (b"", 0, false),
            ] {
                let huffman = read(bytes, piece);
                assert!(!huffman.is_broken(), "{bytes:x?}");
                assert_eq!((huffman.len(), huffman.has_hash()), (len, has_hash), "{bytes:x?}");
            }
            // Filled with zeros, with a byte or more, and the end of strings.
            for bytes in [&b"\0"[..], b"\xff", b"\x07\xff", b"\xff\xff", b"\xff\xff\xff\xff"] {
                assert!(read(bytes, piece).is_broken(), "{bytes:x?}");
            }
        }
    }
}
