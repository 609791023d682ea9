//! Where lines go: from many threads, through bounded buffers, to one thread that writes them.
//!
//! A request must not wait for a disk, and a line must not wait long. So a thread appends to a lane of its own, a lock
//! that nobody else holds for longer than a swap; the writer comes around on a tick, or at once when a lane is full,
//! takes what waits and writes it. When nothing has been said for a tick it sleeps until the next line wakes it.
//! Bytes that wait are counted in grants against one bound; a line that finds no room is dropped and counted.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fs::File,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread::Thread,
    time::{Duration, Instant},
};

use nix::sys::signal::{SigSet, SigmaskHow};

use crate::{
    Error,
    lane::{Appended, Batch, FULL_BYTES, Lane, Spares},
    output::Output,
    writer::Writer,
};

/// How long the writer may take when the sink is dropped without having been closed.
const DROP_LIMIT: Duration = Duration::from_secs(1);

/// How a sink works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Which log this is: `access` or `error`.
    pub(crate) log: &'static str,
    /// Bytes that may wait for the disk.
    pub(crate) bytes_max: usize,
    /// Bytes more that may wait when they matter.
    pub(crate) reserve_bytes: usize,
    /// How long lines are gathered before they are written.
    pub(crate) tick: Duration,
    /// One lane for each thread. Otherwise one for all: slower, but lines stay in the order they were said.
    pub(crate) lane_per_thread: bool,
}

/// The near end of a log. Closed, within a limit, when it is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    shared: Arc<Shared>,
}

/// What the sink and its writer both hold.
#[derive(Debug)]
pub(crate) struct Shared {
    id: u64,
    pub(crate) manner: Manner,
    handover: Mutex<Handover>,
    /// The lane of all threads, or of those that are past having one of their own.
    common: Arc<Lane>,
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
    /// The writer sleeps until somebody wakes it.
    pub(crate) idle: AtomicBool,
    /// The writer is to come now, not at its next tick.
    pub(crate) urgent: AtomicBool,
    closed: AtomicBool,
    writer: OnceLock<Thread>,
}

/// What waits for the writer, oldest first. Whatever is in a lane is younger than whatever is in the queue.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    lanes: Vec<Arc<Lane>>,
    pub(crate) queue: VecDeque<Item>,
    spares: Spares,
    /// When a closed sink gives up what cannot be written.
    pub(crate) give_up: Option<Instant>,
}

/// One thing for the writer to do.
#[derive(Debug)]
pub(crate) enum Item {
    /// Write these lines.
    Lines(Batch),
    /// Go on in this file.
    Replace(File),
    /// Say that everything before is written.
    Flush(mpsc::Sender<()>),
    /// As `Flush`, and end.
    Close(mpsc::Sender<()>),
}

thread_local! {
    static LANES: RefCell<Vec<(u64, Arc<Lane>)>> = const { RefCell::new(Vec::new()) };
}

