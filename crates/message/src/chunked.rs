//! The chunked transfer coding, taken off (RFC 9112 §7.1).

use bytes::{Buf, Bytes, BytesMut};

use crate::token::is_token_byte;

/// Takes the chunked coding off a body that comes in pieces. Extensions and trailer fields are read past and
/// dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunked {
    state: State,
    /// Blanks may stand before the end of a size line.
    padded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a size line.
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
        /// Where in its grammar.
        part: Part,
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
        /// Where in its line.
        place: Place,
    },
    /// Behind a CR in the trailer section.
    TrailerLf {
        /// Bytes of trailer fields seen.
        total: u16,
        /// Where in its line the CR was.
        place: Place,
    },
    /// The body has ended.
    Done,
}

/// A place in chunk extensions: `;name`, `;name=value` or `;name="value"`, with blanks around `;` and `=`
/// (RFC 9112 §7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Blanks behind the size or behind a value.
    Blank,
    /// Behind a `;`.
    Semicolon,
    /// In a name.
    Name,
    /// Blanks behind a name.
    NameBlank,
    /// Behind a `=`.
    Equals,
    /// In a value.
    Value,
    /// In a quoted value.
    Quoted,
    /// Behind a backslash in it.
    Escaped,
    /// Behind its closing quote.
    QuoteEnd,
}

impl Part {
    /// The place after one byte, which is not a CR.
    fn step(self, byte: u8) -> Result<Self, BadChunk> {
        let blank = matches!(byte, b' ' | b'\t');
        Ok(match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteEnd,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) if is_text(byte) => Self::Quoted,
            (Self::Blank | Self::Name | Self::NameBlank | Self::Value | Self::QuoteEnd, b';') => {
                Self::Semicolon
            }
            (Self::Name | Self::NameBlank, b'=') => Self::Equals,
            (Self::Equals, b'"') => Self::Quoted,
            (Self::Semicolon | Self::Name, _) if is_token_byte(byte) => Self::Name,
            (Self::Equals | Self::Value, _) if is_token_byte(byte) => Self::Value,
            (Self::Name | Self::NameBlank, _) if blank => Self::NameBlank,
            (Self::Blank | Self::Value | Self::QuoteEnd, _) if blank => Self::Blank,
            (Self::Semicolon | Self::Equals, _) if blank => self,
            _ => return Err(BadChunk),
        })
    }

    /// May the line end here?
    const fn may_end(self, padded: bool) -> bool {
        match self {
            Self::Name | Self::Value | Self::QuoteEnd => true,
            Self::Blank | Self::NameBlank => padded,
            Self::Semicolon | Self::Equals | Self::Quoted | Self::Escaped => false,
        }
    }
}

/// A place in a line of the trailer section, which has fields as a head has (RFC 9112 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Name,
    /// Behind the colon.
    Value,
}

impl Place {
    /// The place after one byte, which is not a CR.
    fn step(self, byte: u8) -> Result<Self, BadChunk> {
        Ok(match (self, byte) {
            (Self::Start | Self::Name, _) if is_token_byte(byte) => Self::Name,
            (Self::Name, b':') => Self::Value,
            (Self::Value, _) if is_text(byte) => Self::Value,
            _ => return Err(BadChunk),
        })
    }
}

/// The coding is broken, or wasteful beyond the limits below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadChunk;

impl Chunked {
    /// The body of a request of which nothing has been read.
    pub const fn of_request() -> Self {
        Self {
            state: State::START,
            padded: false,
        }
    }

    /// The same of an answer: old servers pad their sizes with blanks.
    pub const fn of_answer() -> Self {
        Self {
            state: State::START,
            padded: true,
        }
    }

    /// Takes the next data out of `input`; `None`: either more input is needed or the body is
    /// [done](Self::is_done). What follows the body stays in `input`.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, BadChunk> {
        while !self.is_done() {
            if let State::Data { left } = &mut self.state {
                let len = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                if len == 0 {
                    return Ok(None);
                }
                let data = input.split_to(len).freeze();
                *left -= len as u64;
                if *left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Some(data));
            }
            let Some(byte) = input.first().copied() else {
                return Ok(None);
            };
            self.state = self.state.step(byte, self.padded)?;
            input.advance(1);
        }
        Ok(None)
    }

    /// Bytes of the chunk that has begun which are still to come.
    pub const fn announced(&self) -> u64 {
        match self.state {
            State::Data { left } => left,
            _ => 0,
        }
    }

    /// Has the whole body been read?
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

impl State {
    const START: Self = Self::Size { size: 0, digits: 0 };

