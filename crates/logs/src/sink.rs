//! The way of the access log's lines to its writer: from many threads, through a buffer of each, to one
//! thread that writes them.
//!
//! A request must not wait for a disk, nor for another thread, and a line must not wait long. So a thread
//! appends to a buffer of its own, under a lock that nobody else holds for longer than a swap; the writer
//! comes around on a tick, or at once when a buffer is full, takes what waits and writes it. When nothing has
//! been said for a tick it sleeps until the next line wakes it. Room is granted to a buffer in steps of many
//! lines.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fs::File,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use crate::{
    Error,
    channel::Channel,
    output::Output,
    room::Room,
    thread_buffer::{Appended, Batch, FULL_BYTES, Spares, ThreadBuffer},
    writer::Writer,
    writer_thread,
};

/// How long lines are gathered before they are written.
const TICK: Duration = Duration::from_millis(50);

/// How long the writer may take when the sink is dropped without having been closed.
const DROP_LIMIT: Duration = Duration::from_secs(1);

/// Where the lines of all threads go. Closed, within a limit, when it is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    shared: Arc<Shared>,
}

/// What the sink and the thread that writes both hold.
#[derive(Debug)]
struct Shared {
    id: u64,
    channel: Arc<Channel>,
    gathered: Mutex<Gathered>,
    /// The buffer of threads that are past having one of their own.
    common: Arc<ThreadBuffer>,
    /// The writer sleeps until somebody wakes it.
    idle: AtomicBool,
    /// The writer is to come now, not at its next tick.
    urgent: AtomicBool,
    writer: OnceLock<Thread>,
}

/// What waits for the writer, oldest first. Whatever is in a buffer is younger than whatever is in the queue.
#[derive(Debug)]
struct Gathered {
    buffers: Vec<Arc<ThreadBuffer>>,
    queue: VecDeque<Batch>,
    spares: Spares,
}

thread_local! {
    static BUFFERS: RefCell<Vec<(u64, Arc<ThreadBuffer>)>> = const { RefCell::new(Vec::new()) };
}

impl Sink {
    /// Starts the thread that writes to `output`. At most `bytes_max` may wait for it.
    pub(crate) fn new(log: &'static str, bytes_max: usize, output: Output) -> Result<Self, Error> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let common = Arc::new(ThreadBuffer::default());
        let shared = Arc::new(Shared {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            channel: Arc::new(Channel::new(log, Room::new(bytes_max, 0), output)),
            gathered: Mutex::new(Gathered {
                buffers: vec![Arc::clone(&common)],
                queue: VecDeque::new(),
                spares: Spares::default(),
            }),
            common,
            idle: AtomicBool::new(false),
            urgent: AtomicBool::new(false),
            writer: OnceLock::new(),
        });
        let writer = Writer::new(Arc::clone(&shared.channel));
        let writes = Arc::clone(&shared);
        let thread = writer_thread::start(&format!("{log} log"), move || writes.write(writer));
        let thread = thread.map_err(|source| Error::Thread { log, source })?;
        let _ = shared.writer.set(thread.thread().clone());
        Ok(Self { shared })
    }

    /// Appends the line `render` writes. Never waits for the disk.
    pub(crate) fn append(&self, render: impl FnOnce(&mut Vec<u8>)) {
        let shared = &*self.shared;
        let room = &shared.channel.room;
        if shared.channel.is_closed() {
            room.count_dropped(1);
            return;
        }
        match self.in_own_buffer(|buffer| buffer.append(render, |missing| shared.grant(missing))) {
            Appended::Waiting => {
                if shared.idle.load(Ordering::SeqCst) && shared.idle.swap(false, Ordering::SeqCst) {
                    shared.wake();
                }
            }
            Appended::Full => shared.call_now(),
            Appended::Dropped => room.count_dropped(1),
        }
    }

    /// Lines before this call go to the old file, later ones to `file`.
    pub(crate) fn replace(&self, file: File) {
        let mut gathered = self.shared.gathered();
        gathered.collect(&self.shared.channel);
        self.shared.channel.replace(file);
        drop(gathered);
        self.shared.call_now();
    }

