//! One client of the control socket: one request, one answer.

use std::{
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Serialize;

use super::{
    reply::{self, Refused},
    request::{self, Command, Refusal, Request},
};
use crate::ready::{Interest, Ready};

/// Bytes of a request.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Bytes that wait for a client, before another line of its answer makes it one that does not read.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// For a request to come, and for each pause of a client that takes its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who a client is, in the kernel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Peer {
    /// 0 where its process cannot be seen from here (another container).
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

/// One client.
#[derive(Debug)]
pub(super) struct Connection {
    socket: UnixStream,
    pub(super) peer: Peer,
    may_command: bool,
    since: Instant,
    state: State,
    request: Vec<u8>,
    /// What was said and not taken yet.
    waiting: Vec<u8>,
    /// The reload whose end the answer waits for.
    pub(super) waits_for: Option<u64>,
    /// When patience ends, as long as something is expected of the client.
    deadline: Option<Instant>,
    /// It says nothing more; it may still read.
    is_silent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its request is to come.
    Asking,
    /// Its answer is made.
    Answered,
    /// All is said, and has to be taken.
    Finishing,
    Over,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, now: Instant) -> Self {
        let socket = UnixStream::from(socket);
        let peer = getsockopt(&socket, PeerCredentials).ok().map(|who| Peer {
            pid: who.pid(),
            uid: who.uid(),
        });
        let own = rustix::process::geteuid().as_raw();
        Self {
            socket,
            peer: peer.unwrap_or_default(),
            may_command: peer.is_some_and(|peer| may_command(peer.uid, own)),
            since: now,
            state: State::Asking,
            request: Vec::new(),
            waiting: Vec::new(),
            waits_for: None,
            deadline: Some(now + PATIENCE),
            is_silent: false,
        }
    }

    pub(super) fn interest<'a>(&'a self, interest: &mut Interest<'a>) {
        interest.stream(&self.socket, !self.is_silent, !self.waiting.is_empty());
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Of several, the one that is worth least makes room: one that may command nothing, then one that has
    /// not asked yet, then the oldest.
    pub(super) fn worth(&self) -> (bool, bool, Instant) {
        (self.may_command, self.state != State::Asking, self.since)
    }

    /// It makes room, and is told so unless it has an answer.
    pub(super) fn make_room(&mut self, now: Instant) {
        if self.state == State::Asking {
            self.refuse(if self.may_command { &CROWDED } else { &FOREIGN }, true, now);
        }
    }

    /// What it has sent of its request.
    #[cfg(test)]
    pub(super) fn request_bytes(&self) -> usize {
        self.request.len()
    }

    /// Reads and writes what can be read and written. Gives what is asked for, once, and of which
    /// configuration's server.
    pub(super) fn turn(&mut self, ready: &Ready, now: Instant) -> Option<(Command, Option<PathBuf>)> {
        let is_ready = ready.has(&self.socket);
        if is_ready && self.is_silent && self.waiting.is_empty() {
            // Nothing was waited for: the kernel says by itself that it has left.
            self.state = State::Over;
        }
        if is_ready {
            self.write(now);
        }
        let command = if is_ready && !self.is_silent {
            self.read(now)
        } else {
            None
        };
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            match self.state {
                State::Asking => self.refuse(&Refusal::new(408, "no request came"), true, now),
                _ => self.state = State::Over,
            }
        }
        command
    }

    /// The answer, whole.
    pub(super) fn answer(&mut self, status: u16, body: &impl Serialize, now: Instant) {
        self.waiting
            .extend_from_slice(reply::head(status, None).as_bytes());
        reply::push_line(&mut self.waiting, body);
        self.finish(now);
    }

    /// The answer begins.
    pub(super) fn begin(&mut self) {
        self.waiting.extend_from_slice(reply::head(200, None).as_bytes());
    }

    /// One more line of the answer.
    pub(super) fn say(&mut self, line: &impl Serialize, now: Instant) {
        if self.waiting.len() > WAITING_BYTES_MAX {
            self.state = State::Over;
            return;
        }
        reply::push_line(&mut self.waiting, line);
        self.write(now);
    }

    /// Nothing more is said.
    pub(super) fn finish(&mut self, now: Instant) {
        if self.state != State::Over {
            self.state = State::Finishing;
            self.write(now);
        }
    }

    fn refuse(&mut self, refusal: &Refusal, has_body: bool, now: Instant) {
        let head = reply::head(refusal.status, refusal.allow);
        self.waiting.extend_from_slice(head.as_bytes());
        if has_body {
            reply::push_line(&mut self.waiting, &Refused { error: refusal.why });
        }
        self.finish(now);
    }

    fn read(&mut self, now: Instant) -> Option<(Command, Option<PathBuf>)> {
        let mut buffer = [0; 4096];
        let count = match self.socket.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if is_later(&error) => return None,
            Err(_) => {
                self.state = State::Over;
                return None;
            }
        };
        if count == 0 {
            self.is_silent = true;
            if self.state == State::Asking {
                self.state = State::Over;
            }
            return None;
        }
        if self.state != State::Asking {
            // One request for a connection: what comes behind it is not looked at.
            return None;
        }
        self.request.extend_from_slice(&buffer[..count]);
        let mut request = match request::parse(&self.request) {
            None if self.request.len() > REQUEST_BYTES_MAX => {
                Request::refused(Refusal::new(431, "the request is too long"))
            }
            None => return None,
            Some(request) => request,
        };
        if !self.may_command {
            // Told once it has asked: a connection that ends before is an answer nobody reads.
            request.command = Err(FOREIGN);
        }
        self.request = Vec::new();
        self.deadline = None;
        self.state = State::Answered;
        match request.command {
            Ok(command) => Some((command, request.conf)),
            Err(refusal) => {
                self.refuse(&refusal, !request.is_head, now);
                None
            }
        }
    }

    fn write(&mut self, now: Instant) {
        while !self.waiting.is_empty() && self.state != State::Over {
            match self.socket.write(&self.waiting) {
                Ok(count) if count > 0 => {
                    self.waiting.drain(..count);
                    self.deadline = Some(now + PATIENCE);
                }
                Err(error) if is_later(&error) => {
                    self.deadline.get_or_insert(now + PATIENCE);
                    return;
                }
                _ => self.state = State::Over,
            }
        }
        match self.state {
            State::Finishing => self.state = State::Over,
            // It may wait for as long as what it has asked for takes.
            State::Answered => self.deadline = None,
            State::Asking | State::Over => {}
        }
    }
}

const CROWDED: Refusal = Refusal::new(
    503,
    "too many clients command the server at the same time; try again",
);

const FOREIGN: Refusal = Refusal::new(403, "only root and the user of the server may command it");

/// The server's own user can end it by a signal as well; all others are refused.
fn may_command(peer: u32, own: u32) -> bool {
    peer == 0 || peer == own
}

fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_own_user_may_command() {
        assert!(may_command(0, 1001) && may_command(1001, 1001) && may_command(0, 0));
        assert!(!may_command(1001, 0) && !may_command(1002, 1001));
    }
}
