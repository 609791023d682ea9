//! A worker, forked by a zygote and adopted by us.

use std::{
    borrow::Cow,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use wire::{
    control::{FromWorker, STACKS_SIGNAL, ToWorker, ToZygote},
    page,
};

use crate::{
    channel::{Channel, Received},
    child::Child,
    control::status::{WorkerStatus, seconds},
    departure::{Departure, Step},
    journey::Failure,
    links::Links,
    os::{descriptors, packet::Sender},
    zygote::{Pipes, STACKS_WITHIN, Zygote},
};

/// Fewest entries of a link page: what prefetch may put into a worker, and more.
const PAGE_ENTRIES_MIN: u64 = 128;

/// What a worker whose control socket or link has ended gets to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// From a worker's wish to leave to what is done about it. A stop whose SIGTERM went to all processes has
/// begun by then.
const WISH_AFTER: Duration = Duration::from_millis(250);

/// A worker.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Ours, unique for the supervisor's life.
    pub(crate) number: u64,
    pub(crate) slot: u32,
    pub(crate) forked: Instant,
    pub(crate) child: Child,
    /// The application is imported and requests may come.
    pub(crate) ready: bool,
    /// One loop or hub runs all its requests; known once it is ready.
    pub(crate) evented: bool,
    /// Requests that it runs at the same time; known once it is ready.
    pub(crate) concurrency: u32,
    pub(crate) links: Links,
    /// It is its slot's worker; not when it leaves by our will.
    pub(crate) counts: bool,
    /// On its way out, or given up for dead.
    pub(crate) departure: Option<Departure>,
    /// What it said was wrong, before it exits.
    pub(crate) failure: Option<Failure>,
    /// It was told to be late.
    pub(crate) overdue: bool,
    /// Why it is to be killed, where that was not its own doing.
    pub(crate) why: Option<Cow<'static, str>>,
    /// It wants to be replaced; when that is due.
    wish: Option<Instant>,
}

/// The proxy's half of a new link.
#[derive(Debug)]
pub(crate) struct ProxyEnd {
    pub(crate) link: u64,
    pub(crate) slot: u32,
    pub(crate) pid: u32,
    pub(crate) evented: bool,
    pub(crate) concurrency: u32,
    pub(crate) socket: OwnedFd,
    pub(crate) page: OwnedFd,
}

impl Worker {
    /// Asks the zygote for one.
    pub(crate) fn fork(
        zygote: &mut Zygote,
        number: u64,
        slot: u32,
        now: Instant,
    ) -> io::Result<(Self, Pipes)> {
        let (channel, theirs) = Channel::pair_with_application()?;
        let (stdout, stdout_theirs) = descriptors::output_pipe()?;
        let (stderr, stderr_theirs) = descriptors::output_pipe()?;
        zygote.child.send(
            ToZygote::Fork { slot }.encode(),
            vec![theirs, stdout_theirs, stderr_theirs],
        );
        let worker = Self {
            number,
            slot,
            forked: now,
            child: Child::new(None, channel),
            ready: false,
            evented: false,
            concurrency: 1,
            links: Links::default(),
            counts: true,
            departure: None,
            failure: None,
            overdue: false,
            why: None,
            wish: None,
        };
        Ok((worker, (stdout, stderr)))
    }

    /// The next message.
    pub(crate) fn hear(&mut self, now: Instant) -> Option<(FromWorker, Option<Sender>)> {
        match self.child.hear(FromWorker::decode) {
            Received::Message(message, sender) => Some((message, sender)),
            Received::Nothing => None,
            Received::Ended => {
                let by = now + GONE_WITHIN;
                match &mut self.departure {
                    Some(departure) => departure.hurry(by),
                    None => {
                        self.why
                            .get_or_insert("its control socket was closed, and not by its end".into());
                        self.departure = Some(Departure::kill(by));
                    }
                }
                None
            }
            Received::Breach => {
                self.breach("it broke the protocol of its control socket");
                None
            }
        }
    }

    /// It said what it may not say: nothing of it is heard any more, and it is killed.
    pub(crate) fn breach(&mut self, why: impl Into<Cow<'static, str>>) {
        self.why.get_or_insert_with(|| why.into());
        self.child.kill();
        self.child.hear_no_more();
    }

