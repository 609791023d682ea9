//! Our end of a control socket.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::net::{Shutdown, shutdown};
use wire::{
    Malformed,
    congestion::{Congestion, is_congestion},
    control::MESSAGE_MAX,
};

use crate::os::{
    descriptors,
    packet::{self, Sender},
};

/// Messages that may wait for a process to read; one that lets so many pile up has stopped working.
const WAITING_MAX: usize = 1024;

/// Messages that a zygote or a worker may say in its life beyond one for each that it got: it has a handful
/// to say, and a SIGTERM is one more.
const UNASKED_MAX: u32 = 256;

/// Messages of one process that are heard in one turn of the loop: the others have their turn too.
pub(crate) const HEARD_PER_TURN: usize = 16;

thread_local! {
    /// The last packet of any channel: as large as the largest may be, which is too much to be cleared for
    /// each.
    static RECEIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Our end of the control socket to one process. It never blocks: what the process does not take yet waits
/// here, and so does what the kernel does not pass on.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    waiting: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    broken: bool,
    congestion: Congestion,
    /// When the kernel is tried again, which did not take the first of those that wait.
    again_at: Option<Instant>,
    /// Messages that may still come; `None`: any number, from a process that is our own program.
    left: Option<u32>,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Received<M> {
    /// A message, and who sent it.
    Message(M, Option<Sender>),
    /// Nothing at the moment.
    Nothing,
    /// The process has closed its end; there is nothing more to hear from it.
    Ended,
    /// It breaks the protocol; nothing more of it is heard.
    Breach,
}

impl Channel {
    /// A channel to a process of our own program, and its end of it.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = descriptors::packet_pair()?;
        let channel = Self {
            socket: ours,
            waiting: VecDeque::new(),
            broken: false,
            congestion: Congestion::default(),
            again_at: None,
            left: None,
        };
        Ok((channel, theirs))
    }

    /// A channel to a process that an application lives in: what it says is counted.
    pub(crate) fn pair_with_application() -> io::Result<(Self, OwnedFd)> {
        let (channel, theirs) = Self::pair()?;
        let left = Some(UNASKED_MAX);
        Ok((Self { left, ..channel }, theirs))
    }

    /// Sends a message, now or when there is room.
    pub(crate) fn send(&mut self, message: Vec<u8>, descriptors: Vec<OwnedFd>) {
        if self.broken {
            return;
        }
        self.left = self.left.map(|left| left.saturating_add(1));
        if self.waiting.len() >= WAITING_MAX {
            self.break_off();
            return;
        }
        self.waiting.push_back((message, descriptors));
        self.flush();
    }

    /// Sends what waits, as far as there is room, unless it is too early to try again.
    pub(crate) fn flush(&mut self) {
        if self.again_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.again_at = None;
        while let Some((message, descriptors)) = self.waiting.front() {
            match packet::send(&self.socket, message, descriptors) {
                Ok(()) => {
                    self.congestion.passed();
                    self.waiting.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It waits for the process from now on, and not for the kernel.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.congestion.passed(),
                Err(error) if error.raw_os_error().is_some_and(is_congestion) => {
                    let now = Instant::now();
                    let refused = self.congestion.refused(now);
                    if refused.first {
                        tracing::warn!(
                            %error,
                            "descriptors cannot be passed to a process of ours: the processes of this user have too many \
                             in flight (see unix(7)); it is tried again"
                        );
                    }
                    self.again_at = Some(now + refused.pause);
                    return;
                }
                // It is gone; what it still said is read first, then its end.
                Err(_) => return self.break_off(),
            }
        }
    }

    /// The process gets nothing more, and hears of it: it ends, and another one takes its place.
    fn break_off(&mut self) {
        self.broken = true;
        self.again_at = None;
        self.waiting.clear();
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Something waits for room.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() && self.again_at.is_none()
    }

    /// How long the kernel has passed nothing on to this process, if it does not.
    pub(crate) fn is_congested(&self, now: Instant) -> Option<Duration> {
        self.congestion.lasts(now)
    }

    /// When [`Channel::flush`] has something to do that no readiness of the socket tells.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.again_at
    }

    /// The next message, without waiting.
    pub(crate) fn receive<M>(&mut self, decode: fn(&[u8]) -> Result<M, Malformed>) -> Received<M> {
        RECEIVED.with_borrow_mut(|buffer| self.receive_into(buffer, decode))
    }

    fn receive_into<M>(
        &mut self,
        buffer: &mut Vec<u8>,
        decode: fn(&[u8]) -> Result<M, Malformed>,
    ) -> Received<M> {
        buffer.resize(MESSAGE_MAX, 0);
        let mut reset = false;
        loop {
            return match packet::receive(&self.socket, buffer) {
                Ok((0, _)) => Received::Ended,
                Ok((len, sender)) => {
                    if let Some(left) = &mut self.left {
                        let Some(fewer) = left.checked_sub(1) else {
                            tracing::error!(
                                ?sender,
                                "a process says more to the supervisor than it can have to say"
                            );
                            return Received::Breach;
                        };
                        *left = fewer;
                    }
                    match decode(&buffer[..len]) {
                        Ok(message) => Received::Message(message, sender),
                        Err(error) => {
                            tracing::error!(%error, ?sender, "message refused");
                            Received::Breach
                        }
                    }
                }
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
        let (mut channel, theirs) = Channel::pair().expect("a socket pair");
        packet::send(&theirs, &FromWorker::Hello {}.encode(), &[]).expect("room for a packet");
        drop(theirs);
        let first = channel.receive(FromWorker::decode);
        assert!(matches!(first, Received::Message(FromWorker::Hello {}, _)));
        assert!(matches!(channel.receive(FromWorker::decode), Received::Ended));
    }

    #[test]
    fn the_last_words_of_a_process_that_did_not_listen_are_heard() {
        let (mut channel, theirs) = Channel::pair().expect("a socket pair");
        channel.send(ToWorker::Drain { within_ms: 0 }.encode(), Vec::new());
        packet::send(&theirs, &FromWorker::Hello {}.encode(), &[]).expect("room for a packet");
        drop(theirs);
        let first = channel.receive(FromWorker::decode);
        assert!(matches!(first, Received::Message(FromWorker::Hello {}, _)));
        assert!(matches!(channel.receive(FromWorker::decode), Received::Ended));
    }

    #[test]
    fn a_process_that_never_reads_does_not_block_us_and_what_waits_is_bounded() {
        let (mut channel, theirs) = Channel::pair().expect("a socket pair");
        for _ in 0..10 * WAITING_MAX {
            channel.send(ToWorker::Drain { within_ms: 0 }.encode(), Vec::new());
        }
        assert!(channel.broken);
        assert!(!channel.is_waiting());
        // It hears the end behind what was sent, and so do we: it ends, and another one takes its place.
        let mut packet = [0; MESSAGE_MAX];
        while packet::receive(&theirs, &mut packet)
            .expect("a packet, or the end")
            .0
            > 0
        {}
        assert!(matches!(channel.receive(FromWorker::decode), Received::Ended));
    }

    #[test]
    fn a_process_that_does_not_read_is_not_taken_for_one_that_the_kernel_passes_nothing_on_to() {
        let (mut channel, _theirs) = Channel::pair().expect("a socket pair");
        let now = Instant::now();
        while !channel.is_waiting() {
            channel.send(ToWorker::Drain { within_ms: 0 }.encode(), Vec::new());
        }
        channel.congestion.refused(now);
        assert!(channel.is_congested(now).is_some());
        channel.flush();
        assert_eq!(channel.is_congested(now), None);
        assert!(channel.is_waiting());
    }

    #[test]
    fn the_kernel_says_who_sent_a_message() {
        let (mut channel, theirs) = Channel::pair().expect("a socket pair");
        packet::send(&theirs, &FromWorker::Hello {}.encode(), &[]).expect("room for a packet");
        let Received::Message(_, Some(sender)) = channel.receive(FromWorker::decode) else {
            panic!("a message with its sender");
        };
        assert_eq!(sender.pid, std::process::id());
        assert_eq!(sender.uid, rustix::process::getuid().as_raw());
    }

    #[test]
    fn descriptors_beside_a_message_are_dropped_by_the_kernel() {
        let (mut channel, theirs) = Channel::pair().expect("a socket pair");
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        packet::send(&theirs, &FromWorker::Hello {}.encode(), &[write]).expect("room for a packet");
        assert!(matches!(
            channel.receive(FromWorker::decode),
            Received::Message(_, Some(_))
        ));
        // Nobody holds the writing end any more.
        assert_eq!(rustix::io::read(&read, &mut [0; 1]), Ok(0));
    }

    #[test]
    fn a_malformed_packet_ends_the_conversation() {
        let (mut channel, theirs) = Channel::pair().expect("a socket pair");
        packet::send(&theirs, &[200, 1, 2], &[]).expect("room for a packet");
        assert!(matches!(channel.receive(FromWorker::decode), Received::Breach));
    }

    #[test]
    fn an_application_that_never_stops_talking_is_heard_for_a_while() {
        let (mut channel, theirs) = Channel::pair_with_application().expect("a socket pair");
        channel.send(ToWorker::Drain { within_ms: 0 }.encode(), Vec::new());
        let say = || packet::send(&theirs, &FromWorker::Leave {}.encode(), &[]).expect("room for a packet");
        for _ in 0..=UNASKED_MAX {
            say();
            assert!(matches!(
                channel.receive(FromWorker::decode),
                Received::Message(..)
            ));
        }
        say();
        assert!(matches!(channel.receive(FromWorker::decode), Received::Breach));
    }
}
