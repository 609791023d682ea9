//! What an application prints, cut into lines.
//!
//! A line may begin with the id of the request it belongs to, between 0x1e and 0x1f: the engine puts it there.

/// Longest line in bytes; a longer one goes on in the next.
pub(crate) const LINE_MAX: usize = 16 << 10;

/// Longest request id that is believed.
const REQUEST_ID_MAX: usize = 128;

const BEFORE_ID: u8 = 0x1e;
const AFTER_ID: u8 = 0x1f;

/// The unfinished line of one stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes what was read and calls `line` with the request id, if any, and the text of each line that is complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(Option<&str>, &[u8])) {
        while !bytes.is_empty() {
            let room = LINE_MAX - self.rest.len();
            let piece = &bytes[..bytes.len().min(room)];
            match piece.iter().position(|&byte| byte == b'\n') {
                Some(end) => {
                    self.rest.extend_from_slice(&piece[..end]);
                    bytes = &bytes[end + 1..];
                }
                None => {
                    self.rest.extend_from_slice(piece);
                    bytes = &bytes[piece.len()..];
                    if self.rest.len() < LINE_MAX {
                        return;
                    }
                }
            }
            self.finish(&mut line);
        }
    }

    /// The stream has ended; what is left is a line too.
    pub(crate) fn end(&mut self, mut line: impl FnMut(Option<&str>, &[u8])) {
        if !self.rest.is_empty() {
            self.finish(&mut line);
        }
    }

    fn finish(&mut self, line: &mut impl FnMut(Option<&str>, &[u8])) {
        let text = self.rest.strip_suffix(b"\r").unwrap_or(&self.rest);
        let (id, text) = split_id(text);
        line(id, text);
        self.rest.clear();
    }
}

fn split_id(line: &[u8]) -> (Option<&str>, &[u8]) {
    let Some(tagged) = line.strip_prefix(&[BEFORE_ID]) else {
        return (None, line);
    };
    let Some(end) = tagged
        .iter()
        .take(REQUEST_ID_MAX + 1)
        .position(|&byte| byte == AFTER_ID)
    else {
        return (None, line);
    };
    match std::str::from_utf8(&tagged[..end]) {
        Ok(id) => (Some(id), &tagged[end + 1..]),
        Err(_) => (None, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(Option<String>, Vec<u8>)> {
        let mut out = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.push(piece, |id, text| out.push((id.map(str::to_owned), text.to_vec())));
        }
        lines.end(|id, text| out.push((id.map(str::to_owned), text.to_vec())));
        out
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let got = lines(&[b"on", b"e\r\ntw", b"o\n\nlast"]);
        let texts: Vec<&[u8]> = got.iter().map(|(_, text)| text.as_slice()).collect();
        assert_eq!(texts, [b"one".as_slice(), b"two", b"", b"last"]);
    }

    #[test]
    fn the_request_id_is_taken_off() {
        let got = lines(&[b"\x1eabc\x1fhello\nplain\n\x1eno end\n"]);
        assert_eq!(got[0], (Some("abc".to_owned()), b"hello".to_vec()));
        assert_eq!(got[1], (None, b"plain".to_vec()));
        assert_eq!(got[2], (None, b"\x1eno end".to_vec()));
    }

    #[test]
    fn an_endless_line_is_cut_and_memory_is_bounded() {
        let got = lines(&[&vec![b'x'; 3 * LINE_MAX + 5]]);
        let lengths: Vec<usize> = got.iter().map(|(_, text)| text.len()).collect();
        assert_eq!(lengths, [LINE_MAX, LINE_MAX, LINE_MAX, 5]);
    }
}