impl Sink {
    /// Starts the writer on `output`.
    pub(crate) fn new(manner: Manner, output: Output) -> Result<Self, Error> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let common = Arc::new(Lane::default());
        let shared = Arc::new(Shared {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            manner,
            handover: Mutex::new(Handover {
                lanes: vec![Arc::clone(&common)],
                ..Handover::default()
            }),
            common,
            waiting_bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            idle: AtomicBool::new(false),
            urgent: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            writer: OnceLock::new(),
        });
        let writer = Writer::new(Arc::clone(&shared), output);
        // Signals are for the threads that wait for them: this one inherits a mask that blocks them all.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let thread = std::thread::Builder::new()
            .name(format!("{} log", manner.log))
            .spawn(move || writer.run());
        if let Ok(mask) = mask {
            let _ = mask.thread_set_mask();
        }
        let thread = thread.map_err(|source| Error::Thread {
            log: manner.log,
            source,
        })?;
        let _ = shared.writer.set(thread.thread().clone());
        Ok(Self { shared })
    }

    /// Appends the line `render` writes. Never waits for the disk. `matters`: may use the reserve.
    pub(crate) fn append(&self, matters: bool, render: impl FnOnce(&mut Vec<u8>)) {
        let shared = &*self.shared;
        if shared.closed.load(Ordering::Relaxed) {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let append = |lane: &Lane| lane.append(render, |missing| shared.grant(missing, matters));
        let appended = if shared.manner.lane_per_thread {
            self.in_own_lane(append)
        } else {
            append(&shared.common)
        };
        match appended {
            Appended::Waiting => {
                if shared.idle.load(Ordering::SeqCst) && shared.idle.swap(false, Ordering::SeqCst) {
                    shared.wake();
                }
            }
            Appended::Full => shared.call_now(),
            Appended::Dropped => {
                shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Lines before this call go to the old file, later ones to `file`.
    pub(crate) fn replace(&self, file: File) {
        let mut handover = self.shared.handover();
        handover.collect();
        // Without a line in between the earlier replacement has nothing to do.
        if let Some(Item::Replace(last)) = handover.queue.back_mut() {
            *last = file;
        } else {
            handover.queue.push_back(Item::Replace(file));
        }
        drop(handover);
        self.shared.call_now();
    }

    /// Waits until all is written, for at most `limit`.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let (done, written) = mpsc::channel();
        let mut handover = self.shared.handover();
        handover.collect();
        handover.queue.push_back(Item::Flush(done));
        drop(handover);
        self.shared.call_now();
        written.recv_timeout(limit).is_ok()
    }

    /// Takes no more lines, waits until all is written, for at most `limit`, and ends the writer.
    pub(crate) fn close(&self, limit: Duration) -> bool {
        let (done, written) = mpsc::channel();
        let mut handover = self.shared.handover();
        if self.shared.closed.swap(true, Ordering::SeqCst) {
            return true;
        }
        handover.give_up = Some(Instant::now() + limit);
        handover.collect();
        handover.queue.push_back(Item::Close(done));
        drop(handover);
        self.shared.call_now();
        written.recv_timeout(limit).is_ok()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    fn in_own_lane(&self, append: impl FnOnce(&Lane) -> Appended) -> Appended {
        let mut append = Some(append);
        let own = LANES.try_with(|lanes| {
            let mut lanes = lanes.try_borrow_mut().ok()?;
            let append = append.take()?;
            let lane = match lanes.iter().position(|(id, _)| *id == self.shared.id) {
                Some(at) => &lanes[at].1,
                None => {
                    // Lanes of sinks that are no more have no other owner.
                    lanes.retain(|(_, lane)| Arc::strong_count(lane) > 1);
                    lanes.push((self.shared.id, self.shared.new_lane()));
                    &lanes[lanes.len() - 1].1
                }
            };
            Some(append(lane))
        });
        match (own, append) {
            (Ok(Some(appended)), _) => appended,
            // A thread that is being torn down has no locals any more.
            (_, Some(append)) => append(&self.shared.common),
            (_, None) => Appended::Dropped,
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close(DROP_LIMIT);
    }
}

impl Shared {
    pub(crate) fn handover(&self) -> MutexGuard<'_, Handover> {
        self.handover.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// A batch is written (or given up): its room is free again.
    pub(crate) fn release(&self, batch: Batch) {
        self.waiting_bytes.fetch_sub(batch.granted, Ordering::Relaxed);
        self.handover().keep(batch.lines);
    }

    /// Room for `missing` bytes, rounded up so that a busy lane asks rarely; 0 when there is none.
    fn grant(&self, missing: usize, matters: bool) -> usize {
        let Manner {
            bytes_max,
            reserve_bytes,
            ..
        } = self.manner;
        let step = (bytes_max / 64).clamp(1024, FULL_BYTES);
        let max = bytes_max + if matters { reserve_bytes } else { 0 };
        for wanted in [missing.next_multiple_of(step), missing] {
            let before = self.waiting_bytes.fetch_add(wanted, Ordering::Relaxed);
            if before.saturating_add(wanted) <= max {
                return wanted;
            }
            self.waiting_bytes.fetch_sub(wanted, Ordering::Relaxed);
        }
        0
    }

    fn new_lane(&self) -> Arc<Lane> {
        let lane = Arc::new(Lane::default());
        self.handover().lanes.push(Arc::clone(&lane));
        lane
    }

    fn call_now(&self) {
        self.urgent.store(true, Ordering::SeqCst);
        self.idle.store(false, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

impl Handover {
    /// Moves what waits in the lanes to the queue, and forgets the lanes of threads that are no more.
    pub(crate) fn collect(&mut self) {
        let Self {
            lanes, queue, spares, ..
        } = self;
        lanes.retain(|lane| {
            // Asked first: once we are the only owner, nothing can be appended after the take.
            let in_use = Arc::strong_count(lane) > 1;
            if let Some(batch) = lane.take(spares) {
                queue.push_back(Item::Lines(batch));
            }
            in_use
        });
    }

    /// Whether there is nothing for the writer to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.lanes.iter().all(|lane| lane.is_empty())
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        self.spares.keep(buffer, self.lanes.len());
    }
}
