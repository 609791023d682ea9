//! The queue, and the choice of a worker.

use super::{ALONE_WAIT_NS, Action, CallId, Dispatcher, Failure, LinkIndex, calls::Place, link::Link};

impl<T: Clone> Dispatcher<T> {
    pub(super) fn link(&self, index: LinkIndex) -> Option<&Link> {
        self.links.get(index)?.as_ref()
    }

    /// The next request in the queue; forgets those that left.
    pub(super) fn front(&mut self) -> Option<CallId> {
        loop {
            let id = *self.queue.front()?;
            if self
                .calls
                .find(id)
                .is_some_and(|call| call.place == Place::Waiting)
            {
                return Some(id);
            }
            self.queue.pop_front();
        }
    }

    /// The link with the fewest in flight that takes one more; among equals the one heard last, whose caches are warm.
    pub(super) fn choose(&self, now_ns: u64) -> Option<LinkIndex> {
        let best = |limit: usize| {
            let open = self
                .links
                .iter()
                .enumerate()
                .filter_map(|(index, link)| Some((index, link.as_ref()?)));
            open.filter(|(_, link)| link.room(limit, now_ns) > 0)
                .min_by_key(|(_, link)| {
                    (
                        link.silent(now_ns),
                        link.in_flight,
                        std::cmp::Reverse(link.heard_ns),
                    )
                })
                .map(|(index, _)| index)
        };
        best(self.rules.window).or_else(|| match self.depth() {
            0 => None,
            depth => best(self.rules.window + depth),
        })
    }

    /// The link for this request, which is the next one. What a worker died with runs alone when it is run
    /// again: where it was innocent, nothing else takes it along a second time, and where it was not, it
    /// takes nothing along. An evented worker's requests wait for each other's events and never run alone.
    pub(super) fn choose_for(&mut self, id: CallId, now_ns: u64) -> Option<LinkIndex> {
        let chosen = self.choose(now_ns)?;
        let alone = !self.rules.evented && self.calls.find(id).is_some_and(|call| call.retried);
        if alone && self.link(chosen).is_some_and(|link| link.in_flight > 0) {
            let since_ns = *self.crowded_since_ns.get_or_insert(now_ns);
            if now_ns.saturating_sub(since_ns) < ALONE_WAIT_NS {
                return None;
            }
        }
        self.crowded_since_ns = None;
        Some(chosen)
    }

    /// A request found no link that takes it now: says so where there is none that ever will.
    pub(super) fn want(&mut self) {
        if !self.wanted && !self.links.iter().flatten().any(|link| link.ready) {
            self.wanted = true;
            self.actions.push(Action::Wanted);
        }
    }

    /// How many requests a worker may hold beyond those it runs.
    pub(super) fn depth(&self) -> usize {
        if self.rules.evented { 0 } else { self.pace.depth() }
    }

    /// Puts a request back where its age belongs: before all that came after it.
    pub(super) fn requeue(&mut self, id: CallId) {
        let Some(call) = self.calls.find_mut(id) else {
            return;
        };
        call.place = Place::Waiting;
        let enqueued_ns = call.enqueued_ns;
        let calls = &self.calls;
        let older = |id: &CallId| {
            calls
                .find(*id)
                .is_some_and(|other| other.enqueued_ns < enqueued_ns)
        };
        let at = self.queue.iter().take_while(|id| older(id)).count();
        self.queue.insert(at, id);
        self.waiting += 1;
    }

    /// Requeues a request that was recalled, unless nobody waits for it.
    pub(super) fn take_back(&mut self, id: CallId) {
        let Some(call) = self.calls.find_mut(id) else {
            return;
        };
        if call.abandoned {
            self.calls.remove(id);
        } else if self.down {
            if let Some(call) = self.calls.remove(id) {
                self.actions.push(Action::Fail {
                    item: call.item,
                    failure: Failure::Down,
                });
            }
        } else {
            self.requeue(id);
        }
    }

    pub(super) fn fail_waiting(&mut self, id: CallId, failure: Failure) {
        if let Some(call) = self.calls.remove(id) {
            self.waiting -= 1;
            self.actions.push(Action::Fail {
                item: call.item,
                failure,
            });
        }
    }
}
