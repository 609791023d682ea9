//! Bytes that another process may write at any time.

use std::{
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

use memmap2::MmapRaw;

/// A view of bytes that may change while it is there. It gives out copies, and the address for foreign code
/// that copies.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    start: *const u8,
    len: usize,
    _of: PhantomData<&'a [u8]>,
}

// SAFETY: the memory belongs to no thread, and is only ever copied from.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

/// Bytes that nobody writes can be copied as well.
impl<'a> From<&'a [u8]> for Shared<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self {
            start: bytes.as_ptr(),
            len: bytes.len(),
            _of: PhantomData,
        }
    }
}

impl<'a> Shared<'a> {
    #[inline]
    pub(crate) fn of(map: &'a MmapRaw) -> Self {
        Self {
            start: map.as_ptr(),
            len: map.len(),
            _of: PhantomData,
        }
    }

    /// How many.
    #[inline]
    pub fn len(self) -> usize {
        self.len
    }

    /// None?
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Some of them; `None` when they are not all here.
    #[inline]
    pub fn get(self, range: impl RangeBounds<usize>) -> Option<Self> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.checked_add(1)?,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.len,
        };
        (start <= end && end <= self.len).then(|| Self {
            // In bounds, so this is the address of one of these bytes, or the one behind them.
            start: self.start.wrapping_add(start),
            len: end - start,
            _of: PhantomData,
        })
    }

    /// Copies as many as both have.
    pub fn copy_to(self, out: &mut [u8]) {
        let len = self.len.min(out.len());
        // SAFETY: `start` is good for `len` bytes as long as they are borrowed, and `out` is somebody's own
        // memory, so the two do not overlap. What another process writes meanwhile is copied or is not: any
        // bytes will do.
        unsafe { std::ptr::copy_nonoverlapping(self.start, out.as_mut_ptr(), len) };
    }

    /// Where the first such byte was when it was looked for. It may have gone since: good for a length, never
    /// for a promise.
    pub fn find(self, byte: u8) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: `start` is good for `len` bytes as long as they are borrowed. C reads each of them once.
        let found = unsafe { libc::memchr(self.start.cast(), byte.into(), self.len) };
        (!found.is_null()).then(|| found.addr() - self.start.addr())
    }

    /// Where they are, for foreign code that copies [`Shared::len`] of them while this is borrowed.
    #[inline]
    pub fn as_ptr(self) -> *const u8 {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exclusive;

    fn map(bytes: &[u8]) -> MmapRaw {
        let mut own = Exclusive::new("body", 4096).expect("a file");
        own.bytes()[..bytes.len()].copy_from_slice(bytes);
        let file = own.file().try_clone().expect("a duplicate").into();
        crate::map::readable(&file, 4096).expect("a mapping")
    }

    #[test]
    fn a_part_is_copied_and_no_range_leads_out() {
        let map = map(b"one\ntwo");
        let all = Shared::of(&map);
        let mut out = [9; 5];
        all.get(4..7).expect("three").copy_to(&mut out);
        assert_eq!(&out, b"two\x09\x09");
        all.get(1..).expect("the rest").copy_to(&mut out);
        assert_eq!(&out, b"ne\ntw");
        assert_eq!(all.get(4096..).map(Shared::len), Some(0));
        assert!(all.get(4097..).is_none() && all.get(0..4097).is_none() && all.get(..=4096).is_none());
        let (start, end) = (4, 2);
        assert!(all.get(start..end).is_none() && all.get(..=usize::MAX).is_none());
    }

    #[test]
    fn a_byte_is_found_where_it_first_is() {
        let map = map(b"one\ntwo\n");
        let all = Shared::of(&map);
        assert_eq!(all.find(b'\n'), Some(3));
        let rest = all.get(4..8).expect("four");
        assert_eq!((rest.find(b'\n'), rest.find(b'x')), (Some(3), None));
        assert_eq!(all.get(..0).and_then(|none| none.find(0)), None);
    }
}
