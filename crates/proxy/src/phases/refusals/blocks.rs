//! What a client's field blocks say that h2 does not hand on.
//!
//! h2 cuts a fragment off `:path` and drops the pseudo fields of trailers, where HTTP/1.1 refuses the
//! request; and it has one word for a block that it cannot decompress and for one whose fields are forbidden.
//! So the blocks are [walked](Fields) as they pass by, in the order in which h2 decompresses them.
//!
//! A head whose stream depends on itself h2 resets without decompressing it, so that its table is no longer
//! the client's and later requests get fields that nobody has sent. RFC 9113 §4.3 forbids that, and knows no
//! dependencies any more (§5.3.2): such a head is to be changed before h2 sees it, and is refused by us.

mod fields;
mod huffman;
mod table;
#[cfg(test)]
mod tests;
mod text;

use self::fields::Fields;
use super::frames::{CONTINUATION, END_HEADERS, Frame, HEADERS, PRIORITY_LEN};

/// The bit before a dependency (RFC 7540 §6.2).
const EXCLUSIVE: u32 = 1 << 31;

/// All blocks of a connection.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// The stream of the block under way.
    open: Option<u32>,
    /// It is of trailers.
    is_trailers: bool,
    /// Bytes of the frame under way: these come before the fields, and these are of fields.
    before: usize,
    left: usize,
    /// The first byte of the frame says how much of it stands behind the fields.
    is_padded: bool,
    /// What has come of the stream that the one of the frame depends on.
    dependency: u32,
    /// The block's stream depends on itself.
    depends: bool,
    fields: Fields,
}

/// A block, as far as it has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// It has pseudo fields.
    pseudo: bool,
    /// It has a `:path` with a `#`.
    fragment: bool,
    /// Its stream depends on itself.
    depends: bool,
    /// It is of trailers, and all of it is there.
    is_trailers: bool,
    is_whole: bool,
    /// It is against the rules of the compression (RFC 7541).
    pub(super) broken: bool,
}

impl Block {
    /// Is it complete, and the request malformed for what h2 does not hand over of it?
    pub(super) fn is_malformed(self) -> bool {
        let by = if self.is_trailers {
            self.pseudo
        } else {
            self.fragment
        };
        self.is_whole && (by || self.depends)
    }
}

impl Blocks {
    /// Is a block under way?
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A frame begins; `last`: the last stream that the client has opened before.
    pub(super) fn begun(&mut self, frame: Frame, last: u32) {
        (self.before, self.left, self.is_padded) = (0, 0, false);
        self.dependency = 0;
        match frame.kind {
            HEADERS => {
                self.open = Some(frame.stream);
                self.depends = false;
                self.is_trailers = frame.stream <= last;
                self.before = frame.head_min();
                self.left = frame.length.saturating_sub(self.before);
                self.is_padded = frame.is_padded();
                self.fields.begin();
            }
            CONTINUATION if self.open == Some(frame.stream) => self.left = frame.length,
            _ => {}
        }
    }

    /// A piece of its payload, which is not empty. The byte of it whose lowest bit has to be another for the
    /// stream not to depend on itself.
    pub(super) fn payload(&mut self, payload: &[u8]) -> Option<usize> {
        if std::mem::take(&mut self.is_padded) {
            let padding = payload.first().copied().unwrap_or_default();
            self.left = self.left.saturating_sub(padding.into());
        }
        let (before, payload) = payload.split_at(self.before.min(payload.len()));
        let dependent = self.dependent(before);
        self.before -= before.len();
        let (fields, _) = payload.split_at(self.left.min(payload.len()));
        self.left -= fields.len();
        self.fields.read(fields);
        dependent
    }

    /// The next bytes before the fields: the last byte of the stream's own number, where that depends on
    /// itself.
    fn dependent(&mut self, before: &[u8]) -> Option<usize> {
        // All but the weight, which is the last byte, and the length of the padding.
        let left = (2..=self.before).rev().zip(before).enumerate();
        for (at, (left, byte)) in left.filter(|(_, (left, _))| *left <= PRIORITY_LEN) {
            self.dependency = self.dependency << 8 | u32::from(*byte);
            if left == 2 && self.open == Some(self.dependency & !EXCLUSIVE) {
                self.depends = true;
                return Some(at);
            }
        }
        None
    }

    /// It is complete: the block that it is of, if any.
    pub(super) fn ended(&mut self, frame: Frame) -> Option<Block> {
        if !matches!(frame.kind, HEADERS | CONTINUATION) || self.open != Some(frame.stream) {
            return None;
        }
        let is_whole = frame.flags & END_HEADERS != 0;
        if is_whole {
            self.open = None;
            self.fields.end();
        }
        Some(Block {
            is_trailers: self.is_trailers,
            is_whole,
            depends: self.depends,
            ..self.fields.found()
        })
    }
}
