//! A client's settings as they pass by (RFC 9113 §6.5): what they say of windows, and whether one is against
//! the rules.

/// Keeps one entry of six bytes, whatever passes.
#[derive(Debug)]
pub(super) struct Settings {
    /// The window that the answer of each stream has at first.
    first_window: u32,
    shrunk: bool,
    fault: Option<u32>,
    entry: [u8; ENTRY_LEN],
    have: usize,
}

const ENTRY_LEN: usize = 6;

/// RFC 9113 §6.5.2 and RFC 8441: the numbers of what has a value that it cannot have.
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

const FIRST_WINDOW_DEFAULT: u32 = 65_535;
const WINDOW_MAX: u32 = i32::MAX as u32;
const FRAME_SIZES: std::ops::RangeInclusive<u32> = 1 << 14..=(1 << 24) - 1;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            first_window: FIRST_WINDOW_DEFAULT,
            shrunk: false,
            fault: None,
            entry: [0; ENTRY_LEN],
            have: 0,
        }
    }

    /// A frame of settings begins.
    pub(super) fn begin(&mut self) {
        self.have = 0;
        self.fault = None;
    }

    /// A piece of it.
    pub(super) fn read(&mut self, payload: &[u8]) {
        for byte in payload {
            self.entry[self.have] = *byte;
            self.have += 1;
            if self.have == ENTRY_LEN {
                self.have = 0;
                let [a, b, value @ ..] = self.entry;
                self.set(u16::from_be_bytes([a, b]), u32::from_be_bytes(value));
            }
        }
    }

    fn set(&mut self, setting: u16, value: u32) {
        let fault = match setting {
            ENABLE_PUSH | ENABLE_CONNECT_PROTOCOL if value > 1 => PROTOCOL_ERROR,
            MAX_FRAME_SIZE if !FRAME_SIZES.contains(&value) => PROTOCOL_ERROR,
            INITIAL_WINDOW_SIZE if value > WINDOW_MAX => FLOW_CONTROL_ERROR,
            INITIAL_WINDOW_SIZE => {
                self.shrunk |= value < self.first_window;
                self.first_window = value;
                return;
            }
            _ => return,
        };
        self.fault.get_or_insert(fault);
    }

    /// What the connection has to end with for this frame, so far.
    pub(super) fn fault(&self) -> Option<u32> {
        self.fault
    }

    /// Has the first window become smaller since the last call? Every stream's window shrinks with it, below
    /// zero if need be, so that what h2 has for the stream cannot leave.
    pub(super) fn take_shrunk(&mut self) -> bool {
        std::mem::take(&mut self.shrunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(setting: u16, value: u32) -> Vec<u8> {
        [&setting.to_be_bytes()[..], &value.to_be_bytes()].concat()
    }

    fn window(bytes: u32) -> Vec<u8> {
        entry(INITIAL_WINDOW_SIZE, bytes)
    }

    #[test]
    fn a_window_that_becomes_smaller_is_seen_in_pieces_of_any_size() {
        let other = entry(3, 1);
        for (payload, shrinks) in [
            (window(65_535), false),
            (window(65_534), true),
            ([window(1 << 20), window(0)].concat(), true),
            ([window(1 << 20), other.clone()].concat(), false),
            ([&other[..], &window(0), &window(1 << 20)].concat(), true),
            (other.clone(), false),
        ] {
            for piece in [1, 4, 7, 100] {
                let mut settings = Settings::new();
                settings.begin();
                payload.chunks(piece).for_each(|piece| settings.read(piece));
                assert_eq!(
                    settings.take_shrunk(),
                    shrinks,
                    "{payload:?} in pieces of {piece}"
                );
                assert!(!settings.take_shrunk());
            }
        }
        // An entry that is cut ends with its frame.
        let mut settings = Settings::new();
        settings.read(&[0]);
        settings.begin();
        settings.read(&window(1));
        assert!(settings.take_shrunk());
    }

    #[test]
    fn a_value_that_cannot_be_has_its_reason() {
        for (payload, fault) in [
            (entry(ENABLE_PUSH, 2), Some(PROTOCOL_ERROR)),
            (entry(MAX_FRAME_SIZE, 16_383), Some(PROTOCOL_ERROR)),
            (entry(MAX_FRAME_SIZE, 1 << 24), Some(PROTOCOL_ERROR)),
            (window(1 << 31), Some(FLOW_CONTROL_ERROR)),
            (
                [window(1 << 31), entry(ENABLE_PUSH, 2)].concat(),
                Some(FLOW_CONTROL_ERROR),
            ),
            (
                [
                    window(WINDOW_MAX),
                    entry(MAX_FRAME_SIZE, 16_384),
                    entry(ENABLE_PUSH, 1),
                ]
                .concat(),
                None,
            ),
            (entry(0xbeef, u32::MAX), None),
        ] {
            let mut settings = Settings::new();
            settings.begin();
            settings.read(&payload);
            assert_eq!(settings.fault(), fault, "{payload:?}");
            settings.begin();
            assert_eq!(settings.fault(), None);
        }
    }
}
