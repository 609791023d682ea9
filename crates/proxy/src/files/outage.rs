//! Requests refused because a file system does not answer, told once for each time that it does not.

use std::{
    fmt::Display,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Names the first path. More are refused until the file system answers again, as many as clients ask for.
pub(super) fn tell(path: &impl Display) {
    if is_news(&LAST, Instant::now()) {
        tracing::warn!(
            %path,
            "file not read: a network file system, FUSE or the like does not answer, or too many readings wait for it; \
             told once until nothing was refused for a minute"
        );
    }
}

/// When one was refused last.
static LAST: Mutex<Option<Instant>> = Mutex::new(None);

/// An outage is over when nothing was refused for so long.
const OVER_AFTER: Duration = Duration::from_secs(60);

fn is_news(last: &Mutex<Option<Instant>>, now: Instant) -> bool {
    // A thread that panicked with the lock held left a valid time.
    let before = last.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
    before.is_none_or(|at| now.saturating_duration_since(at) >= OVER_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_news_once_however_long_it_lasts() {
        let (last, start) = (Mutex::default(), Instant::now());
        assert!(is_news(&last, start));
        let mut now = start;
        for _ in 0..100 {
            now += OVER_AFTER / 2;
            assert!(!is_news(&last, now));
        }
        assert!(is_news(&last, now + OVER_AFTER));
    }
}
