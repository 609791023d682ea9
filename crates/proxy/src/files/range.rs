//! Byte ranges (RFC 9110 §14).

use std::ops::Range;

/// What a Range field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ranges {
    /// All of it: another unit, a field that is none, or a set that costs more than the whole file.
    Whole,
    /// These parts, in the order asked for; never empty.
    Parts(Vec<Range<u64>>),
    /// The file has none of it: 416.
    Unsatisfiable,
}

/// Reads a Range field for a file of `len` bytes. What breaks the grammar is as if it were not there; nginx answers that
/// with 416.
pub(super) fn parse(value: &[u8], len: u64) -> Ranges {
    let Some((unit, set)) = value.split_at_checked(UNIT.len()) else {
        return Ranges::Whole;
    };
    if !unit.eq_ignore_ascii_case(UNIT) {
        return Ranges::Whole;
    }
    let mut parts = Vec::new();
    let mut total = 0_u64;
    let specs = set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let mut asked = 0;
    for spec in specs.filter(|spec| !spec.is_empty()) {
        asked += 1;
        let Some(part) = part(spec, len).filter(|_| asked <= PARTS_MAX) else {
            return Ranges::Whole;
        };
        if part.start < part.end {
            total = total.saturating_add(part.end - part.start);
            parts.push(part);
        } else if part.start == 0 {
            // An empty file has no bytes to choose from, but it can be had.
            return Ranges::Whole;
        }
    }
    match parts.len() {
        0 if asked == 0 => Ranges::Whole,
        0 => Ranges::Unsatisfiable,
        // Overlapping ranges that add up to more than the file are a mistake or an attack.
        _ if total > len => Ranges::Whole,
        _ => Ranges::Parts(parts),
    }
}

/// `first-last`, `first-` or `-suffix`; empty when the file ends before it. `None` when it is none of them.
fn part(spec: &[u8], len: u64) -> Option<Range<u64>> {
    let dash = memchr::memchr(b'-', spec)?;
    match (&spec[..dash], &spec[dash + 1..]) {
        (b"", suffix) => Some(len.saturating_sub(number(suffix)?)..len),
        (first, b"") => Some(number(first)?..len),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| first..last.saturating_add(1).min(len))
        }
    }
}

/// Digits; more than fit count as very many.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

const UNIT: &[u8] = b"bytes=";

/// A reader of a large document asks for some dozens; past this the whole file is cheaper for everybody.
const PARTS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_the_parts_that_the_file_has() {
        let parts =
            |list: &[(u64, u64)]| Ranges::Parts(list.iter().map(|&(start, end)| start..end).collect());
        for (value, expected) in [
            ("bytes=0-9", parts(&[(0, 10)])),
            ("Bytes=0-1", parts(&[(0, 2)])),
            ("bytes=0-0,-1", parts(&[(0, 1), (499, 500)])),
            ("bytes=-1000", parts(&[(0, 500)])),
            ("bytes=499-600", parts(&[(499, 500)])),
            ("bytes=0-9,5-14", parts(&[(0, 10), (5, 15)])),
            ("bytes=0-9,600-", parts(&[(0, 10)])),
            ("bytes= 0-9 , 20-29", parts(&[(0, 10), (20, 30)])),
            ("bytes=0-99999999999999999999", parts(&[(0, 500)])),
            ("bytes=0-400,5-", Ranges::Whole),
            ("bytes=0-9,", parts(&[(0, 10)])),
            ("foo=0-1", Ranges::Whole),
            ("bytes=", Ranges::Whole),
            ("bytes=,", Ranges::Whole),
            ("", Ranges::Whole),
            ("bytes=5-2", Ranges::Whole),
            ("bytes=9-5,0-1", Ranges::Whole),
            ("bytes=abc", Ranges::Whole),
            ("bytes=0-9,abc", Ranges::Whole),
            ("bytes=-", Ranges::Whole),
            ("bytes=1--2", Ranges::Whole),
            ("bytes=1 - 2", Ranges::Whole),
            ("bytes=-0", Ranges::Unsatisfiable),
            ("bytes=500-", Ranges::Unsatisfiable),
            ("bytes=99999999999999999999-", Ranges::Unsatisfiable),
        ] {
            assert_eq!(parse(value.as_bytes(), 500), expected, "{value}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Ranges::Whole);
        assert_eq!(parse(b"bytes=-5", 0), Ranges::Whole);
        assert_eq!(parse(b"bytes=1-", 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn too_many_ranges_are_answered_with_the_whole_file() {
        let set = |count: usize| format!("bytes={}", vec!["0-0"; count].join(","));
        assert!(matches!(parse(set(100).as_bytes(), 500), Ranges::Parts(parts) if parts.len() == 100));
        assert_eq!(parse(set(101).as_bytes(), 500), Ranges::Whole);
    }

    proptest! {
        #[test]
        fn parts_lie_inside_the_file(value in "(bytes=)?[-0-9, a]{0,30}", len in 0_u64..1000) {
            if let Ranges::Parts(parts) = parse(value.as_bytes(), len) {
                prop_assert!(!parts.is_empty());
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= len));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= len);
            }
        }
    }
}
