//! Our end of a control socket.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use wire::{Malformed, control::MESSAGE_MAX};

use crate::os::{descriptors, packet};

/// Messages that may wait for a process to read; one that lets so many pile up has stopped working.
const WAITING_MAX: usize = 1024;

/// Our end of the control socket to one process. It never blocks: what the process does not take yet waits here.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    waiting: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    broken: bool,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Received<M> {
    /// A message.
    Message(M),
    /// Nothing at the moment.
    Nothing,
    /// The process has closed its end, or breaks the protocol; there is nothing more to hear from it.
    Ended,
}

impl Channel {
    /// A channel and the process's end of it.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = descriptors::packet_pair()?;
        let channel = Self {
            socket: ours,
            waiting: VecDeque::new(),
            broken: false,
        };
        Ok((channel, theirs))
    }

    /// Sends a message, now or when there is room.
    pub(crate) fn send(&mut self, message: Vec<u8>, descriptors: Vec<OwnedFd>) {
        if self.broken {
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            self.broken = true;
            self.waiting.clear();
            return;
        }
        self.waiting.push_back((message, descriptors));
        self.flush();
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&mut self) {
        while let Some((message, descriptors)) = self.waiting.front() {
            match packet::send(&self.socket, message, descriptors) {
                Ok(()) => {
                    self.waiting.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // It is gone; what it still said is read first, then its end.
                    self.waiting.clear();
                    self.broken = true;
                    return;
                }
            }
        }
    }

    /// Something waits for room.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next message, without waiting.
    pub(crate) fn receive<M>(&self, decode: fn(&[u8]) -> Result<M, Malformed>) -> Received<M> {
        let mut buffer = vec![0; MESSAGE_MAX];
        let mut reset = false;
        loop {
            return match packet::receive(&self.socket, &mut buffer) {
                Ok(0) => Received::Ended,
                Ok(len) => match decode(&buffer[..len]) {
                    Ok(message) => Received::Message(message),
                    Err(error) => {
                        tracing::error!(%error, "message refused");
                        Received::Ended
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
                // It has ended without reading all of ours. The kernel says so first, and once; its last words are behind.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !reset => {
                    reset = true;
                    continue;
                }
                Err(_) => Received::Ended,
            };
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use wire::control::{FromWorker, ToWorker};

    use super::*;

    #[test]
    fn a_message_is_read_before_the_end() {
        let (channel, theirs) = Channel::pair().expect("a socket pair");
        packet::send(&theirs, &FromWorker::Hello { pid: 7 }.encode(), &[]).expect("room for a packet");
        drop(theirs);
        let first = channel.receive(FromWorker::decode);
        assert!(matches!(first, Received::Message(FromWorker::Hello { pid: 7 })));
        assert!(matches!(channel.receive(FromWorker::decode), Received::Ended));
    }

    #[test]
    fn the_last_words_of_a_process_that_did_not_listen_are_heard() {
        let (mut channel, theirs) = Channel::pair().expect("a socket pair");
        channel.send(ToWorker::Drain { within_ms: 0 }.encode(), Vec::new());
        packet::send(&theirs, &FromWorker::Hello { pid: 7 }.encode(), &[]).expect("room for a packet");
        drop(theirs);
        let first = channel.receive(FromWorker::decode);
        assert!(matches!(first, Received::Message(FromWorker::Hello { pid: 7 })));
        assert!(matches!(channel.receive(FromWorker::decode), Received::Ended));
    }

    #[test]
    fn a_process_that_never_reads_does_not_block_us_and_what_waits_is_bounded() {
        let (mut channel, _theirs) = Channel::pair().expect("a socket pair");
        for _ in 0..10 * WAITING_MAX {
            channel.send(ToWorker::Drain { within_ms: 0 }.encode(), Vec::new());
        }
        assert!(channel.broken);
        assert!(!channel.is_waiting());
    }

    #[test]
    fn a_malformed_packet_ends_the_conversation() {
        let (channel, theirs) = Channel::pair().expect("a socket pair");
        packet::send(&theirs, &[200, 1, 2], &[]).expect("room for a packet");
        assert!(matches!(channel.receive(FromWorker::decode), Received::Ended));
    }
}
