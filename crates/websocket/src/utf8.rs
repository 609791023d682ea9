//! UTF-8 that comes in pieces.

use std::str::from_utf8;

/// Checks a text piece by piece; a wrong byte is found in the piece that holds it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character whose rest has not come.
    begun: [u8; 4],
    len: usize,
}

/// Not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8 {
    /// The next piece.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), NotUtf8> {
        while self.len > 0
            && let [first, rest @ ..] = bytes
        {
            // At most three bytes wait: four are a character or an error.
            self.begun[self.len] = *first;
            self.len += 1;
            bytes = rest;
            match from_utf8(&self.begun[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(NotUtf8),
            }
        }
        match from_utf8(bytes) {
            Ok(_) => Ok(()),
            // A character that is well begun and not whole.
            Err(error) if error.error_len().is_none() => {
                let begun = &bytes[error.valid_up_to()..];
                self.begun[..begun.len()].copy_from_slice(begun);
                self.len = begun.len();
                Ok(())
            }
            Err(_) => Err(NotUtf8),
        }
    }

    /// Does the text end between two characters?
    pub(super) fn is_whole(self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_may_come_byte_by_byte() {
        let mut utf8 = Utf8::default();
        for byte in "κόσμε🎉".bytes() {
            utf8.feed(&[byte]).expect("valid");
        }
        assert!(utf8.is_whole());
        utf8.feed(b"\xf0\x9f").expect("begun");
        assert!(!utf8.is_whole());
    }

    #[test]
    fn the_first_byte_that_can_not_be_is_an_error() {
        // A surrogate, something past U+10FFFF, an overlong form: wrong at their second byte.
        for wrong in [b"\xed\xa0", b"\xf4\x90", b"\xc0\xaf", b"\xe0\x80"] {
            assert_eq!(Utf8::default().feed(wrong), Err(NotUtf8));
            let mut utf8 = Utf8::default();
            let first = utf8.feed(&wrong[..1]);
            assert!(first.is_err() || utf8.feed(&wrong[1..]).is_err());
        }
    }
}
