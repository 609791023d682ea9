//! The file at the end of a log, and how to write to it without being held up.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
};

use config::To;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{Error, open_for_append};

/// Bytes a pipe takes whole or not at all (Linux's PIPE_BUF).
const PIPE_BYTES: usize = 4096;

/// How long one write waits for whoever reads the other end of a pipe.
const READER_TIMEOUT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// The file at the end of a log.
///
/// Whatever is no regular file (a pipe to a container's logger, a terminal) may have a reader that sleeps. It
/// is written to only when it says it has room, and in pieces of whole lines that a pipe takes in one go, so
/// that the writer can always be reached and the lines of several processes on one pipe stay whole.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    regular: bool,
}

impl Output {
    pub(crate) fn new(file: File) -> Self {
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Self { file, regular }
    }

    /// The file the supervisor handed over, or the one the configuration names.
    pub(crate) fn open(to: &To, given: Option<File>) -> Result<Self, Error> {
        if let Some(file) = given {
            return Ok(Self::new(file));
        }
        let (name, descriptor) = match to {
            To::File(path) => {
                return open_for_append(path)
                    .map(Self::new)
                    .map_err(|source| Error::Open {
                        path: path.clone(),
                        source,
                    });
            }
            To::Stdout => ("standard output", io::stdout().as_fd().try_clone_to_owned()),
            To::Stderr => ("standard error", io::stderr().as_fd().try_clone_to_owned()),
        };
        match descriptor {
            Ok(descriptor) => Ok(Self::new(File::from(descriptor))),
            Err(source) => Err(Error::Stream { name, source }),
        }
    }

    /// Writes `bytes` from `*written` on and moves it along; an error leaves it where writing can go on
    /// later. [`io::ErrorKind::WouldBlock`] says that the reader of the other end did not come in time.
    pub(crate) fn write(&self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        while *written < bytes.len() {
            let mut piece = &bytes[*written..];
            if !self.regular {
                self.wait_for_room()?;
                piece = whole_lines(piece, PIPE_BYTES);
            }
            match (&self.file).write(piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait_for_room(&self) -> io::Result<()> {
        match poll(
            &mut [PollFd::new(&self.file, PollFlags::OUT)],
            Some(&READER_TIMEOUT),
        ) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            // An error condition is told by the write that follows.
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The longest start of `bytes` that is whole lines and at most `max` long; part of a line when that is
/// longer.
fn whole_lines(bytes: &[u8], max: usize) -> &[u8] {
    if bytes.len() <= max {
        return bytes;
    }
    let start = &bytes[..max];
    match start.iter().rposition(|&byte| byte == b'\n') {
        Some(end) => &start[..=end],
        None => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_whole_lines_unless_one_is_too_long() {
        assert_eq!(whole_lines(b"ab\ncd\n", 9), b"ab\ncd\n");
        assert_eq!(whole_lines(b"ab\ncd\n", 5), b"ab\n");
        assert_eq!(whole_lines(b"abcdef\n", 3), b"abc");
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_left_after_a_while() {
        let (_reader, writer) = io::pipe().expect("pipe");
        let output = Output::new(File::from(std::os::fd::OwnedFd::from(writer)));
        let mut written = 0;
        let error = output
            .write(&[b'\n'; 1 << 20], &mut written)
            .expect_err("a full pipe");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(written >= PIPE_BYTES);
    }
}