    /// Takes no more lines, waits until all is written, for at most `limit`, and ends the writer.
    pub(crate) fn close(&self, limit: Duration) -> bool {
        if !self.shared.channel.close(limit) {
            return true;
        }
        self.shared.call_now();
        self.shared.channel.wait_for_end(limit)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.shared.channel.room.dropped()
    }

    fn in_own_buffer(&self, append: impl FnOnce(&ThreadBuffer) -> Appended) -> Appended {
        let mut append = Some(append);
        let own = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.try_borrow_mut().ok()?;
            let append = append.take()?;
            let buffer = match buffers.iter().position(|(id, _)| *id == self.shared.id) {
                Some(at) => &buffers[at].1,
                None => {
                    // Lanes of sinks that are no more have no other owner.
                    buffers.retain(|(_, buffer)| Arc::strong_count(buffer) > 1);
                    buffers.push((self.shared.id, self.shared.new_buffer()));
                    &buffers[buffers.len() - 1].1
                }
            };
            Some(append(buffer))
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
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for `missing` bytes, rounded up so that a busy buffer asks rarely; 0 when there is none.
    fn grant(&self, missing: usize) -> usize {
        let room = &self.channel.room;
        let step = (room.bytes_max() / 64).clamp(1024, FULL_BYTES);
        let takes = |wanted: &usize| room.take(*wanted, false);
        [missing.next_multiple_of(step), missing]
            .into_iter()
            .find(takes)
            .unwrap_or(0)
    }

    fn new_buffer(&self) -> Arc<ThreadBuffer> {
        let buffer = Arc::new(ThreadBuffer::default());
        self.gathered().buffers.push(Arc::clone(&buffer));
        buffer
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

/// The thread that writes.
impl Shared {
    /// Writes until the sink is closed.
    fn write(&self, mut writer: Writer) {
        loop {
            // Asked first: what was appended before the close is collected after it.
            let closed = self.channel.is_closed();
            self.gathered().collect(&self.channel);
            let wrote = self.write_queue(&mut writer);
            if closed {
                return;
            }
            if !wrote {
                self.sleep(writer.tells_dropped_in());
            }
            self.wait_for_tick();
            writer.tell_dropped();
        }
    }

    /// Whether there was something to write.
    fn write_queue(&self, writer: &mut Writer) -> bool {
        let mut wrote = false;
        loop {
            let Some(batch) = self.gathered().queue.pop_front() else {
                return wrote;
            };
            writer.write(&batch.lines);
            self.channel.room.release(batch.granted);
            self.gathered().keep(batch.lines);
            wrote = true;
        }
    }

    /// Lets lines gather for a tick, unless somebody wants the writer now.
    fn wait_for_tick(&self) {
        if !self.urgent.swap(false, Ordering::SeqCst) {
            thread::park_timeout(TICK);
        }
    }

    /// Sleeps until there is something to do. Whoever appends a line takes its buffer's lock before it looks
    /// at `idle`, and we look into the buffers after setting it: one of the two sees the other.
    fn sleep(&self, limit: Option<Duration>) {
        self.idle.store(true, Ordering::SeqCst);
        if self.gathered().is_empty() {
            match limit {
                Some(limit) => thread::park_timeout(limit),
                None => thread::park(),
            }
        }
        self.idle.store(false, Ordering::SeqCst);
    }
}

impl Gathered {
    /// Hands what waits in the buffers to the writer, and forgets the buffers of threads that are no more.
    fn collect(&mut self, channel: &Channel) {
        let Self {
            buffers,
            queue,
            spares,
        } = self;
        buffers.retain(|buffer| {
            // Asked first: once we are the only owner, nothing can be appended after the take.
            let in_use = Arc::strong_count(buffer) > 1;
            if let Some(batch) = buffer.take(spares) {
                channel.accept(batch.lines.len());
                queue.push_back(batch);
            }
            in_use
        });
    }

    /// Whether there is nothing for the writer to do.
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.buffers.iter().all(|buffer| buffer.is_empty())
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        self.spares.keep(buffer, self.buffers.len());
    }
}
