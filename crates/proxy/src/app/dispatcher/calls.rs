//! The requests a dispatcher knows, found again by a number.

/// A request in a dispatcher; the number of one that is over means nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId {
    index: u32,
    generation: u32,
}

/// One request.
#[derive(Debug)]
pub(super) struct Call<T> {
    /// What the edge knows it by.
    pub(super) item: T,
    /// When it came.
    pub(super) enqueued_ns: u64,
    /// When its wait began; later than that when it has run once already.
    pub(super) waiting_since_ns: u64,
    /// May it run twice?
    pub(super) idempotent: bool,
    /// It has been started once already by a worker that died.
    pub(super) retried: bool,
    /// The worker has begun to answer.
    pub(super) answered: bool,
    /// Its application has taken the connection over: it runs for as long as it likes, and is no measure of
    /// what others take.
    pub(super) switched: bool,
    /// Its worker has got more of its body than the frame of the request holds: it cannot be run again once
    /// started.
    pub(super) streamed: bool,
    /// Nobody waits for the answer any more.
    pub(super) abandoned: bool,
    /// How often it was taken back from a silent worker.
    pub(super) recalls: u8,
    /// How many workers died with it.
    pub(super) deaths: u8,
    /// Where it is.
    pub(super) place: Place,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue.
    Waiting,
    /// With a worker.
    Sent { link: usize, entry: u16 },
}

/// Calls in a vector with a free list.
#[derive(Debug)]
pub(super) struct Calls<T> {
    slots: Vec<(u32, Option<Call<T>>)>,
    free: Vec<u32>,
}

impl<T> Calls<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, call: Call<T>) -> CallId {
        if let Some(index) = self.free.pop()
            && let Some((generation, slot)) = self.slots.get_mut(index as usize)
        {
            *generation = generation.wrapping_add(1);
            *slot = Some(call);
            return CallId {
                index,
                generation: *generation,
            };
        }
        // Bounded by the queue and the windows, far below 2^32.
        let index = self.slots.len() as u32;
        self.slots.push((0, Some(call)));
        CallId { index, generation: 0 }
    }

    pub(super) fn find(&self, id: CallId) -> Option<&Call<T>> {
        match self.slots.get(id.index as usize) {
            Some((generation, Some(call))) if *generation == id.generation => Some(call),
            _ => None,
        }
    }

    pub(super) fn find_mut(&mut self, id: CallId) -> Option<&mut Call<T>> {
        match self.slots.get_mut(id.index as usize) {
            Some((generation, Some(call))) if *generation == id.generation => Some(call),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, id: CallId) -> Option<Call<T>> {
        match self.slots.get_mut(id.index as usize) {
            Some((generation, slot)) if *generation == id.generation => {
                let call = slot.take()?;
                self.free.push(id.index);
                Some(call)
            }
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
