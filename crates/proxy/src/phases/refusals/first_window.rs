//! The window that a client gives to the answer of each stream (SETTINGS_INITIAL_WINDOW_SIZE), as its settings pass by.

/// What it was last. Keeps one entry of six bytes, whatever passes.
#[derive(Debug)]
pub(super) struct FirstWindow {
    bytes: u32,
    entry: [u8; ENTRY_LEN],
    have: usize,
}

const ENTRY_LEN: usize = 6;

/// RFC 9113 §6.5.2: its number among the settings, and what it is before it is set.
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
const DEFAULT_BYTES: u32 = 65_535;

impl FirstWindow {
    pub(super) fn new() -> Self {
        Self {
            bytes: DEFAULT_BYTES,
            entry: [0; ENTRY_LEN],
            have: 0,
        }
    }

    /// A frame of settings begins.
    pub(super) fn begin(&mut self) {
        self.have = 0;
    }

    /// A piece of it; does it make the window smaller? Every stream's window shrinks with it, below zero if
    /// need be, so that what h2 has for the stream can not leave.
    pub(super) fn read(&mut self, settings: &[u8]) -> bool {
        let mut shrinks = false;
        for byte in settings {
            self.entry[self.have] = *byte;
            self.have += 1;
            if self.have == ENTRY_LEN {
                self.have = 0;
                let [a, b, value @ ..] = self.entry;
                if [a, b] == INITIAL_WINDOW_SIZE {
                    let bytes = u32::from_be_bytes(value);
                    shrinks |= bytes < self.bytes;
                    self.bytes = bytes;
                }
            }
        }
        shrinks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(bytes: u32) -> Vec<u8> {
        [&INITIAL_WINDOW_SIZE[..], &bytes.to_be_bytes()].concat()
    }

    #[test]
    fn a_window_that_becomes_smaller_is_seen_in_pieces_of_any_size() {
        let other = [0, 3, 0, 0, 0, 1];
        for (settings, shrinks) in [
            (window(65_535), false),
            (window(65_534), true),
            ([window(1 << 20), window(0)].concat(), true),
            ([window(1 << 20), other.to_vec()].concat(), false),
            ([&other[..], &window(0), &window(1 << 20)].concat(), true),
            (other.to_vec(), false),
        ] {
            for piece in [1, 4, 7, 100] {
                let mut first = FirstWindow::new();
                first.begin();
                let seen = settings
                    .chunks(piece)
                    .fold(false, |seen, piece| first.read(piece) | seen);
                assert_eq!(seen, shrinks, "{settings:?} in pieces of {piece}");
            }
        }
        // An entry that is cut ends with its frame.
        let mut first = FirstWindow::new();
        assert!(!first.read(&[0]));
        first.begin();
        assert!(first.read(&window(1)));
    }
}
