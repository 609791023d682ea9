//! The connections of one listener: how many there may be, and which of them makes room when it is full.
//!
//! Browsers and other proxies keep connections open that they hardly use. A listener that is full of those
//! would let a new client wait for `idle_timeout`, so the one that has been idle for longest is closed in its
//! place, as nginx does it.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// Where nobody was idle, or the one that was asked to leave had just begun something, another one is asked after
/// this time.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// That the listener is full is told once in this time.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Crowd {
    room: Arc<Semaphore>,
    guests: Mutex<Vec<Arc<Guest>>>,
    begun: Instant,
    told: Mutex<Option<Instant>>,
}

/// One of them, or one that belongs to no crowd. It is never asked to leave while it is at work.
#[derive(Debug)]
pub(crate) struct Guest {
    begun: Instant,
    /// Where it is in the crowd's list.
    at: AtomicUsize,
    /// Since when it has been idle, in nanoseconds; 0 while it is at work.
    idle_since: AtomicU64,
    leaving: Mutex<Leaving>,
}

#[derive(Debug, Default)]
struct Leaving {
    asked: bool,
    waker: Option<Waker>,
}

/// A guest's place; it is free when this is dropped.
#[derive(Debug)]
#[must_use = "the place is free when this is dropped"]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    pub(crate) guest: Arc<Guest>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Crowd {
    /// Room for so many.
    pub(crate) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            guests: Mutex::default(),
            begun: Instant::now(),
            told: Mutex::default(),
        })
    }

    /// Waits for a place, and has idle guests leave for it.
    pub(crate) async fn enter(self: &Arc<Self>) -> Place {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return self.place(Some(permit));
        }
        loop {
            self.ask_one_to_leave();
            let room = Arc::clone(&self.room).acquire_owned();
            // Nobody closes the semaphore.
            if let Ok(Ok(permit)) = timeout(ASK_AGAIN, room).await {
                return self.place(Some(permit));
            }
        }
    }

    /// A place beyond all others, for who was accepted just before the end.
    pub(crate) fn squeeze_in(self: &Arc<Self>) -> Place {
        self.place(None)
    }

    fn place(self: &Arc<Self>, permit: Option<OwnedSemaphorePermit>) -> Place {
        let mut guests = lock(&self.guests);
        let guest = Arc::new(Guest::new(self.begun, guests.len()));
        guests.push(Arc::clone(&guest));
        drop(guests);
        Place {
            crowd: Arc::clone(self),
            guest,
            _permit: permit,
        }
    }

    /// Asks all that are idle to leave.
    pub(crate) fn ask_idle_to_leave(&self) {
        let guests = lock(&self.guests);
        let idle = guests.iter().filter(|guest| guest.idle_since().is_some());
        idle.for_each(|guest| guest.ask_to_leave());
    }

    /// Asks the one that has been idle for longest; looks at all of them, which only a full listener does.
    fn ask_one_to_leave(&self) {
        let guests = lock(&self.guests);
        let idle = guests
            .iter()
            .filter_map(|guest| Some((guest.idle_since()?, guest)));
        if let Some((_, guest)) = idle.min_by_key(|(since, _)| *since) {
            guest.ask_to_leave();
        }
        let open = guests.len();
        drop(guests);
        let mut told = lock(&self.told);
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(
                connections = open,
                "listener has connections_max connections; where one is idle it is closed for a new client"
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guests = lock(&self.crowd.guests);
        let at = self.guest.at.load(Ordering::Relaxed);
        guests.swap_remove(at);
        if let Some(moved) = guests.get(at) {
            moved.at.store(at, Ordering::Relaxed);
        }
    }
}

impl Guest {
    fn new(begun: Instant, at: usize) -> Self {
        Self {
            begun,
            at: AtomicUsize::new(at),
            idle_since: AtomicU64::new(0),
            leaving: Mutex::default(),
        }
    }

    /// Of no crowd.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        Self::new(Instant::now(), 0)
    }

    /// It waits for its client since now.
    #[inline]
    pub(crate) fn rest(&self, now: Instant) {
        let since = u64::try_from((now - self.begun).as_nanos()).unwrap_or(u64::MAX);
        self.idle_since.store(since.max(1), Ordering::Release);
    }

    /// It has something to do; a wish that it leaves has come too late.
    #[inline]
    pub(crate) fn work(&self) {
        self.idle_since.store(0, Ordering::Release);
        lock(&self.leaving).asked = false;
    }

    /// Resolves when it is to leave.
    pub(crate) async fn asked_to_leave(&self) {
        poll_fn(|cx| {
            let mut leaving = lock(&self.leaving);
            if leaving.asked {
                return Poll::Ready(());
            }
            match &mut leaving.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    fn idle_since(&self) -> Option<u64> {
        Some(self.idle_since.load(Ordering::Acquire)).filter(|&since| since > 0)
    }

    /// Once: another time somebody else is asked.
    fn ask_to_leave(&self) {
        self.idle_since.store(0, Ordering::Release);
        let mut leaving = lock(&self.leaving);
        leaving.asked = true;
        let waker = leaving.waker.take();
        drop(leaving);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in it is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_that_are_idle_leave_when_they_are_asked_and_nobody_else() {
        let crowd = Crowd::new(3);
        let (working, idle, other) = (crowd.enter().await, crowd.enter().await, crowd.enter().await);
        idle.guest.rest(Instant::now());
        other.guest.rest(Instant::now());
        crowd.ask_idle_to_leave();
        idle.guest.asked_to_leave().await;
        other.guest.asked_to_leave().await;
        assert!(!lock(&working.guest.leaving).asked);
    }

    #[tokio::test]
    async fn who_has_been_idle_for_longest_leaves_and_who_is_at_work_stays() {
        let crowd = Crowd::new(3);
        let working = crowd.enter().await;
        let (first, second) = (crowd.enter().await, crowd.enter().await);
        let now = Instant::now();
        second.guest.rest(now + Duration::from_secs(1));
        first.guest.rest(now + Duration::from_secs(2));
        let next = tokio::spawn({
            let crowd = Arc::clone(&crowd);
            async move { crowd.enter().await }
        });
        second.guest.asked_to_leave().await;
        assert!(!lock(&first.guest.leaving).asked && !lock(&working.guest.leaving).asked);
        // It was asked in vain, and the other one takes its turn.
        second.guest.work();
        first.guest.asked_to_leave().await;
        drop(first);
        let next = next.await.unwrap();
        assert_eq!(lock(&crowd.guests).len(), 3);
        drop((next, second, working));
        assert_eq!(lock(&crowd.guests).len(), 0);
        assert_eq!(crowd.room.available_permits(), 3);
    }
}
