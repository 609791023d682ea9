//! What a worker says and is told about the streams that are open on its link.

use super::{Action, CallId, Dispatcher, Failure, LinkIndex, calls::Place, link::Holder};

impl<T: Clone> Dispatcher<T> {
    /// Something came from the worker.
    pub(crate) fn heard(&mut self, index: LinkIndex, now_ns: u64) {
        if let Some(Some(link)) = self.links.get_mut(index) {
            link.heard(now_ns);
        }
    }

    /// The request of an open stream; `None` when nobody waits for it, and the frame is dropped. That is no fault of the
    /// worker's: it may not know yet that a stream is closed.
    pub(crate) fn stream(&self, index: LinkIndex, stream: u32) -> Option<&T> {
        let call = self.calls.find(self.call(index, stream)?)?;
        (!call.abandoned).then_some(&call.item)
    }

    /// Where a request is, when it is with a worker.
    pub(crate) fn place(&self, id: CallId) -> Option<(LinkIndex, u32)> {
        match self.calls.find(id)?.place {
            Place::Waiting => None,
            Place::Sent { link, entry } => Some((link, self.link(link)?.at(entry)?.stream)),
        }
    }

    /// Its worker is given a piece of its body beyond what the request's frame holds. The time it has for the answer begins
    /// anew: it is the client that takes its time, and that is limited elsewhere.
    pub(crate) fn fed(&mut self, id: CallId, now_ns: u64) {
        let Some(call) = self.calls.find_mut(id) else {
            return;
        };
        call.streamed = true;
        if let Place::Sent { link, entry } = call.place
            && !call.answered
            && let Some(Some(link)) = self.links.get_mut(link)
        {
            link.watch_from(entry, now_ns);
        }
    }

    /// Is it certain that the worker runs the request, and will not give it back?
    pub(crate) fn runs(&self, id: CallId) -> bool {
        let Some(Place::Sent { link, entry }) = self.calls.find(id).map(|call| call.place) else {
            return false;
        };
        self.link(link).is_some_and(|link| {
            let thread = link
                .at(entry)
                .map(|slot| link.page.page().thread(entry, slot.stream));
            matches!(thread, Some(Some(1..)))
        })
    }

    /// The number of the request of an open stream.
    pub(crate) fn call(&self, index: LinkIndex, stream: u32) -> Option<CallId> {
        match self.link(index)?.slot(stream)?.1.holder {
            Holder::Call(id) => Some(id),
            Holder::Overrun | Holder::Free => None,
        }
    }

    /// The worker has begun to answer: the request cannot be run again. Returns when the worker started it.
    pub(crate) fn answered(&mut self, index: LinkIndex, stream: u32) -> Option<u64> {
        let link = self.links.get_mut(index)?.as_mut()?;
        let (entry, slot) = link.slot(stream)?;
        if let Holder::Call(id) = slot.holder {
            self.calls.find_mut(id)?.answered = true;
            if self.rules.evented {
                link.unwatch(entry);
            }
        }
        link.page.page().started_ns(entry, stream)
    }

    /// The application has answered on its socket: as [`Dispatcher::answered`], and its time matters no more,
    /// whatever runs it.
    pub(crate) fn switched(&mut self, id: CallId) -> Option<u64> {
        let (index, stream) = self.place(id)?;
        self.calls.find_mut(id)?.switched = true;
        let started_ns = self.answered(index, stream);
        let link = self.links.get_mut(index)?.as_mut()?;
        let (entry, _) = link.slot(stream)?;
        link.unwatch(entry);
        started_ns
    }

    /// The worker has said its last word about this stream. Call [`Dispatcher::pump`] when all of one reading are told.
    pub(crate) fn ended(&mut self, index: LinkIndex, stream: u32) {
        let Some(Some(link)) = self.links.get_mut(index) else {
            return;
        };
        let Some((entry, slot)) = link.slot(stream) else {
            return;
        };
        if let Holder::Call(id) = slot.holder {
            let page = link.page.page();
            let switched = self.calls.remove(id).is_some_and(|call| call.switched);
            if let (Some(start_ns), Some(thread)) =
                (page.started_ns(entry, stream), page.thread(entry, stream))
                && !switched
            {
                link.finished.push((thread, start_ns));
            }
        }
        link.release(entry);
    }

    /// The worker is leaving and gave a request back; it gets no new ones. It claimed the request before, so that it could
    /// not be taken back at the same moment. Call [`Dispatcher::pump`] afterwards. `false`: no such request is open.
    pub(crate) fn not_started(&mut self, index: LinkIndex, stream: u32) -> bool {
        let Some(Some(link)) = self.links.get_mut(index) else {
            return false;
        };
        link.ready = false;
        let Some((entry, slot)) = link.slot(stream) else {
            return false;
        };
        let Holder::Call(id) = slot.holder else {
            return false;
        };
        if self.calls.find(id).is_some_and(|call| call.answered) {
            return false;
        }
        link.release(entry);
        self.take_back(id);
        true
    }

    /// A request could not be sent to its worker, which therefore never had it, whatever it has written to
    /// the page. Gives the request; nothing more comes for it.
    pub(crate) fn undelivered(&mut self, index: LinkIndex, stream: u32) -> Option<T> {
        let link = self.links.get_mut(index)?.as_mut()?;
        let (entry, slot) = link.slot(stream)?;
        let Holder::Call(id) = slot.holder else {
            return None;
        };
        link.release(entry);
        let call = self.calls.remove(id)?;
        if !call.abandoned {
            self.actions.push(Action::Fail {
                item: call.item.clone(),
                failure: Failure::Undelivered,
            });
        }
        Some(call.item)
    }
}