    /// The state after one byte of framing.
    fn step(self, byte: u8, padded: bool) -> Result<Self, BadChunk> {
        Ok(match (self, byte) {
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < SIZE_DIGITS_MAX && size >> (SIZE_BITS_MAX - 4) == 0 =>
            {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                Self::Size {
                    size: size << 4 | digit,
                    digits: digits + 1,
                }
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeLf { size },
            (Self::Size { size, digits: 1.. }, _) => Self::Extension {
                size,
                len: 0,
                part: Part::Blank.step(byte)?,
            },
            (Self::Extension { size, part, .. }, b'\r') if part.may_end(padded) => Self::SizeLf { size },
            (Self::Extension { size, len, part }, _) if len < EXTENSION_BYTES_MAX => Self::Extension {
                size,
                len: len + 1,
                part: part.step(byte)?,
            },
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer {
                total: 0,
                place: Place::Start,
            },
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (Self::Trailer { total, place }, b'\r') if place != Place::Name => {
                Self::TrailerLf { total, place }
            }
            (Self::Trailer { total, place }, _) if total < TRAILER_BYTES_MAX => Self::Trailer {
                total: total + 1,
                place: place.step(byte)?,
            },
            (
                Self::TrailerLf {
                    place: Place::Start, ..
                },
                b'\n',
            ) => Self::Done,
            (Self::TrailerLf { total, .. }, b'\n') => Self::Trailer {
                total,
                place: Place::Start,
            },
            _ => return Err(BadChunk),
        })
    }
}

const fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

/// More than any body limit, and never an overflow.
const SIZE_BITS_MAX: u32 = 60;
/// With leading zeros, which the grammar allows (`1*HEXDIG`) and nginx, gunicorn and uvicorn take.
const SIZE_DIGITS_MAX: u8 = 128;
/// Per chunk; nobody uses extensions but to waste a server's time.
const EXTENSION_BYTES_MAX: u16 = 256;
const TRAILER_BYTES_MAX: u16 = 8 << 10;

/// Appends the size line of a chunk.
pub fn write_chunk_size(out: &mut BytesMut, len: u64) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = len;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), BadChunk> {
        let (mut chunked, mut input, mut body) = (Chunked::of_request(), BytesMut::new(), Vec::new());
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
            decode(&[b"3;a=\"b\"\r\nabc\r\n0A ; b = c;d\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\nGET /"])
                .unwrap();
        assert_eq!(got, (b"abc0123456789".to_vec(), true, b"GET /".to_vec()));
    }

    #[test]
    fn sizes_may_have_leading_zeros_within_reason() {
        for zeros in [1, 14, 25, 100] {
            let zeros = "0".repeat(zeros);
            let body = format!("{zeros}3\r\nabc\r\n{zeros}0\r\n\r\n");
            let got = decode(&[body.as_bytes()]).unwrap();
            assert_eq!(got, (b"abc".to_vec(), true, Vec::new()), "{body}");
        }
        for size in ["0".repeat(129), format!("{}1000000000000000", "0".repeat(30))] {
            assert_eq!(decode(&[size.as_bytes(), b"\r\n"]), Err(BadChunk), "{size}");
        }
    }

    #[test]
    fn extensions_of_the_grammar_pass() {
        for line in [
            "3;a",
            "3;a=x",
            "3 ;a=\"x\"",
            "3; a",
            "3\t;\ta\t=\tx",
            "3;a=\"q\\\"; [x\"",
            "3;a;b=\"\";c=1",
            "3;a=\"x\" ;b",
        ] {
            let wire = format!("{line}\r\nabc\r\n0{}\r\n\r\n", &line[1..]);
            let got = decode(&[wire.as_bytes()]);
            assert_eq!(got, Ok((b"abc".to_vec(), true, Vec::new())), "{line}");
        }
    }

    #[test]
    fn an_old_server_may_pad_its_sizes() {
        let (mut chunked, mut input) = (Chunked::of_answer(), BytesMut::from("3   \r\nabc\r\n0 \r\n\r\n"));
        assert_eq!(chunked.decode(&mut input), Ok(Some(Bytes::from("abc"))));
        assert_eq!(chunked.decode(&mut input), Ok(None));
        assert!(chunked.is_done());
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
            b"3;\r\n",
            b"3 \r\n",
            b"3\t\r\n",
            b"3;a \r\n",
            b"3;a=\r\n",
            b"3;bad[=x\r\n",
            b"3 erfrf\r\n",
            b"3;a=\"x\r\n",
            b"3;a=\"\\\r\n",
            b"3;a=\"x\"y\r\n",
            b"3;=x\r\n",
            b"3;;a\r\n",
            b"3;a=b=c\r\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\nX y: z\r\n\r\n",
            b"0\r\nX : y\r\n\r\n",
            b"0\r\n: y\r\n\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\nname\r\n\r\n",
            b"0\r\nX: y\r\n folded\r\n\r\n",
            b"0\r\nX\xe9: y\r\n\r\n",
            b"0\r\nX: a\0b\r\n\r\n",
            b"0\r\n\rX",
        ] {
            assert_eq!(decode(&[bad]), Err(BadChunk), "{}", bad.escape_ascii());
        }
        assert_eq!(decode(&[b"1;", &[b'x'; 300]]), Err(BadChunk));
        assert_eq!(decode(&[b"0\r\nX: ", &[b'x'; 9000]]), Err(BadChunk));
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

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        let mut out = BytesMut::new();
        for len in [0, 10, 0x1_0000] {
            write_chunk_size(&mut out, len);
        }
        assert_eq!(&out[..], b"0\r\na\r\n10000\r\n");
    }
}
