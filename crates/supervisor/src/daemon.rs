//! `--daemon`: into the background, but only once everything serves.
//!
//! The old process stays in front and waits. It exits 0 when the new one says that it serves, and with the new one's exit
//! code when that fails, so a script that starts us knows. Until then the new process keeps the terminal for its messages.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::setsid,
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
};

use config::{Config, To};

use crate::{
    Error, log_files,
    os::{
        fork::{Side, fork},
        wait::{Ended, wait_for},
    },
};

/// The new process's way to tell the old one.
#[derive(Debug)]
pub(crate) struct Background {
    front: OwnedFd,
}

/// Which process this is now.
#[derive(Debug)]
pub(crate) enum Place {
    /// The old one, with nothing left to do but exit with this code.
    Front(u8),
    /// The new one.
    Background(Background),
}

/// Has every log a place that is still there in the background?
///
/// # Errors
/// When one goes to the terminal, where every line of it would be lost.
pub fn check(config: &Config) -> Result<(), Error> {
    let lost: Vec<_> = log_files::places(config)
        .into_iter()
        .filter(|(_, to)| to.is_some_and(is_terminal))
        .map(|(key, _)| key)
        .collect();
    match lost.is_empty() {
        true => Ok(()),
        false => Err(Error::LostLogs(lost.join(" and "))),
    }
}

/// Is it standard output or error, by whatever name?
fn is_terminal(to: &To) -> bool {
    const NAMES: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/console"];
    match to {
        To::Stdout | To::Stderr => true,
        To::File(path) => {
            NAMES.iter().any(|name| path == std::path::Path::new(name))
                || path.starts_with("/dev/fd")
                || path.starts_with("/proc/self/fd")
        }
    }
}

/// Forks, and waits in the old process.
pub(crate) fn detach() -> io::Result<Place> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    match fork()? {
        Side::Child => {
            drop(read);
            setsid()?;
            dup2_stdin(File::open("/dev/null")?)?;
            Ok(Place::Background(Background { front: write }))
        }
        Side::Parent(child) => {
            drop(write);
            let mut word = [0];
            let code = match File::from(read).read(&mut word) {
                Ok(1) => 0,
                _ => match wait_for(child) {
                    Some(Ended::Code(code)) => u8::try_from(code).unwrap_or(1),
                    _ => 1,
                },
            };
            Ok(Place::Front(code))
        }
    }
}

impl Background {
    /// Everything serves: lets the old process go, and the terminal.
    pub(crate) fn started(self) {
        let null = File::options().read(true).write(true).open("/dev/null");
        if let Ok(null) = null {
            // Whoever waits for the end of our output waits no longer.
            let _ = dup2_stdout(&null);
            let _ = dup2_stderr(&null);
        }
        let _ = rustix::process::chdir("/");
        let _ = File::from(self.front).write_all(&[1]);
    }
}
