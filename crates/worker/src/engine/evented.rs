//! The engine for hosts that must never block: an event loop, a hub of greenlets.
//!
//! Such a host runs in one thread and watches one descriptor ([`Evented::descriptor`]). Whenever that is readable it calls
//! [`Evented::read`], which takes all that is there and tells it as a list of [`Event`]s, in order; what they mean for a stream is
//! the host's to know. What it puts on a link gathers there until it calls [`Evented::flush`], once per turn of its loop; where the
//! application does not let the loop turn, the ticker sends it. A socket that is full makes the descriptor readable again when it
//! has room; nothing here waits.
//!
//! Requests are claimed as they are read: the window of such an app is what it runs at the same time, so none waits here.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use wire::{
    Malformed,
    frame::{AbortReason, END, Header, Kind, MORE, OVERDUE, TEXT},
    websocket::Close,
};

use super::{
    job::Job,
    link::{Flushed, Link, Received},
    links::{BELL, ENDED, Links},
    now_ns,
    queue::HOLD_NS,
    ticker::{Outgoing, Ticker},
};

/// What waits longer is sent by the ticker: a turn of the loop that ends by itself mostly takes less, and sends all of it at once.
const TICKER_HOLD_NS: u64 = 2_000_000;

/// How often the ticker looks.
const TICK: Duration = Duration::from_millis(2);

/// Most events of one reading; a proxy that keeps to its windows is far below.
const EVENTS_MAX: usize = 1 << 16;

/// How long a leaving worker waits for a proxy that takes nothing.
const FAREWELL: Timespec = Timespec {
    tv_sec: 3,
    tv_nsec: 0,
};

/// Names a stream inside this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The link's serial.
    pub(crate) link: u32,
    pub(crate) stream: u32,
}

/// What has come from a proxy.
#[derive(Debug)]
pub(crate) enum Event {
    /// A request, which is ours now.
    Request(Job),
    /// More of a request's body.
    Body { key: Key, bytes: Vec<u8>, last: bool },
    /// So many bytes more may be sent.
    Credit { key: Key, bytes: u32 },
    /// Nobody waits for the answer: the client has left, or the request is overdue.
    Cancel { key: Key, overdue: bool },
    /// A WebSocket message, or a part of one.
    Message {
        key: Key,
        bytes: Vec<u8>,
        text: bool,
        more: bool,
    },
    /// The client has closed its WebSocket.
    Close { key: Key, code: u16, reason: String },
    /// The proxy at the other end is gone, and with it the clients of all streams of this link.
    Lost { link: u32 },
}

/// The links of a worker with one thread.
#[derive(Debug)]
pub(crate) struct Evented {
    links: Links,
    draining: AtomicBool,
    /// What runs has so long from the beginning of the drain.
    drain_ms: AtomicU64,
    /// The kernel's id of the host's thread.
    thread: AtomicU32,
    /// Readings so far, by which another thread sees that the host still turns.
    turns: AtomicU64,
    /// This process is a copy of the worker, forked by its application.
    disowned: AtomicBool,
    ticker: Ticker,
}

impl Evented {
    pub(crate) fn new() -> rustix::io::Result<Self> {
        Ok(Self {
            links: Links::new()?,
            draining: AtomicBool::new(false),
            drain_ms: AtomicU64::new(0),
            thread: AtomicU32::new(0),
            turns: AtomicU64::new(0),
            disowned: AtomicBool::new(false),
            ticker: Ticker::default(),
        })
    }

    /// Number of the descriptor that is readable when there is something to [`Evented::read`].
    pub(crate) fn descriptor(&self) -> i32 {
        self.links.epoll.as_raw_fd()
    }

    /// The calling thread is the host's from now on.
    pub(crate) fn begin(&self) {
        let thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
        self.thread.store(thread, Ordering::Relaxed);
    }

    /// The kernel's id of the host's thread.
    pub(crate) fn thread(&self) -> u32 {
        self.thread.load(Ordering::Relaxed)
    }

    /// A proxy wants to send requests. From any thread.
    pub(crate) fn add_link(&self, socket: OwnedFd, page: &OwnedFd) -> std::io::Result<()> {
        self.links.add(socket, page)
    }

    /// No new request is taken from now on, and what runs has so long. From any thread; the host learns of it by its next reading.
    pub(crate) fn drain(&self, within: Duration) {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.drain_ms.store(within_ms, Ordering::Relaxed);
        self.draining.store(true, Ordering::Release);
        self.links.ring(1);
    }

    /// Should the host leave when nothing runs any more?
    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// What runs when the drain begins has so long.
    pub(crate) fn drains_within(&self) -> Duration {
        Duration::from_millis(self.drain_ms.load(Ordering::Relaxed))
    }

