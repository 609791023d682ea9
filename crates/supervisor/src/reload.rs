//! When a new generation is made: one at a time, a wish during one is remembered, and not while many old ones still drain.
//!
//! Pure: events in, actions out.

/// Old generations that may drain at the same time; their proxies and workers all take memory.
const DRAINING_MAX: usize = 3;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Read the configuration and boot a generation beside the current one.
    Boot,
}

/// The reloads of a supervisor.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    booting: bool,
    wanted: bool,
    /// How many have begun so far.
    begun: u64,
}

/// What becomes of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The reload that fulfils it.
    pub(crate) number: u64,
    /// Something comes before: the first boot, one that runs, or old generations that drain.
    pub(crate) waits: bool,
}

impl Reload {
    /// Somebody wants a reload, while something serves or the first boot still runs, and so many old
    /// generations drain.
    pub(crate) fn ask(&mut self, serves: bool, draining: usize) -> Wish {
        self.wanted = true;
        Wish {
            number: self.begun + 1,
            waits: !serves || self.booting || draining >= DRAINING_MAX,
        }
    }

    /// The number of the last one that has begun.
    pub(crate) fn number(&self) -> u64 {
        self.begun
    }

    /// Does one run, or wait?
    pub(crate) fn is_pending(&self) -> bool {
        self.booting || self.wanted
    }

    /// A generation boots.
    pub(crate) fn began(&mut self) {
        self.booting = true;
    }

    /// It took over, or failed.
    pub(crate) fn ended(&mut self) {
        self.booting = false;
    }

    /// What is due, with this many old generations still draining.
    pub(crate) fn tick(&mut self, draining: usize) -> Option<Action> {
        if self.booting || !self.wanted || draining >= DRAINING_MAX {
            return None;
        }
        self.wanted = false;
        self.begun += 1;
        Some(Action::Boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_during_a_reload_make_one_more() {
        let mut reload = Reload::default();
        assert_eq!(
            reload.ask(true, 0),
            Wish {
                number: 1,
                waits: false
            }
        );
        assert_eq!(reload.tick(0), Some(Action::Boot));
        reload.began();
        // What runs may have read the files before they were changed: the next one counts.
        for _ in 0..2 {
            assert_eq!(
                reload.ask(true, 0),
                Wish {
                    number: 2,
                    waits: true
                }
            );
        }
        assert_eq!(reload.tick(1), None);
        reload.ended();
        assert!(reload.is_pending());
        assert_eq!(reload.tick(1), Some(Action::Boot));
        assert_eq!((reload.tick(1), reload.number()), (None, 2));
        assert!(!reload.is_pending());
    }

    #[test]
    fn a_refused_configuration_leaves_room_for_the_next_wish() {
        let mut reload = Reload::default();
        reload.ask(true, 0);
        assert_eq!(reload.tick(0), Some(Action::Boot));
        // Never began: the configuration was bad.
        reload.ask(true, 0);
        assert_eq!(reload.tick(0), Some(Action::Boot));
    }

    #[test]
    fn a_wish_waits_for_the_first_boot() {
        let mut reload = Reload::default();
        assert!(reload.ask(false, 0).waits);
        assert!(!reload.ask(true, 0).waits);
    }

    #[test]
    fn a_wish_waits_while_too_many_generations_drain() {
        let mut reload = Reload::default();
        assert!(reload.ask(true, DRAINING_MAX).waits);
        assert_eq!(reload.tick(DRAINING_MAX), None);
        assert_eq!(reload.tick(DRAINING_MAX - 1), Some(Action::Boot));
    }
}
