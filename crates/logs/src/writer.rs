//! The thread that writes.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::geteuid,
    thread::{CapabilitySet, CapabilitySets, set_capabilities},
};
use tracing::{error, info, warn};

use crate::{
    lane::Batch,
    output::Output,
    sink::{Item, Shared},
};

/// A file that fails is tried again after this long, then twice as long, up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);

/// The longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The pause between two waits for a reader.
const STUCK_PAUSE: Duration = Duration::from_millis(10);

/// A file that keeps failing is told about once in this time.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A reader that does not read is told about after this time.
const TELL_STUCK_AFTER: Duration = Duration::from_secs(5);

/// The far end of a log.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    output: Output,
    /// The batch that is being written.
    current: Option<Current>,
    trouble: Option<Trouble>,
    told_dropped: u64,
    told_dropped_at: Option<Instant>,
}

#[derive(Debug)]
struct Current {
    batch: Batch,
    written: usize,
}

/// The file does not take what it should.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    told: Option<Instant>,
    retry: Duration,
    /// It has lasted, and the last try was in vain: nobody needs to wait for this file.
    in_vain: bool,
}

/// What a round of writing came to.
enum Round {
    /// There was something to write, and it is written.
    Wrote,
    /// There was nothing to do.
    Nothing,
    /// The file does not take any more for now; try again after this long.
    Failing(Duration),
    /// The sink is closed and all is done.
    Closed,
}

