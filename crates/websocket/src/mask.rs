//! Masking (RFC 6455 §5.3).

/// Removes the mask from a piece of a payload whose first byte is the payload's byte `at`.
pub(super) fn unmask(bytes: &mut [u8], mask: [u8; 4], at: u64) {
    let start = (at & 3) as usize;
    let turned: [u8; 4] = std::array::from_fn(|index| mask[(start + index) & 3]);
    let [a, b, c, d] = turned;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    // Whole words: the compiler makes vector instructions of this.
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let value: [u8; 8] = std::array::from_fn(|index| word[index]);
        word.copy_from_slice(&(u64::from_ne_bytes(value) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_are_unmasked_as_the_whole_is() {
        let plain: Vec<u8> = (0..100).collect();
        let mask = [0x12, 0x34, 0x56, 0x78];
        let masked: Vec<u8> = plain
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ mask[at % 4])
            .collect();
        for cut in 0..plain.len() {
            let mut bytes = masked.clone();
            let (first, second) = bytes.split_at_mut(cut);
            unmask(first, mask, 0);
            unmask(second, mask, cut as u64);
            assert_eq!(bytes, plain);
        }
    }
}
