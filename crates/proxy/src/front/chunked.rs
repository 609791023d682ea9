//! The chunked transfer coding, taken off (RFC 9112 §7.1).

use bytes::{Buf, Bytes, BytesMut};

/// Takes the chunked coding off a body that comes in pieces. Extensions and trailer fields are read past and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// At the start of a size line; counts its bytes seen in this state and the size so far.
    Size {
        /// Value of the digits seen.
        size: u64,
        /// Digits seen.
        digits: u8,
    },
    /// In what follows the size, up to the line end.
    Extension {
        /// Size of the chunk.
        size: u64,
        /// Bytes of extension seen.
        len: u16,
    },
    /// The CR of a size line has been seen.
    SizeLf {
        /// Size of the chunk.
        size: u64,
    },
    /// In the data of a chunk.
    Data {
        /// Bytes of it still to come.
        left: u64,
    },
    /// Behind the data.
    DataCr,
    /// Behind the CR that ends the data.
    DataLf,
    /// In the trailer section.
    Trailer {
        /// Bytes of trailer fields seen.
        total: u16,
        /// Bytes of this line seen.
        line: u16,
    },
    /// Behind a CR in the trailer section.
    TrailerLf {
        /// Bytes of trailer fields seen.
        total: u16,
        /// Bytes of this line before the CR.
        line: u16,
    },
    /// The body has ended.
    Done,
}

/// The coding is broken, or wasteful beyond the limits below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadChunk;

impl Chunked {
    /// A body of which nothing has been read.
    pub(crate) const fn new() -> Self {
        Self::Size { size: 0, digits: 0 }
    }

    /// Takes the next data out of `input`; `None`: either more input is needed or the body is [done](Self::is_done).
    /// What follows the body stays in `input`.
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, BadChunk> {
        while !self.is_done() {
            if let Self::Data { left } = self {
                let len = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                if len == 0 {
                    return Ok(None);
                }
                let data = input.split_to(len).freeze();
                *left -= len as u64;
                if *left == 0 {
                    *self = Self::DataCr;
                }
                return Ok(Some(data));
            }
            let Some(byte) = input.first().copied() else {
                return Ok(None);
            };
            *self = self.step(byte)?;
            input.advance(1);
        }
        Ok(None)
    }

    /// Has the whole body been read?
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// The state after one byte of framing.
    fn step(self, byte: u8) -> Result<Self, BadChunk> {
        Ok(match (self, byte) {
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < SIZE_DIGITS_MAX =>
            {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                Self::Size {
                    size: size << 4 | digit,
                    digits: digits + 1,
                }
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeLf { size },
            (Self::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Self::Extension { size, len: 0 },
            (Self::Extension { size, .. }, b'\r') => Self::SizeLf { size },
            (Self::Extension { size, len }, _) if len < EXTENSION_BYTES_MAX && is_text(byte) => {
                Self::Extension { size, len: len + 1 }
            }
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer { total: 0, line: 0 },
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::new(),
            (Self::Trailer { total, line }, b'\r') => Self::TrailerLf { total, line },
            (Self::Trailer { total, line }, _) if total < TRAILER_BYTES_MAX && is_text(byte) => {
                Self::Trailer {
                    total: total + 1,
                    line: line + 1,
                }
            }
            (Self::TrailerLf { line: 0, .. }, b'\n') => Self::Done,
            (Self::TrailerLf { total, .. }, b'\n') => Self::Trailer { total, line: 0 },
            _ => return Err(BadChunk),
        })
    }
}

const fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

/// 60 bits: more than any body limit, and never an overflow.
const SIZE_DIGITS_MAX: u8 = 15;
/// Per chunk; nobody uses extensions but to waste a server's time.
const EXTENSION_BYTES_MAX: u16 = 256;
const TRAILER_BYTES_MAX: u16 = 8 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), BadChunk> {
        let (mut chunked, mut input, mut body) = (Chunked::new(), BytesMut::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Some(data) = chunked.decode(&mut input)? {
                body.extend_from_slice(&data);
            }
        }
        Ok((body, chunked.is_done(), input.to_vec()))
    }

    #[test]
    fn extensions_and_trailers_are_dropped_and_the_next_request_is_kept() {
        let got =
            decode(&[b"3;a=\"b\"\r\nabc\r\n0A \r\n0123456789\r\n0\r\nX: y\r\nZ: 1\r\n\r\nGET /"]).unwrap();
        assert_eq!(got, (b"abc0123456789".to_vec(), true, b"GET /".to_vec()));
    }

    #[test]
    fn broken_framing_is_refused() {
        for bad in [
            &b"\r\n"[..],
            b";x\r\n",
            b"g\r\n",
            b"-1\r\n",
            b"0x3\r\n",
            b"+3\r\n",
            b"3\nabc",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n",
            b"3\rabc",
            b"3;\nx\r\n",
            b"1000000000000000\r\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\n\rX",
        ] {
            assert_eq!(decode(&[bad]), Err(BadChunk), "{}", bad.escape_ascii());
        }
        assert_eq!(decode(&[b"1;", &[b'x'; 300]]), Err(BadChunk));
        assert_eq!(decode(&[b"0\r\n", &[b'x'; 9000]]), Err(BadChunk));
    }

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_body(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\nrest");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([wire.len()]) {
                pieces.push(&wire[from..cut]);
                from = cut;
            }
            let got = decode(&pieces).unwrap();
            prop_assert_eq!(got, (chunks.concat(), true, b"rest".to_vec()));
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&bytes]);
        }
    }
}
