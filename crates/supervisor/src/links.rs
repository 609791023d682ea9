//! The links of one worker: to the proxy of its generation, and to older ones that it stands in for.

/// All of them, and those that were.
#[derive(Debug, Default)]
pub(crate) struct Links {
    all: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    number: u64,
    /// Whose proxy is at the other end.
    generation: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests come.
    Open,
    /// The proxy was told to send no more.
    Left,
    /// Nothing is in flight any more. The worker gets no second link to that proxy.
    Over,
}

impl Links {
    /// A new one.
    pub(crate) fn add(&mut self, number: u64, generation: u64) {
        self.all.push(Link {
            number,
            generation,
            state: State::Open,
        });
    }

    /// Is there, or was there, one to the proxy of this generation?
    pub(crate) fn reaches(&self, generation: u64) -> bool {
        self.all.iter().any(|link| link.generation == generation)
    }

    /// The one to the proxy of this generation, unless that is over.
    pub(crate) fn to(&self, generation: u64) -> Option<u64> {
        let mut used = self.all.iter().filter(|link| link.state != State::Over);
        used.find(|link| link.generation == generation)
            .map(|link| link.number)
    }

    /// Is this one of them?
    pub(crate) fn has(&self, number: u64) -> bool {
        self.all.iter().any(|link| link.number == number)
    }

    /// Can something be in flight on one of them?
    pub(crate) fn any_in_use(&self) -> bool {
        self.all.iter().any(|link| link.state != State::Over)
    }

    /// The proxies of these generations are to be told to send no more on these links. Those to the proxy of
    /// the worker's own generation are left by others.
    pub(crate) fn leave_foreign(&mut self, own: u64) -> impl Iterator<Item = (u64, u64)> {
        let foreign = self.all.iter_mut().filter(move |link| link.generation != own);
        foreign.filter(|link| link.state == State::Open).map(|link| {
            link.state = State::Left;
            (link.generation, link.number)
        })
    }

    /// Nothing is in flight on it any more.
    pub(crate) fn over(&mut self, number: u64) {
        for link in self.all.iter_mut().filter(|link| link.number == number) {
            link.state = State::Over;
        }
    }

    /// Only the proxies of these generations are there.
    pub(crate) fn keep(&mut self, is_there: impl Fn(u64) -> bool) {
        self.all.retain(|link| is_there(link.generation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_in_use_until_its_proxy_has_nothing_in_flight_on_it() {
        let mut links = Links::default();
        links.add(7, 2);
        links.add(8, 1);
        assert_eq!(links.leave_foreign(2).collect::<Vec<_>>(), [(1, 8)]);
        assert_eq!(links.leave_foreign(2).count(), 0, "told once");
        assert!(links.has(8) && links.to(1) == Some(8));
        links.over(8);
        assert!(links.any_in_use());
        links.over(7);
        assert!(!links.any_in_use() && links.to(2).is_none());
        assert!(links.reaches(1), "there is no second one to that proxy");
    }

    #[test]
    fn links_to_proxies_that_are_gone_are_forgotten() {
        let mut links = Links::default();
        links.add(7, 2);
        links.add(8, 1);
        links.keep(|generation| generation == 2);
        assert!(links.has(7) && !links.has(8) && !links.reaches(1));
    }
}
