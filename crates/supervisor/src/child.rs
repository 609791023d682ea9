//! A process of ours while we watch it: its control socket, and how it comes to its end.
//!
//! It is heard until it has closed its control socket or has broken the protocol. Whoever wants it gone says
//! by when; SIGKILL is sent then, once. One that is still there a while after that hangs in the kernel: it is
//! told of, and nothing waits for it.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use wire::Malformed;

use crate::{
    channel::{Channel, Received},
    os::wait,
};

/// A process that is still there so long after SIGKILL is told of.
const DEAD_WITHIN: Duration = Duration::from_secs(2);

/// A proxy, a zygote or a worker, as far as they are alike.
#[derive(Debug)]
pub(crate) struct Child {
    /// `None`: a worker that has not said hello.
    pub(crate) pid: Option<u32>,
    channel: Channel,
    /// Nothing of it is heard any more.
    ended: bool,
    /// SIGKILL was sent.
    killed: bool,
    kill_at: Option<Instant>,
    /// By then it has to be gone.
    dead_by: Option<Instant>,
}

impl Child {
    pub(crate) fn new(pid: Option<u32>, channel: Channel) -> Self {
        Self {
            pid,
            channel,
            ended: false,
            killed: false,
            kill_at: None,
            dead_by: None,
        }
    }

    /// The next message. From [`Received::Ended`] and [`Received::Breach`] on there is nothing more.
    pub(crate) fn hear<M>(&mut self, decode: fn(&[u8]) -> Result<M, Malformed>) -> Received<M> {
        self.channel.flush();
        if self.ended {
            return Received::Nothing;
        }
        let received = self.channel.receive(decode);
        if matches!(received, Received::Ended | Received::Breach) {
            self.ended = true;
        }
        received
    }

    /// Nothing of it is heard any more.
    pub(crate) fn hear_no_more(&mut self) {
        self.ended = true;
    }

    /// Its control socket, as long as it can say something.
    pub(crate) fn channel(&self) -> Option<&Channel> {
        self.is_open().then_some(&self.channel)
    }

    /// Can its control socket still say something?
    pub(crate) fn is_open(&self) -> bool {
        !self.ended
    }

    /// Sends a message, now or when there is room.
    pub(crate) fn send(&mut self, message: Vec<u8>, descriptors: Vec<OwnedFd>) {
        self.channel.send(message, descriptors);
    }

    /// How long the kernel has passed nothing on to it, if it does not.
    pub(crate) fn is_congested(&self, now: Instant) -> Option<Duration> {
        self.channel.is_congested(now)
    }

    /// Can it hear us, and answer? What the kernel does not take from us it cannot.
    pub(crate) fn is_reached(&self) -> bool {
        self.is_open() && !self.killed && self.channel.deadline().is_none()
    }

    /// A signal that does not end it.
    pub(crate) fn signal(&self, signal: Option<Signal>) {
        if let (Some(pid), Some(signal)) = (self.pid, signal) {
            wait::kill(pid, signal);
        }
    }

    /// It is to be killed then, whatever was said before.
    pub(crate) fn kill_at(&mut self, at: Instant) {
        self.kill_at = Some(at);
    }

    /// It is to be killed then at the latest.
    pub(crate) fn kill_by(&mut self, by: Instant) {
        self.kill_at = Some(self.kill_at.map_or(by, |at| at.min(by)));
    }

    /// It is not to be killed after all, unless there is nothing more to hear from it.
    pub(crate) fn spare(&mut self) {
        if !self.ended {
            self.kill_at = None;
        }
    }

    /// Was it killed, or is it known when it will be?
    pub(crate) fn is_leaving(&self) -> bool {
        self.killed || self.kill_at.is_some()
    }

