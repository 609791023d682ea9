//! The requests that nobody has begun, and the threads that wait for some.

mod disown;

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    io::Errno,
};
use wire::{
    Malformed,
    frame::{AbortReason, Header, Kind},
};

use super::{
    job::Job,
    link::{Link, Received},
    links::{BELL, ENDED, Links},
    lock, now_ns,
    slot::Slot,
    ticker::{Outgoing, Ticker},
};
/// Most requests that may wait here. A proxy keeps to its window, which is far below; one that does not is cut off.
const WAITING_MAX: usize = 4096;

/// No finished answer is held longer than this while other requests run...
pub(super) const HOLD_NS: u64 = 250_000;

/// ...or than this while so many wait that an answer has been long on its way already, and no slow request is about: half of
/// the time that those who wait here will take, within these bounds. Each sending wakes the proxy, which may need the very core that
/// the application runs on, and finds the processor's caches full of the application's things.
const HOLD_CROWD_NS: RangeInclusive<u64> = 600_000..=3_000_000;
const CROWD: usize = 4;

/// Weight of the newest request in the mean time of one, one part in this many.
const MEAN_SPAN: u64 = 32;

/// How often the ticker looks: usually, when it is for the first of slow requests only, and while slow ones are about.
const TICK: Duration = Duration::from_millis(4);
const TICK_SLOW: Duration = Duration::from_millis(1);

/// A request took longer than this: while such are about, the next one may be slow as well, and finished answers are held for
/// the short time only. (To send each at once costs 1.4 times the processor time beside one client that always has a request of
/// 10 ms in flight, and the quick clients then wait longer, not shorter.) Clocks count the time in which another process had the
/// core, so this must not be too short.
const SLOW_NS: u64 = 2_000_000;

/// How long such a request is remembered: where they are usual the next one comes sooner, and where the clock was wrong it is
/// soon forgotten.
const SLOW_MEMORY_NS: u64 = 50_000_000;

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Threads that are in `epoll_wait` or about to be.
    idle: usize,
    draining: bool,
}

/// What all host threads share.
#[derive(Debug)]
pub(crate) struct Queue {
    links: Links,
    state: Mutex<State>,
    /// Until then slow requests are about.
    slow_until_ns: AtomicU64,
    /// Mean time of a request that is not slow.
    mean_ns: AtomicU64,
    pub(crate) ticker: Ticker,
    pub(crate) slots: Vec<Slot>,
    /// This process is a copy of the worker, forked by its application.
    disowned: AtomicBool,
}

/// What a thread that asked for work gets.
#[derive(Debug)]
pub(crate) enum Next {
    /// A request; the slot is set for it.
    Job(Job),
    /// Nothing yet: wait, without the GIL.
    Wait,
    /// The worker leaves and nothing is left.
    Leave,
}

impl Queue {
    /// For so many host threads.
    pub(crate) fn new(threads: usize) -> rustix::io::Result<Self> {
        Ok(Self {
            links: Links::new()?,
            state: Mutex::default(),
            slow_until_ns: AtomicU64::new(0),
            mean_ns: AtomicU64::new(0),
            ticker: Ticker::default(),
            slots: (0..threads).map(|_| Slot::new()).collect::<Result<_, _>>()?,
            disowned: AtomicBool::new(false),
        })
    }

    /// A proxy wants to send requests.
    pub(crate) fn add_link(&self, socket: OwnedFd, page: &OwnedFd) -> std::io::Result<()> {
        self.links.add(socket, page)
    }

    /// The first waiting request, for the thread of this slot.
    #[inline]
    pub(crate) fn next(&self, slot: &Slot) -> Next {
        let mut state = lock(&self.state);
        let Some(job) = state.waiting.pop_front() else {
            if state.draining {
                // A thread that waits for credit may have taken the ring that was for an idle one.
                if state.idle > 0 {
                    self.links.ring(1);
                }
                return Next::Leave;
            }
            state.idle += 1;
            return Next::Wait;
        };
        // Inside the queue's lock, so that a cancellation finds the stream either here or there.
        slot.begin(job.link.serial, job.stream);
        if !state.waiting.is_empty() && state.idle > 0 {
            self.links.ring(1);
        }
        Next::Job(job)
    }

    /// After [`Next::Wait`]: sends what waits, then waits for something to arrive and reads it. `true`: a signal came. To be called
    /// without the GIL.
    pub(crate) fn wait(&self) -> bool {
        self.flush();
        let interrupted = self.poll(None) == Err(Errno::INTR);
        lock(&self.state).idle -= 1;
        interrupted
    }

