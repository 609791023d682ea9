//! What happens because time has passed.

use super::{
    Action, Dispatcher, Failure, LinkIndex, Rules,
    calls::Call,
    link::{Holder, Link},
};

/// A worker that has not claimed a request for this long is silent.
const SILENCE_NS: u64 = 1_000_000;

/// The same for an evented one, which takes nothing while it works through what it took before.
const EVENTED_SILENCE_NS: u64 = 10_000_000;

/// An evented worker that has not said a word for this long after an overdue request was to be ended is stuck as a whole: its
/// loop does not turn.
const STUCK_NS: u64 = 5_000_000_000;

/// Requests taken back from a worker without a sound from it, before it counts as stuck.
const STUCK_RECALLS: u32 = 8;

/// How often the time doubles that a request is left with a worker which does not begin it: to 32 ms, or a
/// third of a second with an evented one.
const DOUBLINGS_MAX: u8 = 5;

/// Bounds of the pause between two looks at the deadlines.
const PAUSE_NS: std::ops::RangeInclusive<u64> = 5_000_000..=100_000_000;

impl<T: Clone> Dispatcher<T> {
    /// Has it waited for a worker as long as it may?
    pub(super) fn waited_out(&self, call: &Call<T>, now_ns: u64) -> bool {
        now_ns.saturating_sub(call.waiting_since_ns) > self.rules.queue_timeout_ns
    }

    /// Takes everything back that the worker has not started.
    pub(super) fn recall_all(&mut self, index: LinkIndex) {
        let Some(Some(link)) = self.links.get_mut(index) else {
            return;
        };
        let open: Vec<_> = link.open().collect();
        let mut back = Vec::new();
        for (entry, slot) in open {
            if let Holder::Call(id) = slot.holder
                && link.recall(entry)
            {
                back.push(id);
            }
        }
        for id in back {
            self.take_back(id);
        }
    }

    /// Requests of one link that have run, or waited in the worker, too long.
    pub(super) fn deadlines(&mut self, index: LinkIndex, now_ns: u64) {
        let Some(Some(link)) = self.links.get_mut(index) else {
            return;
        };
        let evented = self.rules.evented;
        let watched: Vec<_> = link.watched().collect();
        let mut overrun = false;
        // What a thread runs without being watched has taken its connection over.
        let mut running = !evented && link.in_flight > watched.len();
        for (entry, slot) in watched {
            let Some(Some(link)) = self.links.get_mut(index) else {
                return;
            };
            let Holder::Call(id) = slot.holder else { continue };
            if let Some(since_ns) = link.running_since(entry, now_ns) {
                running = true;
                let elapsed_ns = now_ns.saturating_sub(since_ns);
                if elapsed_ns <= self.rules.request_timeout_ns {
                    continue;
                }
                let thread = link.page.page().thread(entry, slot.stream).unwrap_or(0);
                link.overrun(entry);
                if evented {
                    link.overdue_ns.get_or_insert(now_ns);
                } else {
                    overrun = true;
                }
                let Some(call) = self.calls.remove(id) else {
                    continue;
                };
                self.actions.push(Action::Cancel {
                    link: index,
                    stream: slot.stream,
                    overdue: true,
                });
                if !evented {
                    self.actions.push(Action::Overrun {
                        link: index,
                        item: Some(call.item.clone()),
                        thread,
                        elapsed_ns,
                    });
                } else if !call.answered {
                    // An answered one is only tidied up: its client has left long ago.
                    self.actions.push(Action::Overdue {
                        link: index,
                        item: call.item.clone(),
                        elapsed_ns,
                    });
                }
                if !call.abandoned {
                    self.actions.push(Action::Fail {
                        item: call.item,
                        failure: Failure::Timeout,
                    });
                }
            } else if self
                .calls
                .find(id)
                .is_none_or(|call| self.waited_out(call, now_ns))
                && let Some(Some(link)) = self.links.get_mut(index)
                && link.recall_silent(entry, now_ns)
                && let Some(call) = self.calls.remove(id)
                && !call.abandoned
            {
                self.actions.push(Action::Fail {
                    item: call.item,
                    failure: Failure::QueueTimeout,
                });
            }
        }
        let Some(Some(link)) = self.links.get_mut(index) else {
            return;
        };
        if let Some(stuck_ns) = stuck(link, &self.rules, running, now_ns) {
            overrun = true;
            self.actions.push(Action::Overrun {
                link: index,
                item: None,
                thread: 0,
                elapsed_ns: stuck_ns,
            });
        }
        if overrun {
            link.ready = false;
            self.recall_all(index);
        }
    }