    /// SIGKILL was sent.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed
    }

    /// SIGKILL, once.
    pub(crate) fn kill(&mut self) {
        self.kill_at = None;
        if self.killed {
            return;
        }
        self.killed = true;
        match self.pid {
            Some(pid) => {
                self.dead_by = Some(Instant::now() + DEAD_WITHIN);
                wait::kill(pid, Signal::KILL);
            }
            // Without a pid its control socket is all there is: when that closes, it ends.
            None => self.ended = true,
        }
    }

    /// Sends what waits, and kills it when that is due. `true`: it was.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        self.channel.flush();
        let due = self.kill_at.is_some_and(|at| at <= now);
        if due {
            self.kill();
        }
        due
    }

    /// It was killed long ago and is still there. Said once.
    pub(crate) fn is_stuck(&mut self, now: Instant) -> bool {
        self.dead_by.take_if(|by| *by <= now).is_some()
    }

    /// It was, and nothing is to wait for it.
    pub(crate) fn is_given_up(&self) -> bool {
        self.killed && self.pid.is_some() && self.dead_by.is_none()
    }

    /// When [`Child::tick`] or [`Child::is_stuck`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let again_at = self.channel.deadline();
        [self.kill_at, self.dead_by, again_at].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use wire::control::FromWorker;

    use super::*;
    use crate::os::packet;

    /// A process that says nothing, and its end of the channel.
    fn sleeping() -> (Child, std::process::Child, OwnedFd) {
        let (channel, theirs) = Channel::pair().expect("a socket pair");
        let process = Command::new("sleep").arg("60").spawn().expect("a process");
        (Child::new(Some(process.id()), channel), process, theirs)
    }

    /// One that has not said hello.
    fn unknown() -> (Child, OwnedFd) {
        let (channel, theirs) = Channel::pair().expect("a socket pair");
        (Child::new(None, channel), theirs)
    }

    #[test]
    fn it_is_killed_when_that_is_due_and_told_of_once_when_it_stays() {
        let now = Instant::now();
        let (mut child, mut process, _theirs) = sleeping();
        child.kill_by(now + Duration::from_secs(9));
        child.kill_by(now + Duration::from_secs(5));
        child.kill_by(now + Duration::from_secs(7));
        assert_eq!(child.deadline(), Some(now + Duration::from_secs(5)));
        assert!(!child.tick(now + Duration::from_secs(4)) && !child.is_killed() && child.is_leaving());
        assert!(child.tick(now + Duration::from_secs(5)) && child.is_killed() && child.is_leaving());
        assert!(!child.tick(now + Duration::from_secs(9)));
        assert!(!child.is_stuck(now) && !child.is_given_up());
        let later = child.deadline().expect("when it has to be gone");
        assert!(child.is_stuck(later) && child.is_given_up() && !child.is_stuck(later));
        assert_eq!(child.deadline(), None);
        process.wait().expect("our child");
    }

    #[test]
    fn who_is_spared_is_not_killed_unless_it_has_ended() {
        let now = Instant::now();
        let (mut child, theirs) = unknown();
        child.kill_at(now);
        child.spare();
        assert!(!child.tick(now) && child.deadline().is_none());
        child.kill_at(now);
        drop(theirs);
        assert!(matches!(child.hear(FromWorker::decode), Received::Ended));
        child.spare();
        assert!(child.tick(now) && child.is_killed());
    }

    #[test]
    fn nothing_is_heard_behind_the_end_or_a_breach() {
        let (mut child, theirs) = unknown();
        packet::send(&theirs, &[200, 1, 2], &[]).expect("room for a packet");
        packet::send(&theirs, &FromWorker::Hello {}.encode(), &[]).expect("room for a packet");
        assert!(child.channel().is_some() && child.is_reached());
        assert!(matches!(child.hear(FromWorker::decode), Received::Breach));
        assert!(matches!(child.hear(FromWorker::decode), Received::Nothing));
        assert!(child.channel().is_none() && !child.is_reached());
    }

    #[test]
    fn one_that_has_no_pid_ends_with_its_control_socket() {
        let (mut child, _theirs) = unknown();
        child.kill();
        assert!(child.is_killed() && !child.is_open());
        assert!(child.deadline().is_none() && !child.is_given_up() && !child.is_stuck(Instant::now()));
    }
}