    /// As [`Queue::wait`] in two halves, for a thread that waits for [`Queue::descriptor`] in a way of its
    /// own in between.
    pub(crate) fn before_wait(&self) {
        self.flush();
    }

    /// The second half: reads what has arrived.
    pub(crate) fn after_wait(&self) {
        let _ = self.poll(Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }));
        lock(&self.state).idle -= 1;
    }

    /// Readable while there is something to read.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.links.epoll.as_raw_fd()
    }

    /// Sends what waits on any link; without the GIL.
    pub(crate) fn flush(&self) {
        let dirty: Option<Arc<Link>> = {
            let links = self.links.all();
            let mut dirty = links.iter().filter(|link| link.is_dirty());
            let first = dirty.next().cloned();
            if dirty.next().is_some() {
                let all: Vec<_> = links.iter().map(Arc::clone).collect();
                drop(links);
                for link in all {
                    link.flush();
                }
                return;
            }
            first
        };
        if let Some(link) = dirty {
            link.flush();
        }
    }

    /// Does no request wait to be run?
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.state).waiting.is_empty()
    }

    /// Does anything wait to be sent?
    #[inline]
    pub(crate) fn is_dirty(&self) -> bool {
        self.links.all().iter().any(|link| link.is_dirty())
    }

    /// Does anything wait that should not wait longer?
    #[inline]
    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        let hold_ns = self.hold_ns(now_ns);
        self.links.all().iter().any(|link| link.is_due(now_ns, hold_ns))
    }

    /// Are slow requests about?
    fn is_slow(&self, now_ns: u64) -> bool {
        now_ns < self.slow_until_ns.load(Ordering::Relaxed)
    }

    /// How long a finished answer may wait for others.
    fn hold_ns(&self, now_ns: u64) -> u64 {
        if self.is_slow(now_ns) {
            return HOLD_NS;
        }
        let waiting = lock(&self.state).waiting.len();
        if waiting < CROWD {
            return HOLD_NS;
        }
        let ahead_ns = self
            .mean_ns
            .load(Ordering::Relaxed)
            .saturating_mul(waiting as u64);
        (ahead_ns / 2).clamp(*HOLD_CROWD_NS.start(), *HOLD_CROWD_NS.end())
    }

    /// A request has ended that began at `started_ns`.
    #[inline]
    pub(crate) fn ended(&self, started_ns: u64) {
        let now = now_ns();
        let took_ns = now.saturating_sub(started_ns);
        if took_ns > SLOW_NS {
            self.slow_until_ns.store(now + SLOW_MEMORY_NS, Ordering::Relaxed);
            return;
        }
        // Another thread's may be lost; it is a mean.
        let mean_ns = self.mean_ns.load(Ordering::Relaxed);
        let mean_ns = (mean_ns * (MEAN_SPAN - 1) + took_ns) / MEAN_SPAN;
        self.mean_ns.store(mean_ns, Ordering::Relaxed);
    }

    /// Waits until the slot has credit, at most `wanted`; 0: the stream was cancelled. Reads meanwhile, because every other
    /// thread may be busy. To be called without the GIL.
    pub(crate) fn credit(&self, slot: &Slot, link: &Link, wanted: u64) -> u64 {
        loop {
            let credit = slot.take_credit(wanted);
            if credit > 0 || slot.is_cancelled() || link.is_gone() {
                return credit;
            }
            link.flush();
            let mut ready = [
                PollFd::new(&slot.word, PollFlags::IN),
                PollFd::new(&self.links.epoll, PollFlags::IN),
            ];
            let _ = poll(&mut ready, None);
            if !ready[0].revents().is_empty() {
                slot.heard();
            }
            if !ready[1].revents().is_empty() {
                let _ = self.poll(Some(&Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                }));
                let state = lock(&self.state);
                if !state.waiting.is_empty() && state.idle > 0 {
                    self.links.ring(1);
                }
            }
        }
    }

    /// Nobody gets a new request: what waits is answered "not started", and threads leave when they have nothing to run.
    pub(crate) fn drain(&self) {
        let left = {
            let mut state = lock(&self.state);
            state.draining = true;
            std::mem::take(&mut state.waiting)
        };
        for job in left {
            Self::refuse(&job);
        }
        self.flush();
        self.links.ring(self.slots.len() as u64);
    }

    /// Every thread has left: gives back what has come meanwhile, so that no socket is closed with requests unread, and sends
    /// what waits.
    pub(crate) fn leave(&self) {
        let serials: Vec<u64> = self
            .links
            .all()
            .iter()
            .map(|link| u64::from(link.serial))
            .collect();
        for serial in serials {
            self.read(serial, false);
        }
        self.flush();
    }

    /// Answers a request that will not be run.
    fn refuse(job: &Job) {
        if job.claim(now_ns(), 0) {
            job.link.abort(job.stream, AbortReason::NotStarted);
        }
    }

    /// Waits for events and handles them.
    fn poll(&self, timeout: Option<&Timespec>) -> Result<(), Errno> {
        let mut space = [std::mem::MaybeUninit::<epoll::Event>::uninit(); 8];
        let (events, _) = epoll::wait(&self.links.epoll, &mut space, timeout)?;
        for event in events {
            match event.data.u64() {
                BELL => {
                    self.links.heard();
                }
                serial => {
                    let flags = event.flags;
                    self.read(serial, flags.intersects(ENDED));
                }
            }
        }
        Ok(())
    }

    /// `ended`: the proxy had closed its end before this reading. It is told once, together with the bytes before it, and a
    /// reading that takes those does not look for more.
    fn read(&self, serial: u64, ended: bool) {
        let Some(link) = self.links.find(serial) else {
            return;
        };
        if link.receive(|header, payload, descriptor| self.take(&link, header, payload, descriptor))
            == Received::Gone
            || ended
        {
            self.lose(&link);
        }
    }

    /// One frame of a proxy.
    fn take(
        &self,
        link: &Arc<Link>,
        header: Header,
        payload: &[u8],
        descriptor: Option<OwnedFd>,
    ) -> Result<(), Malformed> {
        let stream = header.stream;
        match header.kind {
            Kind::Request => {
                let job = Job::new(link, header, payload, descriptor)?;
                if job.is_mapped() {
                    self.ticker.keep();
                }
                let mut state = lock(&self.state);
                if state.draining {
                    drop(state);
                    Self::refuse(&job);
                    link.flush();
                } else if state.waiting.len() >= WAITING_MAX {
                    return Err(Malformed {
                        what: "window of requests",
                    });
                } else {
                    state.waiting.push_back(job);
                }
            }
            Kind::Credit => {
                let credit = payload
                    .try_into()
                    .map(u32::from_le_bytes)
                    .map_err(|_| Malformed { what: "credit" })?;
                // A stream that has ended meanwhile needs none.
                let _ = self
                    .slots
                    .iter()
                    .any(|slot| slot.grant(link.serial, stream, credit));
            }
            Kind::Cancel => self.cancel(link, stream),
            Kind::Return => {
                link.trays.returned(payload)?;
                // Its memory is not kept for ever.
                self.ticker.keep();
            }
            // More of a body whose request was refused.
            Kind::Body | Kind::Message | Kind::Close => {}
            Kind::Response
            | Kind::Data
            | Kind::File
            | Kind::Abort
            | Kind::Informational
            | Kind::Trailers
            | Kind::Accept
            | Kind::Tray
            | Kind::Socket => {
                return Err(Malformed {
                    what: "kind of frame",
                });
            }
        }
        Ok(())
    }

    fn cancel(&self, link: &Arc<Link>, stream: u32) {
        let waiting = {
            let mut state = lock(&self.state);
            let at = state
                .waiting
                .iter()
                .position(|job| job.stream == stream && job.link.serial == link.serial);
            if at.is_none() {
                for slot in &self.slots {
                    if slot.cancel(link.serial, Some(stream)) {
                        break;
                    }
                }
            }
            at.and_then(|at| state.waiting.remove(at))
        };
        if waiting.is_some() {
            link.abort(stream, AbortReason::Cancelled);
            link.flush();
        }
    }

    /// The proxy is gone: nobody waits for its requests.
    fn lose(&self, link: &Arc<Link>) {
        self.links.remove(link);
        lock(&self.state)
            .waiting
            .retain(|job| job.link.serial != link.serial);
        for slot in &self.slots {
            slot.cancel(link.serial, None);
        }
    }
}

impl Outgoing for Queue {
    fn ticker(&self) -> &Ticker {
        &self.ticker
    }

    fn is_dirty(&self) -> bool {
        self.is_dirty()
    }

    fn is_due(&self, now_ns: u64) -> bool {
        self.is_due(now_ns)
    }

    fn tick(&self, now_ns: u64) -> Duration {
        if self.is_slow(now_ns) { TICK_SLOW } else { TICK }
    }

    fn flush(&self) {
        self.flush();
    }

    fn rest(&self) {
        self.links.rest();
    }
}
