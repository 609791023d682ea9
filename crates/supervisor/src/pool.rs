//! The slots of one generation of one app: which worker is to be forked when.
//!
//! Pure: events and `now` in, actions out. A slot has at most one worker that counts; a worker that leaves (it overran, or
//! its generation retires) is no longer the pool's.

use std::time::{Duration, Instant};

use crate::restarts::Restarts;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask the zygote for a worker.
    Fork { slot: u32 },
    /// The worker of this slot is not ready within the boot timeout: tell its stacks, then kill it. Its death comes as any other.
    Overdue { slot: u32 },
}

/// Where workers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The zygote is not there yet, or not there at the moment.
    Away,
    /// It takes orders.
    Here,
    /// It dies again and again before it is ready.
    Failing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be forked, not before `at`.
    Waiting {
        at: Instant,
    },
    Booting {
        since: Instant,
        overdue: bool,
    },
    Ready {
        since: Instant,
    },
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    state: State,
    restarts: Restarts,
}

/// The slots of one generation of one app.
#[derive(Debug)]
pub(crate) struct Pool {
    slots: Vec<Slot>,
    boot: Duration,
    source: Source,
}

impl Pool {
    /// A pool of empty slots, all due now; `boot` is the time a worker has to become ready.
    pub(crate) fn new(slots: usize, boot: Duration, now: Instant) -> Self {
        let slot = Slot {
            state: State::Waiting { at: now },
            restarts: Restarts::default(),
        };
        Self {
            slots: vec![slot; slots],
            boot,
            source: Source::Away,
        }
    }

    /// The zygote came or went.
    pub(crate) fn source(&mut self, source: Source) {
        self.source = source;
    }

    /// What is due. Each slot is told to fork at most once per death.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        for (number, slot) in (0..).zip(&mut self.slots) {
            match &mut slot.state {
                State::Waiting { at } if *at <= now && self.source == Source::Here => {
                    slot.state = State::Booting {
                        since: now,
                        overdue: false,
                    };
                    actions.push(Action::Fork { slot: number });
                }
                State::Booting { since, overdue } if !*overdue && *since + self.boot <= now => {
                    *overdue = true;
                    actions.push(Action::Overdue { slot: number });
                }
                _ => {}
            }
        }
        actions
    }

    /// When [`Pool::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.slots
            .iter()
            .filter_map(|slot| match slot.state {
                State::Waiting { at } if self.source == Source::Here => Some(at),
                State::Booting {
                    since,
                    overdue: false,
                } => Some(since + self.boot),
                _ => None,
            })
            .min()
    }

    /// The slot's worker is ready.
    pub(crate) fn ready(&mut self, slot: u32) {
        if let Some(slot) = self.slot(slot)
            && let State::Booting { since, .. } = slot.state
        {
            slot.state = State::Ready { since };
        }
    }

    /// The slot's worker died, or could not be forked. Answers after which time it is replaced.
    pub(crate) fn died(&mut self, slot: u32, now: Instant) -> Option<Duration> {
        let slot = self.slot(slot)?;
        let served = match slot.state {
            State::Ready { since } => Some(now.saturating_duration_since(since)),
            State::Booting { .. } => None,
            State::Waiting { .. } => return None,
        };
        let wait = slot.restarts.died(served);
        slot.state = State::Waiting { at: now + wait };
        Some(wait)
    }

    /// The fork was lost with the zygote: nobody's death.
    pub(crate) fn unborn(&mut self, slot: u32, now: Instant) {
        if let Some(slot) = self.slot(slot)
            && let State::Booting { .. } = slot.state
        {
            slot.state = State::Waiting { at: now };
        }
    }

    /// The slot's worker leaves by our will: a replacement is due at once.
    pub(crate) fn leave(&mut self, slot: u32, now: Instant) {
        if let Some(slot) = self.slot(slot)
            && let State::Booting { .. } | State::Ready { .. } = slot.state
        {
            slot.state = State::Waiting { at: now };
        }
    }

    /// Deaths in a row of this slot's workers, none of which was healthy.
    pub(crate) fn deaths(&self, slot: u32) -> u32 {
        let slot = usize::try_from(slot).ok().and_then(|slot| self.slots.get(slot));
        slot.map_or(0, |slot| slot.restarts.deaths())
    }

    /// Slots that wait are tried at once, with a new count.
    pub(crate) fn revive(&mut self, now: Instant) {
        for slot in &mut self.slots {
            if let State::Waiting { .. } = slot.state {
                *slot = Slot {
                    state: State::Waiting { at: now },
                    restarts: Restarts::default(),
                };
            }
        }
    }

    /// Number of ready workers.
    pub(crate) fn ready_count(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| matches!(slot.state, State::Ready { .. }))
            .count()
    }

    /// Number of slots.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// No worker is there and nobody should wait for one, though they are tried again and again.
    pub(crate) fn down(&self) -> bool {
        self.slots.iter().all(|slot| match slot.state {
            State::Waiting { .. } => slot.restarts.failing() || self.source == Source::Failing,
            State::Booting { .. } => slot.restarts.failing(),
            State::Ready { .. } => false,
        })
    }

    fn slot(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(slot).ok()?)
    }
}

#[cfg(test)]
mod tests;
