//! The way of the error log's lines to its writer: the queue and the thread of tracing-appender.
//!
//! Its queue counts lines. Here the bytes are bounded, with a reserve for what matters, and lines keep the
//! order they are said in. Its thread hands over what it finds and says when there is no more: until then
//! lines are gathered, so that one write takes many of them when there are many.

use std::{
    fs::File,
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::{Error, channel::Channel, output::Output, room::Room, writer::Writer, writer_thread};

const LOG: &str = "error";

const THREAD_NAME: &str = "error log";

/// Bytes of lines that may wait for the disk; past it they are dropped and counted.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes more for what matters: a flood of an application's output must not drown it.
const RESERVE_BYTES: usize = 256 * 1024;

/// The room that a short line takes. tracing-appender has a place for each line that may wait, whether or not
/// one does.
const LINE_ROOM_MIN: usize = 512;

/// Bytes that are gathered for one write.
const BATCH_BYTES: usize = 32 * 1024;

/// A queue of lines, and what is known of those that wait in it.
#[derive(Debug)]
pub(crate) struct EventQueue {
    channel: Arc<Channel>,
    sender: Mutex<NonBlocking>,
    refused: ErrorCounter,
}

impl EventQueue {
    /// Starts the thread that writes to `output`. It ends, after all lines, with the guard.
    pub(crate) fn start(output: Output) -> Result<(Self, WorkerGuard), Error> {
        let channel = Arc::new(Channel::new(LOG, Room::new(BYTES_MAX, RESERVE_BYTES), output));
        let writer = BatchWriter {
            channel: Arc::clone(&channel),
            writer: Writer::new(Arc::clone(&channel)),
            lines: Vec::new(),
            room: 0,
        };
        // The thread of tracing-appender inherits what this one has, and has not. Where it cannot be started,
        // tracing-appender panics: whether one can is tried first, and a panic here does no harm.
        let starter = writer_thread::start(THREAD_NAME, || {
            let _ = thread::Builder::new().spawn(|| ())?.join();
            Ok(NonBlockingBuilder::default()
                .thread_name(THREAD_NAME)
                .buffered_lines_limit((BYTES_MAX + RESERVE_BYTES) / LINE_ROOM_MIN + 1)
                .lossy(true)
                .finish(writer))
        });
        let started = starter.and_then(|starter| {
            let panicked = |_| Err(io::Error::other("the thread that starts it panicked"));
            starter.join().unwrap_or_else(panicked)
        });
        let (sender, guard) = started.map_err(|source| Error::Thread { log: LOG, source })?;
        let queue = Self {
            channel,
            refused: sender.error_counter(),
            sender: Mutex::new(sender),
        };
        Ok((queue, guard))
    }

    /// Hands one line over. Never waits for the disk. `matters`: may use the reserve.
    pub(crate) fn push(&self, line: &[u8], matters: bool) {
        let Channel { room, .. } = &*self.channel;
        let needed = needed_room(line);
        // Lines enter the queue in the order of their positions.
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if self.channel.is_closed() || !room.take(needed, matters) {
            room.count_dropped(1);
            return;
        }
        let refused = self.refused.dropped_lines();
        let sent = sender.write_all(line);
        if sent.is_ok() && self.refused.dropped_lines() == refused {
            self.channel.accept(line.len());
        } else {
            room.release(needed);
            room.count_dropped(1);
        }
    }

    /// Lines before this call go to the old file, later ones to `file`.
    pub(crate) fn replace(&self, file: File) {
        self.channel.replace(file);
    }

    /// Waits until all is written, for at most `limit`.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        self.channel.flush(limit)
    }

    /// Takes no more lines, and waits until all is written, for at most `limit`.
    pub(crate) fn close(&self, limit: Duration) {
        self.channel.close(limit);
        self.channel.flush(limit);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.channel.room.dropped()
    }
}

/// The room that a line takes while it waits.
fn needed_room(line: &[u8]) -> usize {
    line.len().max(LINE_ROOM_MIN)
}

/// What the thread of tracing-appender writes into, line by line.
struct BatchWriter {
    channel: Arc<Channel>,
    writer: Writer,
    lines: Vec<u8>,
    /// The room that they take.
    room: usize,
}

impl BatchWriter {
    fn write_batch(&mut self) {
        self.writer.write(&self.lines);
        self.channel.room.release(mem::take(&mut self.room));
        self.lines.clear();
        self.lines.shrink_to(BATCH_BYTES);
        self.writer.tell_dropped();
    }
}

impl Write for BatchWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.extend_from_slice(line);
        self.room += needed_room(line);
        if self.lines.len() >= BATCH_BYTES {
            self.write_batch();
        }
        Ok(line.len())
    }

    /// The queue is empty.
    fn flush(&mut self) -> io::Result<()> {
        self.write_batch();
        self.writer.wait_to_tell_dropped();
        Ok(())
    }
}