    /// Number of readings so far; rings for one more.
    pub(crate) fn knock(&self) -> u64 {
        let turns = self.turns();
        self.links.ring(1);
        turns
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// In a process that the application has forked: nothing of the worker's is left to it.
    pub(crate) fn disown(&self, null: &OwnedFd) {
        self.disowned.store(true, Ordering::Relaxed);
        self.links.disown(null);
    }

    #[inline]
    pub(crate) fn is_disowned(&self) -> bool {
        self.disowned.load(Ordering::Relaxed)
    }

    /// Appends all that has come. Sends on where a full socket has room.
    pub(crate) fn read(&self, events: &mut Vec<Event>) {
        self.turns.fetch_add(1, Ordering::AcqRel);
        let mut space = [std::mem::MaybeUninit::<epoll::Event>::uninit(); 8];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let Ok((ready, _)) = epoll::wait(&self.links.epoll, &mut space, Some(&now)) else {
            return;
        };
        for event in ready {
            let serial = event.data.u64();
            let flags = event.flags;
            if serial == BELL {
                self.links.heard();
                continue;
            }
            let Some(link) = self.links.find(serial) else {
                continue;
            };
            if flags.contains(epoll::EventFlags::OUT) {
                let flushed = link.flush_now();
                if flushed != Flushed::Full {
                    self.links.watch_room(&link, false);
                }
                self.send_later(&flushed);
            }
            // The proxy's end is told once, together with the bytes before it, and a reading that takes those does not look
            // for more.
            let ended = flags.intersects(ENDED);
            if self.receive(&link, events) == Received::Gone || ended {
                self.links.remove(&link);
                events.push(Event::Lost { link: link.serial });
            }
        }
    }

    fn receive(&self, link: &Arc<Link>, events: &mut Vec<Event>) -> Received {
        let now = now_ns();
        link.receive(|header, payload, descriptor| {
            if events.len() >= EVENTS_MAX {
                return Err(Malformed {
                    what: "window of requests",
                });
            }
            if let Some(event) = self.event(link, header, payload, descriptor, now)? {
                events.push(event);
            }
            Ok(())
        })
    }

    /// One frame of a proxy. `None`: it asks nothing of the host.
    fn event(
        &self,
        link: &Arc<Link>,
        header: Header,
        payload: &[u8],
        descriptor: Option<OwnedFd>,
        now_ns: u64,
    ) -> Result<Option<Event>, Malformed> {
        let key = Key {
            link: link.serial,
            stream: header.stream,
        };
        Ok(Some(match header.kind {
            Kind::Request => {
                let job = Job::new(link, header, payload, descriptor)?;
                if job.is_mapped() {
                    self.ticker.keep();
                }
                // The proxy may have given it to another worker.
                if !job.claim(now_ns, self.thread()) {
                    return Ok(None);
                }
                if self.is_draining() {
                    link.abort(header.stream, AbortReason::NotStarted);
                    return Ok(None);
                }
                Event::Request(job)
            }
            Kind::Body => Event::Body {
                key,
                bytes: payload.to_vec(),
                last: header.has(END),
            },
            Kind::Credit => Event::Credit {
                key,
                bytes: payload
                    .try_into()
                    .map(u32::from_le_bytes)
                    .map_err(|_| Malformed { what: "credit" })?,
            },
            Kind::Cancel => Event::Cancel {
                key,
                overdue: header.has(OVERDUE),
            },
            Kind::Message => Event::Message {
                key,
                bytes: payload.to_vec(),
                text: header.has(TEXT),
                more: header.has(MORE),
            },
            Kind::Close => {
                let close = Close::decode(payload)?;
                Event::Close {
                    key,
                    code: close.code,
                    reason: close.reason.to_owned(),
                }
            }
            Kind::Return => {
                link.trays.returned(payload)?;
                // Its memory is not kept for ever.
                self.ticker.keep();
                return Ok(None);
            }
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
        }))
    }

    /// Something waits for [`Evented::flush`], and Python code runs before that comes.
    #[inline]
    pub(crate) fn watch(&self) {
        self.ticker.watch();
    }

    /// Does anything wait that should not wait longer?
    #[inline]
    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        self.links.all().iter().any(|link| link.is_due(now_ns, HOLD_NS))
    }

    /// Sends what waits on any link, as much as the sockets take.
    pub(crate) fn flush(&self) {
        if self.is_disowned() {
            // The ticker may have held a lock when the application forked, and is not there to let it go.
            return;
        }
        let links = self.links.all();
        for link in links.iter() {
            if link.is_dirty() {
                let flushed = link.flush_now();
                if flushed == Flushed::Full {
                    self.links.watch_room(link, true);
                }
                self.send_later(&flushed);
            }
        }
    }

    /// What nothing tells of is looked at by the ticker.
    fn send_later(&self, flushed: &Flushed) {
        if let Flushed::Congested(_) = flushed {
            self.ticker.watch();
        }
    }

    /// The host has left: gives back what has come meanwhile, so that no socket is closed with requests unread, and sends what waits,
    /// for which it may wait now.
    pub(crate) fn leave(&self) {
        let mut events = Vec::new();
        self.read(&mut events);
        for event in events {
            if let Event::Request(job) = event {
                job.link.abort(job.stream, AbortReason::NotStarted);
            }
        }
        let links: Vec<Arc<Link>> = self.links.all().iter().map(Arc::clone).collect();
        for link in links {
            loop {
                match link.flush_now() {
                    Flushed::All => break,
                    Flushed::Full => {
                        let mut room = [PollFd::new(&link.socket, PollFlags::OUT)];
                        if poll(&mut room, Some(&FAREWELL)) == Ok(0) {
                            break;
                        }
                    }
                    Flushed::Congested(pause) => std::thread::sleep(pause),
                }
            }
        }
    }
}

impl Outgoing for Evented {
    fn ticker(&self) -> &Ticker {
        &self.ticker
    }

    fn is_dirty(&self) -> bool {
        self.links.all().iter().any(|link| link.is_dirty())
    }

    fn is_due(&self, now_ns: u64) -> bool {
        self.links
            .all()
            .iter()
            .any(|link| link.is_due(now_ns, TICKER_HOLD_NS))
    }

    fn tick(&self, _: u64) -> Duration {
        TICK
    }

    fn flush(&self) {
        self.flush();
    }

    fn rest(&self) {
        self.links.rest();
    }
}
