//! A walk through the fields of a block (RFC 7541 §6).
//!
//! It finds where each field begins, whether its name is a pseudo field's, and whether a path has a `#`. No
//! string is kept, only lengths, so that it costs a client's request next to nothing, and half a kilobyte of
//! memory for each connection.

use super::{
    Block,
    table::{self, Known, Table},
    text::Text,
};

/// Where in the blocks of a connection we are.
#[derive(Debug, Default)]
pub(super) struct Fields {
    place: Place,
    /// An integer that has begun: what is known of it, and by how much its next bits are shifted.
    integer: Option<(usize, u32)>,
    /// Of the field under way: will the table know it, its name, and the string of it that comes.
    inserts: bool,
    name: Known,
    text: Text,
    /// Bytes of that string still to come.
    left: usize,
    table: Table,
    /// There are fields in the block.
    has_fields: bool,
    found: Block,
    /// A block was broken: h2 ends the connection.
    is_lost: bool,
}

/// What comes next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Field,
    /// The rest of an index into the table, of a whole field or of a name, or of a new size of the table.
    Index,
    NameIndex,
    Size,
    NameLength,
    Name,
    ValueLength,
    Value,
}

/// h2 takes integers of five bytes.
const SHIFT_MAX: u32 = 21;

impl Fields {
    /// A block begins.
    pub(super) fn begin(&mut self) {
        self.found = Block::default();
        self.has_fields = false;
        // One within another h2 ends the connection for.
        self.is_lost |= self.place != Place::Field;
    }

    /// More of it.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !self.is_lost {
            if matches!(self.place, Place::Name | Place::Value) {
                let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= piece.len();
                self.text.read(piece);
                bytes = rest;
                if self.left > 0 {
                    return;
                }
                self.end_text();
            } else {
                let Some((byte, rest)) = bytes.split_first() else {
                    return;
                };
                bytes = rest;
                self.byte(*byte);
            }
        }
    }

    /// It is complete.
    pub(super) fn end(&mut self) {
        if self.place != Place::Field && !self.is_lost {
            self.lose();
        }
    }

    /// What is in it so far.
    pub(super) fn found(&self) -> Block {
        self.found
    }

    /// A byte that is not of a string.
    fn byte(&mut self, byte: u8) {
        let Some((value, shift)) = self.integer else {
            return self.first_byte(byte);
        };
        if shift > SHIFT_MAX {
            return self.lose();
        }
        let value = value + (usize::from(byte & 0x7f) << shift);
        if byte & 0x80 == 0 {
            self.integer = None;
            self.number(value);
        } else {
            self.integer = Some((value, shift + 7));
        }
    }

    /// One that an integer begins in: its lowest bits, unless all of them are set (RFC 7541 §5.1).
    fn first_byte(&mut self, byte: u8) {
        let bits = match (self.place, byte) {
            (Place::Field, 0x80..) => {
                self.place = Place::Index;
                7
            }
            (Place::Field, 0x20..0x40) => {
                self.place = Place::Size;
                5
            }
            (Place::Field, _) => {
                self.place = Place::NameIndex;
                self.inserts = byte & 0x40 != 0;
                if self.inserts { 6 } else { 4 }
            }
            _ => {
                self.text = Text::new(byte & 0x80 != 0);
                7
            }
        };
        let mask = (1 << bits) - 1;
        match usize::from(byte) & mask {
            value if value == mask => self.integer = Some((value, 0)),
            value => self.number(value),
        }
    }

    /// An integer is complete.
    fn number(&mut self, value: usize) {
        match self.place {
            // A new size comes first, and is no larger than the one agreed on (RFC 7541 §4.2, §6.3).
            Place::Size if self.has_fields || value > table::BYTES_MAX => self.lose(),
            Place::Size => {
                self.table.resize(value);
                self.place = Place::Field;
            }
            Place::NameIndex if value == 0 => self.place = Place::NameLength,
            Place::Index | Place::NameIndex => match self.table.get(value) {
                None => self.lose(),
                Some(known) if self.place == Place::Index => self.field(known),
                Some(known) => {
                    self.name = known;
                    self.place = Place::ValueLength;
                }
            },
            place => {
                self.left = value;
                self.place = if place == Place::NameLength {
                    Place::Name
                } else {
                    Place::Value
                };
            }
        }
    }

    /// A string is complete.
    fn end_text(&mut self) {
        if self.text.is_broken() {
            self.lose();
        } else if self.place == Place::Name {
            self.name = self.text.name();
            self.place = Place::ValueLength;
        } else {
            let known = self.text.value_of(self.name);
            if self.inserts {
                self.table.insert(known, self.text.len());
            }
            self.field(known);
        }
    }

    /// A field is complete.
    fn field(&mut self, known: Known) {
        self.place = Place::Field;
        self.has_fields = true;
        self.found.pseudo |= known.pseudo;
        self.found.fragment |= known.fragment;
    }

    fn lose(&mut self) {
        self.is_lost = true;
        self.found.broken = true;
    }
}
