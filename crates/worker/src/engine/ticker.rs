//! A thread that sends what a busy host thread has not come to send.
//!
//! Answers wait for the end of their batch, and nobody knows beforehand that the next request of the batch, or a `close()`, will
//! take ten seconds. With an event loop it is enough that an application works on behind its answer without waiting for anything: a
//! background task that blocks, a model that says one word after the other. So while batches are about, somebody looks every few
//! milliseconds. The rest of the time this thread sleeps without a timer; it never takes the GIL.
//!
//! A look costs up to 20 us of the processor where timers and switches of context are dear, so it is no more frequent than the work
//! at hand wants it: [`Outgoing::tick`].
//!
//! The same thread lets go, about once a second, of what is kept for the next time. For that it sleeps with a timer, once.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering, fence},
    },
    thread::Thread,
    time::Duration,
};

use super::now_ns;

/// So long without anything to send ends the watch.
const QUIET_MAX: Duration = Duration::from_millis(200);

/// After so long what is kept for the next time goes.
const REST: Duration = Duration::from_secs(1);

/// What hosts put on links and send later.
pub(crate) trait Outgoing {
    fn ticker(&self) -> &Ticker;
    /// Does anything wait to be sent?
    fn is_dirty(&self) -> bool;
    /// Does anything wait that should not wait longer?
    fn is_due(&self, now_ns: u64) -> bool;
    /// How long it is until the next look.
    fn tick(&self, now_ns: u64) -> Duration;
    /// Sends it; without the GIL.
    fn flush(&self);
    /// What is kept for the next time can go.
    fn rest(&self);
}

/// Wakes the thread.
#[derive(Debug, Default)]
pub(crate) struct Ticker {
    thread: OnceLock<Thread>,
    asleep: AtomicBool,
    /// Something is kept for the next time.
    keeps: AtomicBool,
}

impl Ticker {
    /// Something waits to be sent, and Python code runs next; or something is kept that [`Outgoing::rest`] should find.
    #[inline]
    pub(crate) fn watch(&self) {
        // Either this load sees `asleep`, or the thread's last look before it sleeps sees what waits
        // and then finds what is kept.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Something is kept from now on, and is to go in about a second. A thread that sleeps is not kept awake for it.
    #[inline]
    pub(crate) fn keep(&self) {
        if !self.keeps.load(Ordering::Relaxed) && !self.keeps.swap(true, Ordering::Relaxed) {
            // Either there is a thread to wake, or it sees this when it begins. One that is awake looks before it sleeps.
            fence(Ordering::SeqCst);
            if let Some(thread) = self.thread.get() {
                thread.unpark();
            }
        }
    }

    /// Lets go of what is kept.
    fn rest(&self, outgoing: &impl Outgoing) {
        // Before it goes: what is kept meanwhile says so again.
        if self.keeps.swap(false, Ordering::Relaxed) {
            outgoing.rest();
        }
    }
}

/// The thread's life.
pub(crate) fn run(outgoing: &Arc<impl Outgoing>) {
    let ticker = outgoing.ticker();
    let _ = ticker.thread.set(std::thread::current());
    let (mut quiet, mut awake) = (QUIET_MAX, Duration::ZERO);
    loop {
        if quiet >= QUIET_MAX {
            ticker.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            while !outgoing.is_dirty() && ticker.asleep.load(Ordering::Relaxed) {
                if ticker.keeps.load(Ordering::Relaxed) {
                    std::thread::park_timeout(REST);
                    ticker.rest(&**outgoing);
                } else {
                    std::thread::park();
                }
            }
            ticker.asleep.store(false, Ordering::Relaxed);
            (quiet, awake) = (Duration::ZERO, Duration::ZERO);
        }
        let tick = outgoing.tick(now_ns());
        std::thread::sleep(tick);
        awake += tick;
        if awake >= REST {
            awake = Duration::ZERO;
            ticker.rest(&**outgoing);
        }
        if !outgoing.is_dirty() {
            quiet += tick;
            continue;
        }
        quiet = Duration::ZERO;
        if outgoing.is_due(now_ns()) {
            outgoing.flush();
        }
    }
}
