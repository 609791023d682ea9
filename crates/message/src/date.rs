//! The time of day as HTTP writes it.

use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Now, as in a Date field; made once a second per thread.
#[inline]
pub fn http_date() -> [u8; LEN] {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    CACHED.with(|cached| {
        let (at, mut text) = cached.get();
        if at != now {
            let made = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
            if let Ok(made) = made.as_bytes().try_into() {
                text = made;
            }
            cached.set((now, text));
        }
        text
    })
}

/// Bytes of `Thu, 01 Jan 1970 00:00:00 GMT`.
const LEN: usize = 29;

thread_local! {
    static CACHED: Cell<(u64, [u8; LEN])> = const { Cell::new((0, *b"Thu, 01 Jan 1970 00:00:00 GMT")) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_the_present_one() {
        let text = http_date();
        let time = httpdate::parse_http_date(std::str::from_utf8(&text).unwrap()).unwrap();
        assert!(time.elapsed().unwrap() < Duration::from_secs(5));
    }
}
