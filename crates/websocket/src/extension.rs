//! Agreeing on permessage-deflate (RFC 7692 §7.1).

use super::deflate::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// Window of what we compress; told to the client when it asked for a smaller one.
    pub window_bits: u8,
    told: bool,
}

impl Deflate {
    /// Takes the first of a client's offers that can be kept to; `fields` are its Sec-WebSocket-Extensions
    /// fields.
    pub fn agree<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        fields
            .flat_map(|field| field.split(|byte| *byte == b','))
            .find_map(Self::take)
    }

    /// One offer.
    fn take(offer: &[u8]) -> Option<Self> {
        let mut parts = offer.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        if !parts.next()?.eq_ignore_ascii_case(b"permessage-deflate") {
            return None;
        }
        let mut agreed = Self {
            window_bits: WINDOW_BITS_MAX,
            told: false,
        };
        let mut seen = [false; 4];
        for part in parts {
            let (name, value) = match part.iter().position(|byte| *byte == b'=') {
                Some(at) => (
                    part[..at].trim_ascii_end(),
                    Some(part[at + 1..].trim_ascii_start()),
                ),
                None => (part, None),
            };
            let index = PARAMETERS
                .iter()
                .position(|known| name.eq_ignore_ascii_case(known))?;
            if std::mem::replace(&mut seen[index], true) {
                return None;
            }
            match (index, value) {
                // Both are kept to anyway.
                (SERVER_NO_TAKEOVER | CLIENT_NO_TAKEOVER, None) => {}
                (SERVER_WINDOW, Some(value)) => {
                    agreed.window_bits = bits(value).filter(|bits| *bits >= WINDOW_BITS_MIN)?;
                    agreed.told = true;
                }
                // The client could use a smaller window than the one that we can read anyway.
                (CLIENT_WINDOW, None) => {}
                (CLIENT_WINDOW, Some(value)) => {
                    bits(value)?;
                }
                _ => return None,
            }
        }
        Some(agreed)
    }

    /// The field that tells the client.
    pub fn field(self) -> String {
        let mut field =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned();
        if self.told {
            field.push_str("; server_max_window_bits=");
            field.push_str(itoa::Buffer::new().format(self.window_bits));
        }
        field
    }
}

const PARAMETERS: [&[u8]; 4] = [
    b"server_no_context_takeover",
    b"client_no_context_takeover",
    b"server_max_window_bits",
    b"client_max_window_bits",
];
const SERVER_NO_TAKEOVER: usize = 0;
const CLIENT_NO_TAKEOVER: usize = 1;
const SERVER_WINDOW: usize = 2;
const CLIENT_WINDOW: usize = 3;

/// 8 to 15 without leading zeros, perhaps in quotes.
fn bits(value: &[u8]) -> Option<u8> {
    let value = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value);
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(offers: &str) -> Option<String> {
        Deflate::agree([offers.as_bytes()].into_iter()).map(Deflate::field)
    }

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn the_first_offer_that_can_be_kept_to_is_taken() {
        for offers in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=10; server_no_context_takeover",
            "x-webkit-deflate-frame, Permessage-Deflate ;client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            "permessage-deflate; unknown, permessage-deflate",
        ] {
            assert_eq!(field(offers).as_deref(), Some(PLAIN), "{offers}");
        }
        let narrow = field("permessage-deflate; server_max_window_bits=\"10\"");
        assert_eq!(narrow, Some(format!("{PLAIN}; server_max_window_bits=10")));
    }

    #[test]
    fn an_offer_that_breaks_the_rules_is_declined() {
        for offers in [
            "",
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=010",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; ",
        ] {
            assert_eq!(field(offers), None, "{offers}");
        }
    }
}
