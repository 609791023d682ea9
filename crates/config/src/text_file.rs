//! Text files, read whole and up to a bound.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::regular_file::{open_at_once, regular};

/// The text of a configuration file, which may be a pipe: that is what a shell makes of `--conf <(...)`. Who
/// writes to it has a few seconds, since the reader cannot do anything else.
pub(crate) fn configuration(path: &Path) -> io::Result<String> {
    let file = open_at_once(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return text(piped(file, PIPE_WITHIN)?, FILE_BYTES_MAX);
    }
    read_bounded(regular(file)?, FILE_BYTES_MAX)
}

/// What is written to a pipe until its writers have closed it.
fn piped(mut pipe: File, within: Duration) -> io::Result<Vec<u8>> {
    let until = Instant::now() + within;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while bytes.len() as u64 <= FILE_BYTES_MAX {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => {
                let error = format!(
                    "a pipe that was not written to its end within {} s",
                    within.as_secs()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, error));
            }
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// A whole text file, refused when it is larger than anybody writes by hand: a device or a log given by
/// mistake must not fill the memory.
pub(crate) fn read_bounded(file: File, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    text(bytes, bytes_max)
}

fn text(bytes: Vec<u8>, bytes_max: u64) -> io::Result<String> {
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {bytes_max} bytes"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 at byte {at}"))
    })
}

/// For what a shell makes of `<(...)`, and no time in which anybody would miss the supervisor.
const PIPE_WITHIN: Duration = Duration::from_secs(3);

/// Far above any site.toml or env file.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::{io::Write, os::fd::OwnedFd};

    use super::*;

    #[test]
    fn a_pipe_is_read_to_its_end_and_one_that_has_none_is_not_waited_for() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let reader = File::from(OwnedFd::from(reader));
        writer.write_all(b"[[site]]").expect("room");
        let error = piped(
            reader.try_clone().expect("a descriptor"),
            Duration::from_millis(50),
        );
        assert_eq!(error.expect_err("no end").kind(), io::ErrorKind::TimedOut);
        writer.write_all(b"respond = 1").expect("room");
        drop(writer);
        let bytes = piped(reader, Duration::from_secs(60)).expect("an end");
        assert_eq!(bytes, b"respond = 1");
    }
}
