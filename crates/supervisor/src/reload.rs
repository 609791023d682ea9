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
}

impl Reload {
    /// Somebody wants a reload. `true`: it has to wait for the one that runs.
    pub(crate) fn ask(&mut self) -> bool {
        self.wanted = true;
        self.booting
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
        Some(Action::Boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_during_a_reload_make_one_more() {
        let mut reload = Reload::default();
        assert!(!reload.ask());
        assert_eq!(reload.tick(0), Some(Action::Boot));
        reload.began();
        assert!(reload.ask());
        assert!(reload.ask());
        assert_eq!(reload.tick(1), None);
        reload.ended();
        assert_eq!(reload.tick(1), Some(Action::Boot));
        assert_eq!(reload.tick(1), None);
    }

    #[test]
    fn a_refused_configuration_leaves_room_for_the_next_wish() {
        let mut reload = Reload::default();
        reload.ask();
        assert_eq!(reload.tick(0), Some(Action::Boot));
        // Never began: the configuration was bad.
        reload.ask();
        assert_eq!(reload.tick(0), Some(Action::Boot));
    }

    #[test]
    fn a_wish_waits_while_too_many_generations_drain() {
        let mut reload = Reload::default();
        reload.ask();
        assert_eq!(reload.tick(DRAINING_MAX), None);
        assert_eq!(reload.tick(DRAINING_MAX - 1), Some(Action::Boot));
    }
}
