//! The pipes that carry what applications print into the error log.

use std::{
    io::{self},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use logs::error_log::AppLine;

use crate::lines::Lines;

/// Bytes taken from one pipe in one turn of the loop: a noisy application gets its share, not the supervisor.
const TURN_BYTES_MAX: usize = 64 << 10;

/// Whose output it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Number of the generation.
    pub(crate) generation: u64,
    /// Name of the app.
    pub(crate) app: Arc<str>,
    /// Our number of the worker and its slot; `None`: the zygote.
    pub(crate) worker: Option<(u64, u32)>,
}

/// The reading end of one stream of one process.
#[derive(Debug)]
pub(crate) struct Output {
    pipe: OwnedFd,
    lines: Lines,
    stream: &'static str,
    /// Process id, 0 until it is known.
    pub(crate) pid: u32,
    pub(crate) source: Source,
    /// The process is gone; only something it started can still write here.
    pub(crate) orphaned: bool,
}

impl Output {
    /// `stream` is `stdout` or `stderr`.
    pub(crate) fn new(pipe: OwnedFd, stream: &'static str, source: Source, pid: u32) -> Self {
        Self {
            pipe,
            lines: Lines::default(),
            stream,
            pid,
            source,
            orphaned: false,
        }
    }

    /// Writes what came into the error log and hands each line to `heard` as well. `false`: nothing will come any more.
    pub(crate) fn read(&mut self, mut heard: impl FnMut(&[u8])) -> bool {
        let Self {
            pipe,
            lines,
            stream,
            pid,
            source,
            ..
        } = self;
        let mut tell = |line: AppLine<'_>| {
            let slot = source.worker.map(|(_, slot)| slot);
            logs::error_log::app_output(&source.app, slot, *pid, stream, line);
            heard(line.text);
        };
        let mut buffer = [0; 16 << 10];
        let mut taken = 0;
        while taken < TURN_BYTES_MAX {
            match rustix::io::read(&*pipe, &mut buffer) {
                Ok(0) => {
                    lines.end(tell);
                    return false;
                }
                Ok(len) => {
                    taken += len;
                    lines.push(&buffer[..len], &mut tell);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return io::Error::from(error).kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
