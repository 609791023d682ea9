//! The links of this worker, and the descriptor that tells when one of them has something.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::event::{EventfdFlags, epoll, eventfd};

use super::{link::Link, lock, page::LinkPage};
use crate::ffi::descriptors;

/// `epoll`'s name for the bell; links have their serial, which starts at 1.
pub(super) const BELL: u64 = 0;

/// What is asked of a link's socket. Edge-triggered: one thread is woken for what arrives, and reads all of it.
const ARRIVALS: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);

/// Nothing more comes on this link.
pub(super) const ENDED: epoll::EventFlags = epoll::EventFlags::RDHUP
    .union(epoll::EventFlags::HUP)
    .union(epoll::EventFlags::ERR);

/// All links, watched together.
#[derive(Debug)]
pub(crate) struct Links {
    pub(super) epoll: OwnedFd,
    /// Wakes whoever waits for the links.
    bell: OwnedFd,
    list: Mutex<Vec<Arc<Link>>>,
    next_serial: AtomicU32,
}

impl Links {
    /// None yet. One ring of the bell wakes one waiting thread per unit.
    pub(super) fn new() -> rustix::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK | EventfdFlags::SEMAPHORE,
        )?;
        epoll::add(
            &epoll,
            &bell,
            epoll::EventData::new_u64(BELL),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            epoll,
            bell,
            list: Mutex::default(),
            next_serial: AtomicU32::new(1),
        })
    }

    /// A proxy wants to send requests.
    pub(super) fn add(&self, socket: OwnedFd, page: &OwnedFd) -> std::io::Result<()> {
        let page = LinkPage::map(page)?;
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(Link::new(serial, socket, page));
        self.all().push(Arc::clone(&link));
        epoll::add(
            &self.epoll,
            &link.socket,
            epoll::EventData::new_u64(u64::from(serial)),
            ARRIVALS,
        )?;
        Ok(())
    }

    /// Tells also, or no longer, when a socket that was full has room.
    pub(super) fn watch_room(&self, link: &Link, watch: bool) {
        let flags = if watch {
            ARRIVALS | epoll::EventFlags::OUT
        } else {
            ARRIVALS
        };
        let data = epoll::EventData::new_u64(u64::from(link.serial));
        let _ = epoll::modify(&self.epoll, &link.socket, data, flags);
    }

    #[inline]
    pub(super) fn all(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        lock(&self.list)
    }

    pub(super) fn find(&self, serial: u64) -> Option<Arc<Link>> {
        let all = self.all();
        all.iter().find(|link| u64::from(link.serial) == serial).cloned()
    }

    /// The proxy is gone.
    pub(super) fn remove(&self, link: &Link) {
        link.give_up();
        let _ = epoll::delete(&self.epoll, &link.socket);
        self.all().retain(|other| other.serial != link.serial);
    }

    /// What is kept for the next time can go.
    pub(super) fn rest(&self) {
        let all = Vec::clone(&self.all());
        for link in all {
            link.slabs.clear();
            link.trays.rest();
        }
    }

    pub(super) fn ring(&self, times: u64) {
        let _ = rustix::io::write(&self.bell, &times.to_ne_bytes());
    }

    /// Takes one ring back.
    pub(super) fn heard(&self) {
        let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
    }

    /// In a process that the application has forked: everything that is the worker's is replaced by `null`. A copy must not take
    /// requests, answer them, or keep a link open when the worker dies. Another thread may have been at the list of links
    /// during the fork, and its lock then stays locked here: so it is only tried.
    pub(super) fn disown(&self, null: &OwnedFd) {
        if let Ok(links) = self.list.try_lock() {
            for link in links.iter() {
                link.disown(null);
            }
        }
        for own in [&self.epoll, &self.bell] {
            let _ = descriptors::replace(null, own);
        }
    }
}