    /// A process that never said who it is and cannot any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.child.pid.is_none() && !self.child.is_open()
    }

    /// Link number `link`, to the proxy of this generation; the worker gets its half.
    pub(crate) fn link(&mut self, link: u64, generation: u64) -> io::Result<ProxyEnd> {
        let entries = (u64::from(self.concurrency) + 64).max(PAGE_ENTRIES_MIN);
        let page = shm::file::shared("appliance-link", entries * page::ENTRY_LEN as u64)?;
        let (ours, theirs) = descriptors::link_pair()?;
        let page_theirs = page.try_clone()?;
        self.child
            .send(ToWorker::Link { link }.encode(), vec![theirs, page_theirs]);
        self.links.add(link, generation);
        Ok(ProxyEnd {
            link,
            slot: self.slot,
            pid: self.child.pid.unwrap_or(0),
            evented: self.evented,
            concurrency: self.concurrency,
            socket: ours,
            page,
        })
    }

    /// Nothing is in flight on this link any more.
    pub(crate) fn link_over(&mut self, link: u64) {
        self.links.over(link);
        self.idle_without_links();
    }

    /// Only the proxies of these generations are there.
    pub(crate) fn keep_links(&mut self, is_there: impl Fn(u64) -> bool) {
        self.links.keep(is_there);
        self.idle_without_links();
    }

    fn idle_without_links(&mut self) {
        if !self.links.any_in_use()
            && let Some(departure) = &mut self.departure
        {
            departure.idle();
        }
    }

    /// Takes requests, and may get more of them.
    pub(crate) fn is_at_work(&self) -> bool {
        self.ready && self.counts && self.departure.is_none() && self.child.pid.is_some()
    }

    /// It writes the stacks of its threads to its standard error.
    pub(crate) fn tell_stacks(&self) {
        self.child.signal(Signal::from_named_raw(STACKS_SIGNAL));
    }

    /// It is not ready within the boot timeout.
    pub(crate) fn is_overdue(&mut self, now: Instant) {
        if self.departure.is_none() {
            self.overdue = true;
            self.why.get_or_insert("not ready within timeout.boot".into());
            self.tell_stacks();
            self.departure = Some(Departure::kill(now + STACKS_WITHIN));
        }
    }

    /// It is ready. A moment too late is as good as in time: what was to become of it is taken back. `false`:
    /// it is killed already.
    pub(crate) fn is_in_time(&mut self) -> bool {
        if self.overdue && !self.child.is_killed() {
            self.overdue = false;
            self.departure = None;
            self.why = None;
        }
        !self.child.is_killed()
    }

    /// Its link has ended though nobody wanted that. Mostly because it is dying; if not, no request reaches it any more.
    pub(crate) fn unreachable(&mut self, now: Instant) {
        self.why
            .get_or_insert("its link was closed, and not by its end: does the application close descriptors that are not its own?".into());
        self.departure.get_or_insert(Departure::kill(now + GONE_WITHIN));
    }

    /// On a link it said what it may not say.
    pub(crate) fn broke_link(&mut self, link: u64, breach: &str) {
        self.breach(format!("it broke the protocol of its link: {breach}"));
        self.link_over(link);
    }

    /// It wants to be replaced.
    pub(crate) fn wishes_to_leave(&mut self, now: Instant) {
        self.wish.get_or_insert(now + WISH_AFTER);
    }

    /// Is that due? Not before it is ready: what dies while it boots is a failed boot.
    pub(crate) fn shall_leave(&mut self, now: Instant) -> bool {
        let due =
            self.ready && self.counts && self.departure.is_none() && self.wish.is_some_and(|at| at <= now);
        if due {
            self.wish = None;
        }
        due
    }

    /// Takes the steps of its departure that are due, and sends what waits.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.child.tick(now);
        let steps = self.departure.as_mut().map(|departure| departure.tick(now));
        for step in steps.into_iter().flatten() {
            match step {
                Step::Interrupt { thread } => {
                    self.child
                        .send(ToWorker::Interrupt { thread }.encode(), Vec::new());
                }
                Step::Drain { within } => {
                    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
                    self.child
                        .send(ToWorker::Drain { within_ms }.encode(), Vec::new());
                }
                Step::Kill => self.child.kill(),
            }
        }
    }

    /// Its part of `GET /status`.
    pub(crate) fn status(&self, now: Instant) -> WorkerStatus {
        let state = if self.child.is_killed() {
            "killed"
        } else if self.departure.is_some() || !self.counts {
            "leaving"
        } else if self.ready {
            "ready"
        } else {
            "booting"
        };
        WorkerStatus {
            slot: self.slot,
            pid: self.child.pid,
            state: state.to_owned(),
            age_s: Some(seconds(self.forked, now)),
        }
    }

    /// When [`Worker::tick`] or [`Worker::shall_leave`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let next = match &self.departure {
            Some(departure) => departure.deadline(),
            None => self.wish.filter(|_| self.ready && self.counts),
        };
        [next, self.child.deadline()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> Worker {
        let (channel, _) = Channel::pair().expect("a socket pair");
        Worker {
            number: 1,
            slot: 0,
            forked: Instant::now(),
            child: Child::new(None, channel),
            ready: false,
            evented: false,
            concurrency: 1,
            links: Links::default(),
            counts: true,
            departure: None,
            failure: None,
            overdue: false,
            why: None,
            wish: None,
        }
    }

    #[test]
    fn a_worker_that_is_ready_a_moment_too_late_is_not_killed_later() {
        let now = Instant::now();
        let mut worker = worker();
        worker.is_overdue(now);
        assert!(worker.is_in_time());
        worker.tick(now + 10 * STACKS_WITHIN);
        assert!(!worker.child.is_killed());
        assert_eq!(worker.deadline(), None);
    }

    #[test]
    fn a_worker_that_is_killed_already_is_not_ready_any_more() {
        let now = Instant::now();
        let mut worker = worker();
        worker.is_overdue(now);
        worker.tick(now + STACKS_WITHIN);
        assert!(worker.child.is_killed() && !worker.is_in_time());
    }

    #[test]
    fn a_worker_that_leaves_for_another_reason_leaves_though_it_is_ready() {
        let now = Instant::now();
        let mut worker = worker();
        worker.departure = Some(Departure::kill(now + STACKS_WITHIN));
        worker.is_overdue(now);
        worker.is_in_time();
        worker.tick(now + STACKS_WITHIN);
        assert!(worker.child.is_killed());
    }
}
