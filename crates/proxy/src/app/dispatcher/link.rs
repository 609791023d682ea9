//! One link as the dispatcher sees it: what is in flight on it.

use crate::app::page::LinkPage;

use super::{ALONE_NS, calls::CallId};

/// Most requests in flight on one link: what a worker maps of a page.
const SLOTS_MAX: usize = 1 << 15;

/// How long a link from which something was taken back comes last in the choice.
const SILENT_NS: u64 = 1_000_000_000;

/// A silent one is given a request again after this pause, which doubles each time that one has to be taken
/// back as well. If it were at once, it would be the same request, the oldest.
const PROBE_NS: u64 = 1_000_000;
const PROBE_DOUBLINGS_MAX: u32 = 6;

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) page: LinkPage,
    /// Takes new requests, as far as the supervisor and its worker are concerned.
    pub(super) ready: bool,
    /// To be closed once nothing is in flight.
    pub(super) leaving: bool,
    /// [`super::Action::Idle`] was given.
    pub(super) told_idle: bool,
    /// More is waiting to be written than the worker should ever leave waiting.
    pub(super) held: bool,
    /// When something was taken back from it last; `None` when it was heard since.
    silent_ns: Option<u64>,
    /// How often something was taken back from it since it was heard.
    pub(super) recalls: u32,
    /// When something was heard last.
    pub(super) heard_ns: u64,
    /// When the first request was sent since then.
    pub(super) asked_ns: Option<u64>,
    /// Requests the worker has, those past their deadline not counted.
    pub(super) in_flight: usize,
    /// When the first overdue request was cancelled, while nothing was heard since.
    pub(super) overdue_ns: Option<u64>,
    /// When the first request was taken back, while nothing was heard since.
    pub(super) mute_ns: Option<u64>,
    /// What it runs is to run alone, since then.
    pub(super) alone_since_ns: Option<u64>,
    /// Entries of the page; as many slots as were ever in use at once are there.
    entries: usize,
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// Entries whose time matters: all that wait to be started or have a deadline.
    watched: Vec<u16>,
    /// Thread and start of the requests that ended in this turn.
    pub(super) finished: Vec<(u32, u64)>,
}

/// What one entry of the page is used for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) stream: u32,
    /// When it was sent; once it is known to run, when it began.
    pub(super) sent_ns: u64,
    pub(super) holder: Holder,
    /// It is known to run.
    started: bool,
    /// Where in `watched`; [`UNWATCHED`] when it is not there.
    watch: u32,
}

const UNWATCHED: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Free,
    Call(CallId),
    /// Past its deadline and answered; the worker still has it.
    Overrun,
}

impl Link {
    pub(super) fn new(page: LinkPage, now_ns: u64) -> Self {
        let entries = page.page().entries().min(SLOTS_MAX);
        Self {
            page,
            ready: true,
            leaving: false,
            told_idle: false,
            held: false,
            silent_ns: None,
            recalls: 0,
            heard_ns: now_ns,
            asked_ns: None,
            in_flight: 0,
            overdue_ns: None,
            mute_ns: None,
            alone_since_ns: None,
            entries,
            slots: Vec::new(),
            free: Vec::new(),
            watched: Vec::new(),
            finished: Vec::new(),
        }
    }

    /// Was something taken back from it a moment ago, and nothing heard since?
    pub(super) fn silent(&self, now_ns: u64) -> bool {
        self.silent_ns
            .is_some_and(|at| now_ns.saturating_sub(at) < SILENT_NS)
    }

    /// When a silent one may be given a request again; 0: now.
    pub(super) fn probe_in(&self, now_ns: u64) -> Option<u64> {
        let silent_ns = self.silent_ns.filter(|_| self.silent(now_ns))?;
        let pause_ns = PROBE_NS << self.recalls.min(PROBE_DOUBLINGS_MAX);
        Some((silent_ns + pause_ns).saturating_sub(now_ns))
    }

    /// Requests it takes now beyond those in flight, when `limit` may be in flight.
    pub(super) fn room(&self, limit: usize, now_ns: u64) -> usize {
        if !self.ready || self.held || self.is_taken(now_ns) {
            return 0;
        }
        // A silent one gets a single request, to find out whether it is back.
        let limit = match self.probe_in(now_ns) {
            None => limit,
            Some(0) => 1,
            Some(_) => 0,
        };
        limit.saturating_sub(self.in_flight).min(self.spare())
    }

    /// Has it a request that is to run alone, for a moment at most?
    fn is_taken(&self, now_ns: u64) -> bool {
        self.in_flight > 0
            && self
                .alone_since_ns
                .is_some_and(|since_ns| now_ns.saturating_sub(since_ns) < ALONE_NS)
    }

    /// Entries that nothing uses.
    pub(super) fn spare(&self) -> usize {
        self.free.len() + (self.entries - self.slots.len())
    }

    fn take_entry(&mut self) -> Option<u16> {
        if let Some(entry) = self.free.pop() {
            return Some(entry);
        }
        let entry = u16::try_from(self.slots.len()).ok()?;
        (self.slots.len() < self.entries).then(|| {
            self.slots.push(Slot {
                stream: 0,
                sent_ns: 0,
                holder: Holder::Free,
                started: false,
                watch: UNWATCHED,
            });
            entry
        })
    }