/// The file is open, so this thread needs no right, and what another thread gives up this one would keep: each
/// has capabilities of its own. A thread of root keeps them. A change of user takes them away, and it must
/// succeed in all threads.
fn give_up_capabilities() {
    if !geteuid().is_root() {
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        // Less is always allowed.
        let _ = set_capabilities(None, none);
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, output: Output) -> Self {
        Self {
            shared,
            output,
            current: None,
            trouble: None,
            told_dropped: 0,
            told_dropped_at: None,
        }
    }

    /// Writes until the sink is closed.
    pub(crate) fn run(mut self) {
        give_up_capabilities();
        loop {
            self.shared.handover().collect();
            match self.round() {
                Round::Wrote => self.gather(),
                Round::Nothing => {
                    self.sleep();
                    self.gather();
                }
                Round::Failing(_) if self.gives_up() => break,
                Round::Failing(pause) => thread::park_timeout(pause),
                Round::Closed => break,
            }
            if self.trouble.is_none()
                && self
                    .told_dropped_at
                    .is_none_or(|told| told.elapsed() >= TELL_EVERY)
            {
                self.tell_dropped();
            }
        }
        self.tell_dropped();
    }

    /// Lets lines gather for a tick, unless somebody wants the writer now.
    fn gather(&self) {
        let tick = self.shared.manner.tick;
        if !self.shared.urgent.swap(false, Ordering::SeqCst) && !tick.is_zero() {
            thread::park_timeout(tick);
        }
    }

    /// Sleeps until there is something to do. Whoever appends a line takes the lane's lock before it looks at `idle`,
    /// and we look into the lanes after setting it: one of the two sees the other.
    fn sleep(&self) {
        self.shared.idle.store(true, Ordering::SeqCst);
        if self.shared.handover().is_empty() {
            match self.told_dropped_at {
                Some(_) if self.shared.dropped() > self.told_dropped => thread::park_timeout(TELL_EVERY),
                _ => thread::park(),
            }
        }
        self.shared.idle.store(false, Ordering::SeqCst);
    }

    /// Works through the queue.
    fn round(&mut self) -> Round {
        let mut wrote = false;
        loop {
            if let Some(current) = &mut self.current {
                if let Err(error) = self.output.write(&current.batch.lines, &mut current.written) {
                    return self.failed(&error);
                }
                self.recovered();
                if let Some(current) = self.current.take() {
                    self.shared.release(current.batch);
                }
            }
            let item = self.shared.handover().queue.pop_front();
            match item {
                Some(Item::Lines(batch)) => self.current = Some(Current { batch, written: 0 }),
                Some(Item::Replace(file)) => self.output = Output::new(file),
                // Whoever asked may have stopped waiting.
                Some(Item::Flush(done)) => {
                    let _ = done.send(());
                }
                Some(Item::Close(done)) => {
                    // Before anybody goes on to end the error log.
                    self.tell_dropped();
                    let _ = done.send(());
                    return Round::Closed;
                }
                None => return if wrote { Round::Wrote } else { Round::Nothing },
            }
            wrote = true;
        }
    }

    /// The file did not take a batch. When a new file waits, the batch goes there rather than nowhere, from the start
    /// of the line that was cut.
    fn failed(&mut self, error: &io::Error) -> Round {
        let mut handover = self.shared.handover();
        let replacement = handover
            .queue
            .iter()
            .position(|item| matches!(item, Item::Replace(_)));
        let replacement = replacement.and_then(|at| handover.queue.remove(at));
        drop(handover);
        if let Some(Item::Replace(file)) = replacement {
            self.output = Output::new(file);
            if let Some(current) = &mut self.current {
                let done = &current.batch.lines[..current.written];
                current.written = done
                    .iter()
                    .rposition(|&byte| byte == b'\n')
                    .map_or(0, |end| end + 1);
            }
            if let Some(trouble) = &mut self.trouble {
                trouble.in_vain = false;
            }
            return Round::Failing(Duration::ZERO);
        }

        let now = Instant::now();
        let trouble = self.trouble.get_or_insert(Trouble {
            since: now,
            told: None,
            retry: RETRY_MIN,
            in_vain: false,
        });
        let stuck = error.kind() == io::ErrorKind::WouldBlock;
        let patient = stuck && now - trouble.since < TELL_STUCK_AFTER;
        if !patient && trouble.told.is_none_or(|told| now - told >= TELL_EVERY) {
            trouble.told = Some(now);
            let log = self.shared.manner.log;
            if stuck {
                error!(log, "log is not being read, lines wait and then are dropped");
            } else {
                error!(log, %error, "log cannot be written, lines wait and then are dropped");
            }
        }
        trouble.in_vain = trouble.told.is_some();
        if trouble.in_vain {
            let mut handover = self.shared.handover();
            handover.queue.retain(|item| !matches!(item, Item::Flush(_)));
        }
        let pause = trouble.retry;
        trouble.retry = (pause * 2).min(RETRY_MAX);
        // The wait for a reader has its own patience.
        Round::Failing(if stuck { STUCK_PAUSE } else { pause })
    }

    fn recovered(&mut self) {
        if self.trouble.take().is_some_and(|trouble| trouble.told.is_some()) {
            info!(log = self.shared.manner.log, "log can be written again");
        }
    }

    /// Says how many lines a shortage of room has cost since it was last said.
    fn tell_dropped(&mut self) {
        let dropped = self.shared.dropped();
        if dropped > self.told_dropped {
            let lines = dropped - self.told_dropped;
            self.told_dropped = dropped;
            self.told_dropped_at = Some(Instant::now());
            warn!(
                log = self.shared.manner.log,
                lines,
                total = dropped,
                "log lines were dropped"
            );
        }
    }

    /// Whether the sink is closed and its time over; what could not be written is counted. A log that has
    /// been in trouble before has had its time.
    fn gives_up(&mut self) -> bool {
        let in_vain = self.trouble.as_ref().is_some_and(|trouble| trouble.in_vain);
        let mut handover = self.shared.handover();
        if handover
            .give_up
            .is_none_or(|end| Instant::now() < end && !in_vain)
        {
            return false;
        }
        let count = |lines: &[u8]| lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let rest = self
            .current
            .take()
            .map_or(0, |current| count(&current.batch.lines[current.written..]));
        let queued = handover.queue.drain(..).map(|item| match item {
            Item::Lines(batch) => count(&batch.lines),
            _ => 0,
        });
        self.shared.count_dropped(rest + queued.sum::<u64>());
        true
    }
}
