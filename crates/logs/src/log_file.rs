//! Opening the file a log goes to, which may be a FIFO.
//!
//! To open a FIFO for writing waits for a reader, and a server must not wait for one: neither at its start
//! nor, deaf to every signal, when its logs are reopened. Opened for reading as well it never waits, takes
//! what fits in it and keeps that for a reader who comes later, and a reader who leaves breaks nothing.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use rustix::{fs::OFlags, io::Errno};

/// Opens a log file as every part of the product does: appending, made when missing (0640), not inherited
/// over an exec, and without waiting, whatever kind of file it is.
///
/// # Errors
/// Those of open(2).
pub fn open_for_append(path: &Path) -> io::Result<File> {
    match without_waiting().append(true).create(true).mode(0o640).open(path) {
        Ok(file) if is_fifo(&file) => Ok(open_fifo(path).unwrap_or(file)),
        Err(error) if has_no_reader(&error) => open_fifo(path),
        opened => opened,
    }
}

/// A log that is a FIFO, and who reads it.
#[derive(Debug)]
pub enum Fifo {
    /// Nobody.
    Unread,
    /// Somebody, who may only now have seen a writer come. To drop this before the log is opened would be the
    /// end of what they read.
    Read(File),
}

/// Looks whether the log is a FIFO.
#[must_use]
pub fn look_at_fifo(path: &Path) -> Option<Fifo> {
    if !path.metadata().is_ok_and(|file| file.file_type().is_fifo()) {
        return None;
    }
    match without_waiting().write(true).open(path) {
        Ok(file) => Some(Fifo::Read(file)),
        Err(error) => has_no_reader(&error).then_some(Fifo::Unread),
    }
}

fn open_fifo(path: &Path) -> io::Result<File> {
    without_waiting().read(true).write(true).open(path)
}

// std opens everything close-on-exec.
fn without_waiting() -> OpenOptions {
    let mut options = File::options();
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options
}

fn is_fifo(file: &File) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn has_no_reader(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NXIO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_fifo_is_opened_without_a_reader_and_outlives_every_reader() {
        let path = std::env::temp_dir().join(format!("appliance-fifo-{}", std::process::id()));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("a fifo");
        assert!(matches!(look_at_fifo(&path), Some(Fifo::Unread)));
        let mut log = open_for_append(&path).expect("opened");
        log.write_all(b"before\n").expect("kept for a reader");
        let read = |count: usize| {
            let mut reader = without_waiting().read(true).open(&path).expect("a reader");
            let mut text = vec![0; count];
            reader.read_exact(&mut text).expect("what was written");
            text
        };
        assert_eq!(read(7), b"before\n");
        log.write_all(b"between\n").expect("no broken pipe");
        assert_eq!(read(8), b"between\n");
        assert!(matches!(look_at_fifo(&path), Some(Fifo::Read(_))));
        std::fs::remove_file(&path).expect("removed");
        assert!(look_at_fifo(&path).is_none());
    }
}