    /// Puts a request on it: its stream and its entry.
    pub(super) fn send(&mut self, call: CallId, now_ns: u64) -> Option<(u32, u16)> {
        let entry = self.take_entry()?;
        let slot = self.slots.get_mut(usize::from(entry))?;
        // The upper half counts, so that a late frame of a stream that used this entry before is not mistaken.
        slot.stream = (slot.stream & 0xffff_0000).wrapping_add(0x1_0000) | u32::from(entry);
        slot.sent_ns = now_ns;
        slot.started = false;
        slot.holder = Holder::Call(call);
        self.in_flight += 1;
        self.asked_ns.get_or_insert(now_ns);
        let stream = slot.stream;
        self.page.page().send(entry, stream);
        self.watch(entry);
        Some((stream, entry))
    }

    /// Since when the worker runs this request, if it does. It writes that itself, so it counts as it was
    /// seen first, between the sending and now; and what it has written in place of a state counts as begun.
    pub(super) fn running_since(&mut self, entry: u16, now_ns: u64) -> Option<u64> {
        let slot = self.slots.get_mut(usize::from(entry))?;
        let page = self.page.page();
        if page.untouched(entry, slot.stream) {
            return None;
        }
        if !slot.started {
            slot.started = true;
            let written_ns = page.started_ns(entry, slot.stream).unwrap_or(now_ns);
            slot.sent_ns = written_ns.min(now_ns).max(slot.sent_ns);
        }
        Some(slot.sent_ns)
    }

    /// Its time begins to matter; for one that is watched already it begins anew.
    pub(super) fn watch_from(&mut self, entry: u16, now_ns: u64) {
        if let Some(slot) = self.slots.get_mut(usize::from(entry))
            && matches!(slot.holder, Holder::Call(_))
        {
            slot.sent_ns = now_ns;
            self.watch(entry);
        }
    }

    fn watch(&mut self, entry: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(entry))
            && slot.watch == UNWATCHED
        {
            slot.watch = self.watched.len() as u32;
            self.watched.push(entry);
        }
    }

    /// Its time matters no more.
    pub(super) fn unwatch(&mut self, entry: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(entry)) else {
            return;
        };
        let at = std::mem::replace(&mut slot.watch, UNWATCHED);
        if at == UNWATCHED {
            return;
        }
        self.watched.swap_remove(at as usize);
        if let Some(&moved) = self.watched.get(at as usize)
            && let Some(slot) = self.slots.get_mut(usize::from(moved))
        {
            slot.watch = at;
        }
    }

    /// Every entry whose time matters.
    pub(super) fn watched(&self) -> impl Iterator<Item = (u16, Slot)> + '_ {
        self.watched
            .iter()
            .filter_map(|&entry| Some((entry, self.at(entry)?)))
    }

    /// Does the time of nothing on it matter?
    pub(super) fn is_quiet(&self) -> bool {
        self.watched.is_empty()
    }

    /// Entries that the worker still has past their deadline.
    pub(super) fn overruns(&self) -> usize {
        self.slots.len() - self.free.len() - self.in_flight
    }

    /// The open stream of this number.
    #[inline]
    pub(super) fn slot(&self, stream: u32) -> Option<(u16, Slot)> {
        let entry = (stream & 0xffff) as u16;
        let slot = self.slots.get(usize::from(entry))?;
        (slot.stream == stream && slot.holder != Holder::Free).then_some((entry, *slot))
    }

    pub(super) fn at(&self, entry: u16) -> Option<Slot> {
        self.slots.get(usize::from(entry)).copied()
    }

    /// Every entry in use.
    pub(super) fn open(&self) -> impl Iterator<Item = (u16, Slot)> + '_ {
        (0u16..)
            .zip(self.slots.iter().copied())
            .filter(|(_, slot)| slot.holder != Holder::Free)
    }

    /// The worker is done with it, or never had it.
    pub(super) fn release(&mut self, entry: u16) {
        self.unwatch(entry);
        if let Some(slot) = self.slots.get_mut(usize::from(entry)) {
            match slot.holder {
                Holder::Free => return,
                Holder::Call(_) => self.in_flight -= 1,
                Holder::Overrun => {}
            }
            slot.holder = Holder::Free;
            self.page.page().free(entry);
            self.free.push(entry);
        }
    }

    /// It ran too long: it is not waited for any more.
    pub(super) fn overrun(&mut self, entry: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(entry))
            && matches!(slot.holder, Holder::Call(_))
        {
            slot.holder = Holder::Overrun;
            self.in_flight -= 1;
            self.unwatch(entry);
        }
    }

    /// Takes a request back that the worker has not started, because it need not run there any more. Of the worker that says
    /// nothing.
    pub(super) fn recall(&mut self, entry: u16) -> bool {
        let Some(slot) = self.at(entry) else { return false };
        let recalled = matches!(slot.holder, Holder::Call(_)) && self.page.page().recall(entry, slot.stream);
        if recalled {
            self.release(entry);
        }
        recalled
    }

    /// Takes a request back because the worker has not started it for too long: it is silent.
    pub(super) fn recall_silent(&mut self, entry: u16, now_ns: u64) -> bool {
        let recalled = self.recall(entry);
        if recalled {
            self.silent_ns = Some(now_ns);
            self.mute_ns.get_or_insert(now_ns);
            self.recalls = self.recalls.saturating_add(1);
        }
        recalled
    }

    /// Any sign of life.
    pub(super) fn heard(&mut self, now_ns: u64) {
        self.heard_ns = now_ns;
        self.silent_ns = None;
        self.recalls = 0;
        self.overdue_ns = None;
        self.mute_ns = None;
        self.asked_ns = (self.in_flight > 0).then_some(now_ns);
    }
}