    /// Takes requests back from silent workers, when somebody else is free or at least gets on with its work. Back in the
    /// queue they go to whoever has room first, in the order in which they came.
    pub(super) fn steal(&mut self, now_ns: u64) {
        let silence_ns = self.silence_ns();
        let late = |at_ns: u64| now_ns.saturating_sub(at_ns) > silence_ns;
        // A machine with too much to do makes every worker silent now and then. What was taken back is given
        // more time with the next one, so that it comes to rest; but never so much that it stays with one
        // that has stopped.
        let too_late = |at_ns: u64, call: &Call<T>| {
            now_ns.saturating_sub(at_ns) > silence_ns << call.recalls.min(DOUBLINGS_MAX)
        };
        let is_alive = |link: &Link| {
            let free = link.room(self.rules.window, now_ns) > 0
                // An evented worker has room for ever; it is free when nothing waits for it.
                && (!self.rules.evented || link.is_quiet());
            !link.silent(now_ns) && link.ready && (free || !late(link.heard_ns))
        };
        let alive = self.links.iter().flatten().filter(|link| is_alive(link)).count();
        let mut back = Vec::new();
        for (index, link) in self.links.iter().enumerate() {
            let Some(link) = link else { continue };
            if !late(link.heard_ns) || alive == usize::from(is_alive(link)) {
                continue;
            }
            for (entry, slot) in link.watched() {
                if let Holder::Call(id) = slot.holder
                    && self
                        .calls
                        .find(id)
                        .is_some_and(|call| too_late(slot.sent_ns, call))
                    && !link.page.page().claimed(entry, slot.stream)
                {
                    back.push((index, entry, id));
                }
            }
        }
        for (index, entry, id) in back {
            if let Some(Some(link)) = self.links.get_mut(index)
                && link.recall_silent(entry, now_ns)
            {
                if let Some(call) = self.calls.find_mut(id) {
                    call.recalls = call.recalls.saturating_add(1);
                }
                self.take_back(id);
            }
        }
    }

    /// For how long a worker may leave a request unclaimed before it counts as silent.
    pub(super) fn silence_ns(&self) -> u64 {
        if self.rules.evented {
            EVENTED_SILENCE_NS
        } else {
            SILENCE_NS
        }
    }

    /// How long nothing can become due.
    pub(super) fn sleep(&self, now_ns: u64) -> Option<u64> {
        let mut busy = self.waiting > 0;
        let mut unclaimed = false;
        let mut free = false;
        let mut probe_ns = None;
        for link in self.links.iter().flatten() {
            busy |= !link.is_quiet() || link.overruns() > 0;
            if self.waiting > 0 && link.ready && link.in_flight == 0 {
                let next_ns = link.probe_in(now_ns).filter(|&in_ns| in_ns > 0);
                probe_ns = [probe_ns, next_ns].into_iter().flatten().min();
            }
            free |= !link.silent(now_ns) && link.room(self.rules.window, now_ns) > 0;
            unclaimed |= link.watched().any(|(entry, slot)| {
                matches!(slot.holder, Holder::Call(_)) && !link.page.page().claimed(entry, slot.stream)
            });
        }
        let several = self.links.iter().flatten().count() > 1;
        // With a request not yet started and more than one worker, look again as soon as somebody could be called silent:
        // whoever becomes free in between may take it.
        if unclaimed && several && (free || self.depth() > 0) {
            return Some(probe_ns.map_or(self.silence_ns(), |in_ns| in_ns.min(self.silence_ns())));
        }
        let shortest_ns = self.rules.queue_timeout_ns.min(self.rules.request_timeout_ns);
        let pause_ns = busy.then(|| (shortest_ns / 10).clamp(*PAUSE_NS.start(), *PAUSE_NS.end()));
        [pause_ns, probe_ns].into_iter().flatten().min()
    }

    /// Learns from the requests that ended in this turn how long they took.
    ///
    /// A worker answers in batches, so the time an answer arrives says little about its request. Within a batch the next
    /// start in the same thread is the end of the request before; only the last of several has no such mark and is left out.
    pub(super) fn settle(&mut self, now_ns: u64) {
        for link in self.links.iter_mut().flatten() {
            if link.finished.is_empty() {
                continue;
            }
            if self.rules.evented {
                // Its requests overlap: each has its own end.
                for (_, start_ns) in link.finished.drain(..) {
                    self.pace.observe(now_ns.saturating_sub(start_ns));
                }
                continue;
            }
            link.finished.sort_unstable();
            let mut first_of_thread = true;
            for (n, &(thread, start_ns)) in link.finished.iter().enumerate() {
                match link.finished.get(n + 1) {
                    Some(&(next, next_ns)) if next == thread => {
                        self.pace.observe(next_ns - start_ns);
                        first_of_thread = false;
                    }
                    _ => {
                        if first_of_thread {
                            self.pace.observe(now_ns.saturating_sub(start_ns));
                        }
                        first_of_thread = true;
                    }
                }
            }
            link.finished.clear();
        }
    }

    /// Requests in the queue and in flight: nothing of them may be left behind.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize, usize) {
        let in_flight = self.links.iter().flatten().map(|link| link.in_flight).sum();
        (self.waiting, in_flight, self.calls.len())
    }
}

/// For how long the whole worker has been stuck, if it is. `running`: it runs something that is not overdue.
fn stuck(link: &Link, rules: &Rules, running: bool, now_ns: u64) -> Option<u64> {
    if !link.ready {
        return None;
    }
    let since = |at_ns: Option<u64>| at_ns.map_or(0, |at_ns| now_ns.saturating_sub(at_ns));
    // What it never took was taken back again and again.
    let asked_ns = since(if rules.evented {
        link.mute_ns
    } else {
        link.asked_ns
    });
    if link.recalls >= STUCK_RECALLS && asked_ns > rules.request_timeout_ns && (rules.evented || !running) {
        return Some(asked_ns);
    }
    if !rules.evented {
        return None;
    }
    let overdue_ns = since(link.overdue_ns);
    // What it should have ended and has not leaves no room for what it should run.
    let full = link.spare() == 0 && link.in_flight < rules.window;
    (overdue_ns > STUCK_NS || full).then_some(overdue_ns)
}
