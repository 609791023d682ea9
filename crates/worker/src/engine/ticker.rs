//! A thread that sends what a busy host thread has not come to send.
//!
//! Answers wait for the end of their batch, and nobody knows beforehand that the next request of the batch, or a `close()`, will
//! take ten seconds. With an event loop it is enough that an application works on behind its answer without waiting for anything: a
//! background task that blocks, a model that says one word after the other. So while batches are about, somebody looks every few
//! milliseconds. The rest of the time this thread sleeps without a timer; it never takes the GIL.
//!
//! A look costs up to 20 us of the processor where timers and switches of context are dear, so it is no more frequent than the work
//! at hand wants it: [`Outgoing::tick`].

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
}

/// Wakes the thread.
#[derive(Debug, Default)]
pub(crate) struct Ticker {
    thread: OnceLock<Thread>,
    asleep: AtomicBool,
}

impl Ticker {
    /// Something waits to be sent, and Python code runs next.
    #[inline]
    pub(crate) fn watch(&self) {
        // Either this load sees `asleep`, or the thread's last look before it sleeps sees what waits.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

/// The thread's life.
pub(crate) fn run(outgoing: &Arc<impl Outgoing>) {
    let ticker = outgoing.ticker();
    let _ = ticker.thread.set(std::thread::current());
    let mut quiet = QUIET_MAX;
    loop {
        if quiet >= QUIET_MAX {
            ticker.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            while !outgoing.is_dirty() && ticker.asleep.load(Ordering::Relaxed) {
                std::thread::park();
            }
            ticker.asleep.store(false, Ordering::Relaxed);
            quiet = Duration::ZERO;
        }
        let tick = outgoing.tick(now_ns());
        std::thread::sleep(tick);
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
