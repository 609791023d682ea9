//! Which request goes to which worker, and when: pure code, events and `now` in, actions out.
//!
//! All waiting happens here, in one bounded queue per app. A worker is given a request when it has a thread free for it,
//! so a slow worker never hides work from a free one. While requests are tiny that would spend more time on wake-ups than
//! on work, so then a worker may also hold some requests it has not begun ("prefetch"); it claims each in the link page
//! before it runs it, and what it has not claimed is taken back as soon as somebody else is free. The page also
//! tells what a dead worker had started, which decides what may be run again.
//!
//! An evented worker ([`Rules::evented`]) runs thousands of requests in one loop. Nothing is prefetched for it, and what has
//! begun to be answered is not looked at any more: a link costs by what waits for an answer, not by what is open on it.
//!
//! Times are CLOCK_MONOTONIC in nanoseconds, the clock of the page.

mod action;
mod calls;
mod link;
mod need;
mod pace;
mod queue;
#[cfg(test)]
mod simulation;
mod streams;
mod time;

use std::collections::VecDeque;

pub(crate) use self::{
    action::{Action, Failure, LinkIndex, Refusal, Rules},
    calls::CallId,
};

use crate::app::page::LinkPage;

use self::{
    calls::{Call, Calls, Place},
    link::{Holder, Link},
    pace::Pace,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Dispatcher<T> {
    rules: Rules,
    calls: Calls<T>,
    /// May hold numbers of calls that left; `waiting` counts those that did not.
    queue: VecDeque<CallId>,
    waiting: usize,
    links: Vec<Option<Link>>,
    down: bool,
    /// [`Action::Wanted`] was given, and no link came since.
    wanted: bool,
    /// The next request is to run alone and finds no idle worker since then.
    crowded_since_ns: Option<u64>,
    pace: Pace,
    actions: Vec<Action<T>>,
}

impl<T: Clone> Dispatcher<T> {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            calls: Calls::new(),
            queue: VecDeque::new(),
            waiting: 0,
            links: Vec::new(),
            down: false,
            wanted: false,
            crowded_since_ns: None,
            pace: Pace::default(),
            actions: Vec::new(),
        }
    }

    /// What is to be done; swap an empty vector in, so that its room is used again.
    pub(crate) fn actions(&mut self) -> &mut Vec<Action<T>> {
        &mut self.actions
    }

    /// Whether the workers are evented, and how many requests each runs at the same time. The configuration
    /// tells it neither of an application that has patched the standard library, nor of one that another
    /// generation runs.
    pub(crate) fn set_host(&mut self, evented: bool, window: usize) {
        self.rules.evented = evented;
        self.rules.window = window.max(1);
    }

    /// A worker is ready.
    pub(crate) fn link_up(&mut self, page: LinkPage, now_ns: u64) -> LinkIndex {
        let link = Link::new(page, now_ns);
        let index = match self.links.iter().position(Option::is_none) {
            Some(index) => index,
            None => {
                self.links.push(None);
                self.links.len() - 1
            }
        };
        self.links[index] = Some(link);
        self.wanted = false;
        self.pump(now_ns);
        index
    }

    /// The worker is to be left: nothing new goes to it, and what it has not started goes elsewhere.
    pub(crate) fn unlink(&mut self, index: LinkIndex, now_ns: u64) {
        if let Some(Some(link)) = self.links.get_mut(index) {
            link.leaving = true;
            link.ready = false;
        }
        self.recall_all(index);
        self.pump(now_ns);
    }

    /// The worker is dead, or the link is broken: decides for each request by what the page says.
    pub(crate) fn link_dead(&mut self, index: LinkIndex, now_ns: u64) {
        let Some(slot) = self.links.get_mut(index) else {
            return;
        };
        let Some(mut link) = slot.take() else { return };
        let open: Vec<_> = link.open().collect();
        for (entry, slot) in open {
            let Holder::Call(id) = slot.holder else { continue };
            // Thread 0 is no thread: claimed only to be given back.
            let refused = link.page.page().thread(entry, slot.stream) == Some(0);
            let started = !link.recall(entry) && !refused;
            let Some(call) = self.calls.find_mut(id) else {
                continue;
            };
            let again = if started {
                call.idempotent && !call.answered && !call.retried && !call.streamed
            } else {
                call.deaths < DEATHS_MAX
            };
            if call.abandoned || again {
                if started {
                    call.retried = true;
                    // The time it ran is no time in the queue.
                    call.waiting_since_ns = now_ns;
                }
                call.deaths += 1;
                self.take_back(id);
            } else if let Some(call) = self.calls.remove(id) {
                self.actions.push(Action::Fail {
                    item: call.item,
                    failure: Failure::WorkerDied,
                });
            }
        }
        self.pump(now_ns);
    }

    /// The link has more to write than its worker takes (or no longer).
    pub(crate) fn hold(&mut self, index: LinkIndex, held: bool, now_ns: u64) {
        if let Some(Some(link)) = self.links.get_mut(index) {
            link.held = held;
        }
        if !held {
            self.pump(now_ns);
        }
    }

    /// No worker can be had, or one is to be expected again.
    pub(crate) fn set_down(&mut self, down: bool) {
        self.down = down;
        self.wanted = false;
        if down {
            while let Some(id) = self.front() {
                self.fail_waiting(id, Failure::Down);
            }
        }
    }

    /// A request has come.
    pub(crate) fn submit(&mut self, item: T, idempotent: bool, now_ns: u64) -> Result<CallId, Refusal> {
        if self.down {
            return Err(Refusal::Down);
        }
        let at_once = self.waiting == 0 && self.choose(now_ns).is_some();
        if !at_once && self.waiting >= self.rules.queue_length_max {
            return Err(Refusal::Full);
        }
        let id = self.calls.insert(Call {
            item,
            enqueued_ns: now_ns,
            waiting_since_ns: now_ns,
            idempotent,
            retried: false,
            answered: false,
            switched: false,
            streamed: false,
            abandoned: false,
            recalls: 0,
            deaths: 0,
            place: Place::Waiting,
        });
        self.queue.push_back(id);
        self.waiting += 1;
        self.pump(now_ns);
        Ok(id)
    }

    /// The client has left. Does nothing when the request is over.
    pub(crate) fn leave(&mut self, id: CallId, now_ns: u64) {
        let silence_ns = self.silence_ns();
        let Some(call) = self.calls.find_mut(id) else {
            return;
        };
        if call.abandoned {
            return;
        }
        match call.place {
            Place::Waiting => {
                self.calls.remove(id);
                self.waiting -= 1;
                // A queue that nobody serves must not grow by those who come and go.
                if self.queue.len() > 2 * self.waiting + 64 {
                    let calls = &self.calls;
                    self.queue
                        .retain(|&id| calls.find(id).is_some_and(|call| call.place == Place::Waiting));
                }
            }
            Place::Sent { link: index, entry } => {
                let Some(Some(link)) = self.links.get_mut(index) else {
                    return;
                };
                // Only who has had it for long has shown that nothing is to be expected.
                let late = link
                    .at(entry)
                    .is_some_and(|slot| now_ns.saturating_sub(slot.sent_ns) > silence_ns);
                let recalled = if late {
                    link.recall_silent(entry, now_ns)
                } else {
                    link.recall(entry)
                };
                if recalled {
                    self.calls.remove(id);
                    self.pump(now_ns);
                } else if let Some(slot) = link.at(entry) {
                    call.abandoned = true;
                    if call.switched || (self.rules.evented && call.answered) {
                        // An application that does not hear that its client is gone must end some time.
                        link.watch_from(entry, now_ns);
                    }
                    self.actions.push(Action::Cancel {
                        link: index,
                        stream: slot.stream,
                        overdue: false,
                    });
                }
            }
        }
    }

    /// The worker has been told in its own way that nobody listens any more: what it still says of this request is dropped.
    pub(crate) fn abandon(&mut self, id: CallId, now_ns: u64) {
        let Some(call) = self.calls.find_mut(id) else {
            return;
        };
        call.abandoned = true;
        if let Place::Sent { link, entry } = call.place
            && self.rules.evented
            && let Some(Some(link)) = self.links.get_mut(link)
        {
            // As with a client that leaves: who does not hear it must end some time.
            link.watch_from(entry, now_ns);
        }
    }

    /// Every request that a worker has and somebody waits for.
    pub(crate) fn on_link(&self, index: LinkIndex) -> impl Iterator<Item = &T> {
        let open = self.link(index).into_iter().flat_map(Link::open);
        open.filter_map(|(_, slot)| match slot.holder {
            Holder::Call(id) => self.calls.find(id),
            Holder::Overrun | Holder::Free => None,
        })
        .filter(|call| !call.abandoned)
        .map(|call| &call.item)
    }

    /// Every request that the worker has begun and not answered to the end.
    pub(crate) fn running_on(&self, index: LinkIndex) -> impl Iterator<Item = &T> {
        let link = self.link(index);
        let open = link.into_iter().flat_map(Link::open);
        open.filter_map(move |(entry, slot)| {
            let page = link?.page.page();
            // Thread 0 is no thread: claimed only to be given back.
            let runs = page.claimed(entry, slot.stream) && page.thread(entry, slot.stream) != Some(0);
            match slot.holder {
                Holder::Call(id) if runs => self.calls.find(id).map(|call| &call.item),
                _ => None,
            }
        })
    }

    /// Gives out what can be given out. Call at the end of each turn in which something ended.
    pub(crate) fn pump(&mut self, now_ns: u64) {
        self.settle(now_ns);
        while let Some(id) = self.front() {
            let Some(index) = self.choose_for(id, now_ns) else {
                self.want();
                break;
            };
            self.queue.pop_front();
            self.waiting -= 1;
            let (Some(call), Some(Some(link))) = (self.calls.find_mut(id), self.links.get_mut(index)) else {
                continue;
            };
            let alone = call.retried && !self.rules.evented && link.in_flight == 0;
            link.alone_since_ns = alone.then_some(now_ns);
            let Some((stream, entry)) = link.send(id, now_ns) else {
                continue;
            };
            call.place = Place::Sent { link: index, entry };
            let waited_ns = now_ns.saturating_sub(call.waiting_since_ns);
            let item = call.item.clone();
            self.actions.push(Action::Send {
                link: index,
                stream,
                entry,
                item,
                waited_ns,
            });
        }
        for (index, link) in self.links.iter_mut().enumerate() {
            if let Some(link) = link
                && link.leaving
                && !link.told_idle
                && link.in_flight == 0
            {
                link.told_idle = true;
                self.actions.push(Action::Idle { link: index });
            }
        }
    }

    /// Looks at the time: deadlines, and requests to take back. Returns how long it may sleep if nothing else happens,
    /// `None`: until something does.
    pub(crate) fn tick(&mut self, now_ns: u64) -> Option<u64> {
        while let Some(id) = self.front() {
            let expired = self
                .calls
                .find(id)
                .is_some_and(|call| self.waited_out(call, now_ns));
            if !expired {
                break;
            }
            self.fail_waiting(id, Failure::QueueTimeout);
        }
        for index in 0..self.links.len() {
            self.deadlines(index, now_ns);
        }
        self.steal(now_ns);
        self.pump(now_ns);
        self.sleep(now_ns)
    }

    /// For how many seconds a refused client had better stay away.
    pub(crate) fn retry_after_s(&self) -> u64 {
        if self.down {
            return DOWN_RETRY_S;
        }
        let workers = self
            .links
            .iter()
            .flatten()
            .filter(|link| link.ready)
            .count()
            .max(1);
        let work_ns = self.pace.mean_ns().saturating_mul(self.waiting as u64);
        (work_ns / (workers * self.rules.window.max(1)) as u64)
            .div_ceil(SECOND_NS)
            .clamp(1, RETRY_S_MAX)
    }
}

const SECOND_NS: u64 = 1_000_000_000;

/// How many workers may die with a request that none of them has started; perhaps they die of it.
const DEATHS_MAX: u8 = 8;

/// How long a request that a worker died with waits for an idle worker while others have room, and how long
/// it keeps that one to itself.
const ALONE_WAIT_NS: u64 = 250_000_000;
const ALONE_NS: u64 = 1_000_000_000;

/// Retry-After while no worker can be had, and at most.
const DOWN_RETRY_S: u64 = 10;
const RETRY_S_MAX: u64 = 30;
