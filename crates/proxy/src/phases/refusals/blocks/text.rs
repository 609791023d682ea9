//! A string of a field block (RFC 7541 §5.2).

use super::{huffman::Huffman, table::Known};

/// One on its way. Keeps its first bytes, whatever passes.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// `None`: it is sent as it is.
    huffman: Option<Huffman>,
    start: [u8; START_LEN],
    start_len: usize,
    /// Bytes that have come as they are.
    plain: usize,
    has_hash: bool,
}

/// One byte more than the name that is looked for.
const START_LEN: usize = PATH.len() + 1;

const PATH: &[u8] = b":path";

/// The same in the Huffman code, where each string has one form, and the seven bits that it begins with.
const PATH_CODE: &[u8] = &[0xb9, 0x58, 0xd3, 0x3f];
const COLON_CODE: u8 = 0x5c;

impl Text {
    pub(super) fn new(is_huffman: bool) -> Self {
        Self {
            huffman: is_huffman.then(Huffman::default),
            ..Self::default()
        }
    }

    /// A piece of it.
    pub(super) fn read(&mut self, piece: &[u8]) {
        let room = &mut self.start[self.start_len..];
        let len = piece.len().min(room.len());
        room[..len].copy_from_slice(&piece[..len]);
        self.start_len += len;
        match &mut self.huffman {
            Some(huffman) => huffman.read(piece),
            None => {
                self.plain += piece.len();
                self.has_hash |= piece.contains(&b'#');
            }
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.huffman.as_ref().is_some_and(Huffman::is_broken)
    }

    /// Bytes of it once it is decoded.
    pub(super) fn len(&self) -> usize {
        self.huffman.as_ref().map_or(self.plain, Huffman::len)
    }

    /// It is the value of a field with this name.
    pub(super) fn value_of(&self, name: Known) -> Known {
        let has_hash = self.huffman.as_ref().map_or(self.has_hash, Huffman::has_hash);
        Known {
            fragment: name.path && has_hash,
            ..name
        }
    }

    /// It is the name of a field.
    pub(super) fn name(&self) -> Known {
        let start = &self.start[..self.start_len];
        let (pseudo, path) = match self.huffman {
            Some(_) => (
                start.first().is_some_and(|byte| byte >> 1 == COLON_CODE),
                start == PATH_CODE,
            ),
            None => (start.starts_with(b":"), start == PATH),
        };
        Known {
            pseudo,
            path,
            fragment: false,
            name_len: self.len(),
        }
    }
}
