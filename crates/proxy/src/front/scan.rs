//! Finds the end of a head in bytes that come in pieces.
//!
//! The scan looks at every byte once, however small the pieces are, and refuses at once what can never become a valid
//! head: a client that ends its lines with a bare LF would otherwise wait for an answer until the deadline.

use config::Limits;
use message::refusal::Refusal;
use message::token::is_token_byte;

/// How far a head has been looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Bytes known to hold no further line end.
    seen: usize,
    /// Where the line that is being read starts.
    line: usize,
    /// Lines seen, the request line included, the empty one not.
    lines: usize,
}

impl Scan {
    /// Looks at the bytes read so far, which start with those of the earlier calls. `Some(n)`: the head is the first
    /// `n` bytes.
    pub(crate) fn find_end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        if let Some(first) = bytes.first()
            && !is_token_byte(*first)
        {
            return Err(Refusal::bad("no method at the start of the request line"));
        }
        for end in memchr::memchr_iter(b'\n', &bytes[self.seen..]).map(|at| self.seen + at) {
            if end == self.line || bytes[end - 1] != b'\r' {
                return Err(Refusal::bad("line ended by a bare LF"));
            }
            if end - 1 == self.line {
                let len = end + 1;
                return if len > limits.head_bytes_max {
                    Err(TOO_LARGE)
                } else {
                    Ok(Some(len))
                };
            }
            if self.lines == 0 && end - 1 > limits.target_bytes_max {
                return Err(LINE_TOO_LONG);
            }
            self.lines += 1;
            self.line = end + 1;
            if self.lines > limits.headers_max.saturating_add(1) {
                return Err(Refusal::new(431, "too many header fields"));
            }
        }
        self.seen = bytes.len();
        if self.lines == 0 && bytes.len() > limits.target_bytes_max.saturating_add(1) {
            return Err(LINE_TOO_LONG);
        }
        if bytes.len() > limits.head_bytes_max {
            return Err(TOO_LARGE);
        }
        Ok(None)
    }

    /// Where the last whole line ends.
    pub(crate) fn whole_lines(&self) -> usize {
        self.line
    }

    /// Header fields seen.
    pub(crate) fn fields(&self) -> usize {
        self.lines.saturating_sub(1)
    }
}

const LINE_TOO_LONG: Refusal = Refusal::new(414, "request line too long");
const TOO_LARGE: Refusal = Refusal::new(431, "request head too large");
