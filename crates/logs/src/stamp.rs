//! Points in time as text.
//!
//! A busy thread writes many lines in one second, so each thread keeps the text of the last second it wrote. The time
//! zone is looked up once in the life of the process.

use std::{
    cell::Cell,
    io::Write,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, tz::TimeZone};

/// `23/Nov/2026:09:01:58 +0000`
const LOCAL_BYTES: usize = 26;

/// `2026-11-23T09:01:58`
const UTC_BYTES: usize = 19;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

thread_local! {
    static LOCAL: Cell<Second<LOCAL_BYTES>> = const { Cell::new(Second::NONE) };
    static UTC: Cell<Second<UTC_BYTES>> = const { Cell::new(Second::NONE) };
}

/// The text of one second.
#[derive(Clone, Copy)]
struct Second<const N: usize> {
    second: i64,
    text: [u8; N],
}

impl<const N: usize> Second<N> {
    const NONE: Self = Self {
        second: i64::MIN,
        text: [b'-'; N],
    };

    /// The text of `second`, from `cell` when it is the one last asked for. A text that does not fit (a year with five
    /// digits) stays a row of dashes.
    fn text(cell: &Cell<Self>, second: i64, render: impl Fn(Timestamp, &mut &mut [u8])) -> [u8; N] {
        let last = cell.get();
        if last.second == second {
            return last.text;
        }
        let mut text = [b'-'; N];
        render(
            Timestamp::from_second(second).unwrap_or_default(),
            &mut &mut text[..],
        );
        cell.set(Self { second, text });
        text
    }
}

/// Appends the local time as the combined format has it: `23/Nov/2026:09:01:58 +0000`.
pub(crate) fn push_local(out: &mut Vec<u8>, time: SystemTime) {
    let (second, _) = since_epoch(time);
    let text = LOCAL.with(|cell| {
        Second::text(cell, second, |timestamp, text| {
            let (zoned, minutes) = local(timestamp);
            let _ = write!(
                text,
                "{:02}/{}/{:04}:{:02}:{:02}:{:02} {}{:02}{:02}",
                zoned.day(),
                MONTHS[usize::from(zoned.month().unsigned_abs()).clamp(1, 12) - 1],
                zoned.year(),
                zoned.hour(),
                zoned.minute(),
                zoned.second(),
                if minutes < 0 { '-' } else { '+' },
                minutes.abs() / 60,
                minutes.abs() % 60,
            );
        })
    });
    out.extend_from_slice(&text);
}

/// Appends the time in UTC as RFC 3339 has it, with milliseconds: `2026-11-23T09:01:58.123Z`.
pub(crate) fn push_utc(out: &mut Vec<u8>, time: SystemTime) {
    let (second, ms) = since_epoch(time);
    let text = UTC.with(|cell| {
        Second::text(cell, second, |timestamp, text| {
            let utc = TimeZone::UTC.to_datetime(timestamp);
            let _ = write!(
                text,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                utc.year(),
                utc.month(),
                utc.day(),
                utc.hour(),
                utc.minute(),
                utc.second(),
            );
        })
    });
    out.extend_from_slice(&text);
    let digit = |n: u32| b'0' + u8::try_from(n % 10).unwrap_or(0);
    out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms), b'Z']);
}

/// The local date and time, and the minutes the zone is ahead of UTC.
fn local(timestamp: Timestamp) -> (jiff::civil::DateTime, i32) {
    let offset = ZONE.to_offset(timestamp);
    (offset.to_datetime(timestamp), offset.seconds() / 60)
}

/// Whole seconds and the milliseconds past them; a clock set before 1970 reads as 1970.
fn since_epoch(time: SystemTime) -> (i64, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        since.subsec_millis(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn utc(ms: u64) -> String {
        let mut out = Vec::new();
        push_utc(&mut out, at(ms));
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn utc_has_milliseconds_and_a_z() {
        assert_eq!(utc(1_795_424_518_123), "2026-11-23T09:01:58.123Z");
        assert_eq!(utc(1_795_424_518_007), "2026-11-23T09:01:58.007Z");
        assert_eq!(utc(1_795_424_519_000), "2026-11-23T09:01:59.000Z");
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn local_time_looks_as_nginx_writes_it() {
        let mut out = Vec::new();
        push_local(&mut out, at(1_795_424_518_123));
        let text = String::from_utf8(out).expect("ascii");
        let zoned = Timestamp::from_second(1_795_424_518)
            .expect("in range")
            .to_zoned(TimeZone::system());
        assert_eq!(text, zoned.strftime("%d/%b/%Y:%H:%M:%S %z").to_string());
    }

    #[test]
    fn a_clock_out_of_range_does_not_panic() {
        assert_eq!(utc(253_402_300_800_000).len(), 24);
        push_local(&mut Vec::new(), UNIX_EPOCH + Duration::from_secs(u64::MAX / 4));
        push_local(&mut Vec::new(), UNIX_EPOCH - Duration::from_secs(5));
    }
}
