//! Is a silent client still there?

use std::time::Duration;

use tokio::time::Instant;

/// Asks a silent client for a sign of life, and gives it up when none comes.
#[derive(Debug)]
pub(crate) struct Keepalive {
    /// Zero: never asks.
    interval: Duration,
    timeout: Duration,
    heard: Instant,
    /// Asked, and nothing heard since.
    asked: Option<Instant>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Nothing.
    Fine,
    /// Send a ping.
    Ask,
    /// It is not there any more.
    Dead,
}

impl Keepalive {
    /// Something was heard just now.
    pub(crate) fn new(config: config::Keepalive, now: Instant) -> Self {
        Self {
            interval: config.interval,
            timeout: config.timeout,
            heard: now,
            asked: None,
        }
    }

    /// Anything came from the client.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// Looks at the time.
    pub(crate) fn look(&mut self, now: Instant) -> Sign {
        if self.interval.is_zero() {
            return Sign::Fine;
        }
        match self.asked {
            Some(asked) if now >= asked + self.timeout => Sign::Dead,
            None if now >= self.heard + self.interval => {
                self.asked = Some(now);
                Sign::Ask
            }
            _ => Sign::Fine,
        }
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = self
            .asked
            .map_or(self.heard + self.interval, |asked| asked + self.timeout);
        (!self.interval.is_zero()).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_about_once_and_then_given_up() {
        let config = config::Keepalive {
            interval: Duration::from_secs(20),
            timeout: Duration::from_secs(5),
        };
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut keepalive = Keepalive::new(config, start);
        assert_eq!(keepalive.look(after(19)), Sign::Fine);
        assert_eq!(keepalive.look(after(20)), Sign::Ask);
        assert_eq!(keepalive.look(after(24)), Sign::Fine);
        assert_eq!(keepalive.due(), Some(after(25)));
        keepalive.heard(after(24));
        assert_eq!(keepalive.look(after(30)), Sign::Fine);
        assert_eq!(keepalive.look(after(44)), Sign::Ask);
        assert_eq!(keepalive.look(after(49)), Sign::Dead);
        let never = config::Keepalive {
            interval: Duration::ZERO,
            ..config
        };
        let mut keepalive = Keepalive::new(never, start);
        assert_eq!((keepalive.look(after(99)), keepalive.due()), (Sign::Fine, None));
    }
}
