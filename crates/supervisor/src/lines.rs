//! What an application prints, cut into lines.
//!
//! The engine marks its lines, each of which is one write: `0x1e ID 0x1f TEXT`, or for a part of a line that
//! goes on `0x1e ID 0x1d THREAD 0x1f TEXT`, with `0x1e ID 0x1d THREAD 0x1d 0x1f TEXT` as the last one. `0x1c`
//! before the id says that the line is an error. What is not marked (programs that the application starts, C
//! code) may stop in the middle of a line. Marked lines then stand in it as they are, and it goes on behind
//! them.

#[doc(hidden)]
pub mod fuzz;

use std::collections::VecDeque;

use logs::error_log::AppLine;

/// Longest line in bytes; a longer one is cut, and the cut is marked.
pub(crate) const LINE_MAX: usize = 64 << 10;

/// Longest piece between a marker and the end of its line: what one write of a pipe keeps whole.
const MARKED_MAX: usize = 4096;

/// Lines of threads that go on, at most, and their bytes together; of more the oldest is cut.
const OPEN_MAX: usize = 64;
const OPEN_BYTES_MAX: usize = 4 * LINE_MAX;

/// What a stream keeps of the memory that a long line took, once that line has ended.
const KEPT_BYTES: usize = 4096;

/// Longest request id that is believed.
const REQUEST_ID_MAX: usize = 128;

const MARK: u8 = 0x1e;
const AFTER_ID: u8 = 0x1f;
const GOES_ON: u8 = 0x1d;
const ERROR: u8 = 0x1c;

/// Stands where a line was cut that is too long.
const CUT: &[u8] = " [line cut]".as_bytes();

/// The unfinished lines of one stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Not marked.
    rest: Vec<u8>,
    /// From a marker on, while its end has not come.
    marked: Option<Vec<u8>>,
    open: VecDeque<Open>,
}

/// A marked line that goes on.
#[derive(Debug)]
struct Open {
    thread: Vec<u8>,
    id: Option<String>,
    error: bool,
    text: Vec<u8>,
}

impl Open {
    fn line(&self) -> AppLine<'_> {
        AppLine {
            request_id: self.id.as_deref(),
            error: self.error,
            text: &self.text,
        }
    }

    /// It is too long, or too old: what there is of it becomes a line.
    fn cut(&mut self, line: &mut impl FnMut(AppLine<'_>)) {
        self.text.extend_from_slice(CUT);
        line(self.line());
        self.text.clear();
    }
}

/// A marked piece, taken apart.
struct Piece<'a> {
    line: AppLine<'a>,
    /// Of which thread, if it is a part of a line.
    thread: Option<&'a [u8]>,
    last: bool,
}

