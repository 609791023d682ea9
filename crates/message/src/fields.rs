//! Header fields in one flat buffer, in the form in which HTTP/1 sends them.

use bytes::BytesMut;

use crate::field_name;

/// Header fields in order. One allocation for the text and one for the positions, however many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// `name: value\r\n` of every field.
    text: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    name_len: u32,
    value_len: u32,
}

impl Fields {
    /// No field yet, room for a usual head.
    #[inline]
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            spans: Vec::with_capacity(fields),
        }
    }

    /// Appends a field. The caller has made sure that name and value hold no CR, LF or NUL, and that all
    /// fields together stay below 4 GiB (heads are limited far below).
    #[inline]
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        if self.spans.capacity() == 0 {
            self.spans.reserve(USUAL_FIELDS);
            self.text.reserve(USUAL_BYTES);
        }
        self.spans.push(Span {
            start: self.text.len() as u32,
            name_len: name.len() as u32,
            value_len: value.len() as u32,
        });
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
        self.text.extend_from_slice(b"\r\n");
    }

    /// Removes every field of this name (ASCII case does not matter).
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_none() {
            return;
        }
        let mut kept = Self::with_capacity(self.spans.len(), self.text.len());
        for (field, value) in self.iter() {
            if !field.eq_ignore_ascii_case(name.as_bytes()) {
                kept.push(field, value);
            }
        }
        *self = kept;
    }

    /// Replaces every field of this name by one.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Value of the first field of this name (ASCII case does not matter).
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Values of all fields of this name, in order.
    #[inline]
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Name and value of every field, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|span| {
            let name = span.start as usize;
            let value = name + span.name_len as usize + 2;
            (
                &self.text[name..name + span.name_len as usize],
                &self.text[value..value + span.value_len as usize],
            )
        })
    }

    /// Number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// All fields as lines, each ended by CRLF, with the names as they were given.
    #[inline]
    pub fn as_http1(&self) -> &[u8] {
        &self.text
    }

    /// Appends all fields to a head of ours, with the names in [one case](field_name).
    pub fn write_http1(&self, out: &mut BytesMut) {
        let before = out.len();
        out.extend_from_slice(&self.text);
        for span in &self.spans {
            let start = before + span.start as usize;
            field_name::capitalise(&mut out[start..start + span.name_len as usize]);
        }
    }
}

/// Room for the fields of a usual answer.
const USUAL_FIELDS: usize = 8;
const USUAL_BYTES: usize = 256;
