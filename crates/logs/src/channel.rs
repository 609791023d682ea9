//! What the threads that use a log share with the thread that writes it.
//!
//! The bytes of a log have positions, from its start on, whatever they travel through. So a replaced file has
//! its place among the lines, and to wait for the writer is to wait until it has come as far as the log was
//! at the call.

use std::{
    collections::VecDeque,
    fs::File,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{output::Output, room::Room};

/// One log, as its users and its writer see it.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Which log this is: `access` or `error`.
    pub(crate) log: &'static str,
    pub(crate) room: Room,
    closed: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    output: Arc<Output>,
    /// Files to go on in, each with the position of its first byte.
    replacements: VecDeque<(u64, Output)>,
    /// Where the next line handed to the writer begins.
    accepted: u64,
    /// All before this is written, or given up.
    ended: u64,
    /// The file has failed for so long that nobody needs to wait for it.
    in_vain: bool,
    /// When a closed log gives up what cannot be written.
    give_up_at: Option<Instant>,
    gave_up: bool,
    /// There is no writer any more.
    finished: bool,
    /// Threads that wait for a change.
    waiting: usize,
}

/// What the writer does after the file did not take what it should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Then {
    TryAgain,
    /// The log is closed and its time is over.
    GiveUp,
}

impl Channel {
    pub(crate) fn new(log: &'static str, room: Room, output: Output) -> Self {
        Self {
            log,
            room,
            closed: AtomicBool::new(false),
            state: Mutex::new(State {
                output: Arc::new(output),
                replacements: VecDeque::new(),
                accepted: 0,
                ended: 0,
                in_vain: false,
                give_up_at: None,
                gave_up: false,
                finished: false,
                waiting: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Whether the log takes no more lines.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// So many bytes more were handed to the writer.
    pub(crate) fn accept(&self, bytes: usize) {
        let mut state = self.state();
        state.accepted += bytes as u64;
        self.tell(&state);
    }

    /// What was accepted before goes to the old file, the rest to this one.
    pub(crate) fn replace(&self, file: File) {
        let mut state = self.state();
        let output = Output::new(file);
        let position = state.accepted;
        match state.replacements.back_mut() {
            // Without a line in between the earlier replacement has nothing to do.
            Some((last, replaced)) if *last == position => *replaced = output,
            _ => state.replacements.push_back((position, output)),
        }
        // It may do better.
        state.in_vain = false;
        state.replace_reached();
        self.tell(&state);
    }

    /// Waits until all that was accepted is written, for at most `limit`.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let state = self.state();
        let position = state.accepted;
        let waits = |state: &State| state.ended < position && !state.in_vain && !state.finished;
        let state = self.wait(state, limit, waits);
        state.ended >= position && !state.gave_up
    }

    /// Takes no more lines, and gives up after `limit` what cannot be written; `false` when that was said
    /// before.
    pub(crate) fn close(&self, limit: Duration) -> bool {
        let mut state = self.state();
        if self.closed.swap(true, Ordering::SeqCst) {
            return false;
        }
        state.give_up_at = Some(Instant::now() + limit);
        self.tell(&state);
        true
    }

    /// Waits for the end of the writer of a closed log, for at most `limit`. `false` when it did not come, or
    /// not all could be written.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> bool {
        let state = self.wait(self.state(), limit, |state| !state.finished);
        state.finished && !state.gave_up
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: &State) {
        // To tell nobody would be a system call as well.
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        limit: Duration,
        waits: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let waited = self
            .changed
            .wait_timeout_while(state, limit, |state| waits(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }
}

/// The writer's part.
impl Channel {
    /// The file for the next line, and how many bytes may go there before another one comes.
    pub(crate) fn output(&self) -> (Arc<Output>, usize) {
        let state = self.state();
        let bytes = state
            .replacements
            .front()
            .map_or(u64::MAX, |(position, _)| position - state.ended);
        (
            Arc::clone(&state.output),
            usize::try_from(bytes).unwrap_or(usize::MAX),
        )
    }

    /// So many bytes more are written, or given up.
    pub(crate) fn end(&self, bytes: usize) {
        let mut state = self.state();
        state.ended += bytes as u64;
        state.replace_reached();
        self.tell(&state);
    }

    /// Goes on in the next file early, because this one fails: lines go there rather than nowhere.
    pub(crate) fn replace_early(&self) -> bool {
        self.state().replace_by_next()
    }

    /// Lets a file that failed rest, until it is tried again.
    pub(crate) fn pause(&self, pause: Duration, in_vain: bool) -> Then {
        let mut state = self.state();
        state.in_vain = in_vain && state.replacements.is_empty();
        self.tell(&state);
        let gives_up = |state: &State| {
            state
                .give_up_at
                .is_some_and(|end| state.in_vain || Instant::now() >= end)
        };
        state = self.wait(state, pause, |state| {
            state.replacements.is_empty() && !gives_up(state)
        });
        if gives_up(&state) {
            state.gave_up = true;
            return Then::GiveUp;
        }
        Then::TryAgain
    }

    /// The file takes lines again.
    pub(crate) fn recover(&self) {
        self.state().in_vain = false;
    }

    /// Waits until there is something to do, for at most `limit`.
    pub(crate) fn wait_for_lines(&self, limit: Duration) {
        let nothing_to_do = |state: &State| state.accepted <= state.ended && !self.is_closed();
        drop(self.wait(self.state(), limit, nothing_to_do));
    }

    /// There will be no writer any more.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        state.finished = true;
        self.tell(&state);
    }
}

impl State {
    fn replace_reached(&mut self) {
        while self
            .replacements
            .front()
            .is_some_and(|(position, _)| *position <= self.ended)
        {
            self.replace_by_next();
        }
    }

    fn replace_by_next(&mut self) -> bool {
        let Some((_, output)) = self.replacements.pop_front() else {
            return false;
        };
        self.output = Arc::new(output);
        true
    }
}