impl Lines {
    /// Takes what was read and calls `line` with the request id, if any, and the text of each line that is complete.
    pub(crate) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(AppLine<'_>)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let begins = if self.marked.is_some() {
                Some(0)
            } else {
                part.iter().position(|&byte| byte == MARK)
            };
            let (plain, marked) = part.split_at(begins.unwrap_or(part.len()));
            self.plain(plain, &mut line);
            if !marked.is_empty() {
                self.marked(marked, &mut line);
            }
        }
    }

    /// The stream has ended; what is left is a line too.
    pub(crate) fn end(&mut self, mut line: impl FnMut(AppLine<'_>)) {
        if let Some(marked) = self.marked.take() {
            self.rest.extend_from_slice(&marked);
        }
        for open in std::mem::take(&mut self.open) {
            line(open.line());
        }
        if !self.rest.is_empty() {
            finish(&mut self.rest, &mut line);
        }
    }

    fn plain(&mut self, mut bytes: &[u8], line: &mut impl FnMut(AppLine<'_>)) {
        while !bytes.is_empty() {
            let room = LINE_MAX - self.rest.len();
            let (piece, behind) = bytes.split_at(bytes.len().min(room));
            bytes = behind;
            match piece.strip_suffix(b"\n") {
                Some(piece) => {
                    self.rest.extend_from_slice(piece);
                    finish(&mut self.rest, line);
                }
                None => {
                    self.rest.extend_from_slice(piece);
                    if self.rest.len() == LINE_MAX {
                        self.rest.extend_from_slice(CUT);
                        finish(&mut self.rest, line);
                    }
                }
            }
        }
    }

    fn marked(&mut self, bytes: &[u8], line: &mut impl FnMut(AppLine<'_>)) {
        let mut marked = self.marked.take().unwrap_or_default();
        marked.extend_from_slice(bytes);
        let Some(whole) = marked.strip_suffix(b"\n") else {
            if marked.len() > MARKED_MAX {
                // Nothing of ours.
                self.plain(&marked, line);
            } else {
                self.marked = Some(marked);
            }
            return;
        };
        match Piece::of(whole) {
            Some(piece) => self.piece(&piece, line),
            None => self.plain(&marked, line),
        }
    }

    fn piece(&mut self, piece: &Piece<'_>, line: &mut impl FnMut(AppLine<'_>)) {
        let Some(thread) = piece.thread else {
            line(piece.line);
            return;
        };
        let at = self.open.iter().position(|open| open.thread == thread);
        let mut open = at.and_then(|at| self.open.remove(at)).unwrap_or_else(|| Open {
            thread: thread.to_vec(),
            id: piece.line.request_id.map(str::to_owned),
            error: piece.line.error,
            text: Vec::new(),
        });
        if open.text.len() + piece.line.text.len() > LINE_MAX {
            open.cut(line);
        }
        open.text.extend_from_slice(piece.line.text);
        if piece.last {
            line(open.line());
            return;
        }
        self.open.push_back(open);
        let bytes = |open: &VecDeque<Open>| open.iter().map(|open| open.text.len()).sum::<usize>();
        while (self.open.len() > OPEN_MAX || bytes(&self.open) > OPEN_BYTES_MAX)
            && let Some(mut oldest) = self.open.pop_front()
        {
            oldest.cut(line);
        }
    }
}

impl<'a> Piece<'a> {
    /// `None`: it only looks as if it were marked.
    fn of(piece: &'a [u8]) -> Option<Self> {
        let tagged = piece.strip_prefix(&[MARK])?;
        let end = tagged.iter().position(|&byte| byte == AFTER_ID)?;
        let (tag, text) = (&tagged[..end], &tagged[end + 1..]);
        let mut words = tag.split(|&byte| byte == GOES_ON);
        let id = words.next()?;
        let (id, error) = id.strip_prefix(&[ERROR]).map_or((id, false), |id| (id, true));
        let id = std::str::from_utf8(id).ok()?;
        let (thread, last) = (words.next(), words.next().is_some());
        is_request_id(id).then_some(Self {
            line: AppLine {
                request_id: Some(id).filter(|id| !id.is_empty()),
                error,
                text,
            },
            thread,
            last,
        })
    }
}

/// May this be the id of a request, or none? Those that the proxy makes or takes over have no other
/// characters, so nothing else that an application writes in the place of one gets into the field of the log
/// that says so.
fn is_request_id(id: &str) -> bool {
    id.len() <= REQUEST_ID_MAX
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn finish(rest: &mut Vec<u8>, line: &mut impl FnMut(AppLine<'_>)) {
    line(AppLine {
        request_id: None,
        error: false,
        text: rest.strip_suffix(b"\r").unwrap_or(rest),
    });
    rest.clear();
    rest.shrink_to(KEPT_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(Option<String>, Vec<u8>)> {
        let mut out = Vec::new();
        let mut lines = Lines::default();
        let mut take = |line: AppLine<'_>| {
            let id = line.request_id.map(str::to_owned);
            let mark: &[u8] = if line.error { b"error: " } else { b"" };
            out.push((id, [mark, line.text].concat()));
        };
        for piece in pieces {
            lines.push(piece, &mut take);
        }
        lines.end(take);
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
    fn what_is_no_request_id_marks_nothing() {
        let long = "a".repeat(REQUEST_ID_MAX + 1);
        for id in [
            "a b",
            "a\u{1b}[2J",
            "ü",
            "a\u{202e}",
            "a\"",
            "a=b",
            "a:",
            "a\u{0}",
            &long,
        ] {
            for piece in [
                format!("\u{1e}{id}\u{1f}x\n"),
                format!("\u{1e}\u{1c}{id}\u{1d}7\u{1d}\u{1f}x\n"),
            ] {
                let got = lines(&[piece.as_bytes()]);
                assert_eq!(got, [(None, piece.trim_end().as_bytes().to_vec())], "{id:?}");
            }
        }
        for id in ["0123456789abcdef0123456789abcdef", "a.B_9-", &long[1..]] {
            let got = lines(&[format!("\u{1e}{id}\u{1f}x\n").as_bytes()]);
            assert_eq!(got, [(Some(id.to_owned()), b"x".to_vec())]);
        }
    }

    #[test]
    fn the_memory_of_long_lines_is_given_back() {
        let mut lines = Lines::default();
        let mut said = 0;
        for _ in 0..3 {
            lines.push(&vec![b'x'; LINE_MAX - 1], |_| said += 1);
            lines.push(b"\n", |_| said += 1);
        }
        assert_eq!(said, 3);
        assert!(lines.rest.capacity() <= KEPT_BYTES, "{}", lines.rest.capacity());
        for thread in 0..OPEN_MAX {
            for _ in 0..LINE_MAX / 4000 {
                let part = format!("\u{1e}\u{1d}{thread}\u{1f}{}\n", "x".repeat(4000));
                lines.push(part.as_bytes(), |_| said += 1);
            }
        }
        let held: usize = lines.open.iter().map(|open| open.text.len()).sum();
        assert!(held <= OPEN_BYTES_MAX, "{held}");
    }

    #[test]
    fn a_line_that_is_an_error_says_so_whole_or_in_parts() {
        let got = lines(&[
            b"\x1e\x1cabc\x1ffailed\n\x1e\x1c\x1fno id\n\x1e\x1cid\x1d7\x1fa\n\x1e\x1cid\x1d7\x1d\x1fb\n",
        ]);
        assert_eq!(
            got,
            [
                (Some("abc".to_owned()), b"error: failed".to_vec()),
                (None, b"error: no id".to_vec()),
                (Some("id".to_owned()), b"error: ab".to_vec()),
            ]
        );
    }

    #[test]
    fn an_endless_line_is_cut_and_memory_is_bounded() {
        let got = lines(&[&vec![b'x'; 3 * LINE_MAX + 5]]);
        let lengths: Vec<usize> = got.iter().map(|(_, text)| text.len()).collect();
        let cut = LINE_MAX + CUT.len();
        assert_eq!(lengths, [cut, cut, cut, 5]);
        assert!(got[0].1.ends_with(CUT));
    }

    #[test]
    fn what_a_program_leaves_without_an_end_tears_no_marked_line() {
        let got = lines(&[
            b"dow",
            b"nload 10%",
            b"\x1eid\x1fhello\n",
            b" 20%\x1eid\x1fwor",
            b"ld\n 30%\n",
        ]);
        assert_eq!(got[0], (Some("id".to_owned()), b"hello".to_vec()));
        assert_eq!(got[1], (Some("id".to_owned()), b"world".to_vec()));
        assert_eq!(got[2], (None, b"download 10% 20% 30%".to_vec()));
        assert_eq!(got.len(), 3);
    }

    #[test]
    fn parts_of_a_line_are_put_together_by_thread() {
        let got = lines(&[
            b"\x1eone\x1d7\x1fa\n",
            b"\x1etwo\x1d8\x1fx\n\x1ethree\x1fwhole\n",
            b"\x1eone\x1d7\x1d\x1fb\n",
            b"\x1e\x1d9\x1fnever ended\n",
        ]);
        assert_eq!(
            got,
            [
                (Some("three".to_owned()), b"whole".to_vec()),
                (Some("one".to_owned()), b"ab".to_vec()),
                (Some("two".to_owned()), b"x".to_vec()),
                (None, b"never ended".to_vec()),
            ]
        );
    }

    #[test]
    fn a_line_of_parts_without_end_is_cut_and_its_memory_is_bounded() {
        let part = [b"\x1eid\x1d7\x1f".to_vec(), vec![b'x'; 4000], b"\n".to_vec()].concat();
        let parts = vec![part.as_slice(); 40];
        let got = lines(&parts);
        assert!(got.iter().all(|(_, text)| text.len() <= LINE_MAX + CUT.len()));
        assert_eq!(
            got.iter().filter(|(_, text)| text.ends_with(CUT)).count(),
            got.len() - 1
        );
        let threads: Vec<Vec<u8>> = (0..1000)
            .map(|at| format!("\x1e\x1d{at}\x1fx\n").into_bytes())
            .collect();
        let threads: Vec<&[u8]> = threads.iter().map(Vec::as_slice).collect();
        assert_eq!(lines(&threads).len(), 1000);
    }
}
