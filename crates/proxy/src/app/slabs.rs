//! Memory files that request bodies are read into, one after the other.
//!
//! A body is received straight into the memory of a slab (an [`Exclusive`] file), and the slab's descriptor
//! goes to the worker with the request: the bytes are copied once on either side and the kernel neither
//! clears nor maps a page for them, which in fresh memory or on a file system costs more than all the rest of
//! an upload.
//!
//! That is so because a slab is used again, and three things keep one request's body from another's reader. A
//! worker says when nothing in it can read the slab any more ([`wire::frame::Return`]), and a slab is used
//! again only when everyone who was given it has said so; who dies without a word, or was forked meanwhile,
//! costs us the slab. A worker reads no further than the length that its request has. And slabs are an app's
//! own: an application that looks behind our back at a descriptor it was given, or at what its worker has
//! mapped, sees bodies that were sent to this same application, and it cannot write any, which the slab's
//! seals forbid.
//!
//! Slabs share the memory of [`Spare`](super::spare::Spare) with everything else that waits; what nobody has used for [`REST`] is
//! given back.

use std::{
    collections::HashMap,
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use shm::Exclusive;
use tokio::runtime::Handle;
use wire::frame::Return;

use super::{
    dispatcher::LinkIndex,
    spare::{SHARE_MAX, Share, Spare},
};

/// The largest body that goes into one.
pub(super) const SLAB_BYTES: usize = SHARE_MAX;

/// How much memory a body that grows asks for at a time: a slow client must not hold much of it for nothing.
const STEP_BYTES: usize = 256 << 10;

/// A slab that was not used for so long, in which others were enough, is not needed any more.
const REST: Duration = Duration::from_secs(10);

/// Memory of one app's slabs that wait for a body: half of what there is by default, so that answers find some as well.
const IDLE_BYTES_MAX: usize = 16 << 20;

/// Slabs that one app may keep behind the end of their requests, and their memory: an application may hold on
/// to a body for as long as it likes (`wsgi.input` in a list is enough), and each costs us a descriptor. With
/// more than these its bodies go into files, which are the worker's alone once their request is over.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 16 << 20;

/// The slabs of one app.
#[derive(Debug)]
pub(super) struct Slabs {
    spare: Arc<Spare>,
    /// What each body may have in memory besides.
    own_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Used last, last.
    idle: Vec<Idle>,
    lent: HashMap<u32, Lent>,
    /// Of these, those whose request is over: how many, and their memory.
    kept: usize,
    kept_bytes: usize,
    last_ticket: u32,
    /// A task looks after the idle ones.
    watched: bool,
}

#[derive(Debug)]
struct Idle {
    used: Used,
    since: Instant,
}

/// A slab and what it takes.
#[derive(Debug)]
struct Used {
    slab: Exclusive,
    share: Share,
    /// Bytes from its beginning that were ever written, and so take memory.
    touched: usize,
}

#[derive(Debug)]
struct Lent {
    used: Used,
    /// The request may still be given to another worker.
    open: bool,
    /// Who was given it and has not given it back.
    holders: Vec<LinkIndex>,
    /// It can be used again.
    sound: bool,
    /// The request is over, and a worker has it still.
    kept: bool,
}

impl Slabs {
    pub(super) fn new(spare: &Arc<Spare>, own_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            spare: Arc::clone(spare),
            own_bytes,
            inner: Mutex::default(),
        })
    }

    /// A slab for one body of at most so many bytes: the one used last, which the processor's caches may still know, or a new one.
    /// None where the app keeps too many, or the kernel has none.
    pub(super) fn take(self: &Arc<Self>, bytes_max: u64) -> io::Result<Filling> {
        let idle = {
            let mut inner = self.inner();
            if inner.kept >= KEPT_MAX || inner.kept_bytes > KEPT_BYTES_MAX {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            inner.idle.pop()
        };
        let used = match idle {
            Some(Idle { mut used, .. }) => {
                // Less than it has, which is always granted.
                used.share.resize(used.touched.saturating_sub(self.own_bytes));
                used
            }
            None => Used {
                slab: Exclusive::new("body", SLAB_BYTES)?,
                share: self.spare.share(),
                touched: 0,
            },
        };
        Ok(Filling {
            slabs: Arc::clone(self),
            used: Some(used),
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX).min(SLAB_BYTES),
            filled: 0,
        })
    }

    /// A share of the memory that slabs share, for a body that finds no place in one.
    pub(super) fn share(&self) -> Share {
        self.spare.share()
    }

    /// Makes such a share so many bytes; `false`, and unchanged, when there is not as much.
    pub(super) fn resize(&self, share: &mut Share, bytes: usize) -> bool {
        share.resize_beyond(bytes) || {
            // What waits for a body is of no use to this one, but for its memory.
            self.clear();
            share.resize_beyond(bytes)
        }
    }

    /// A worker has given one back.
    pub(super) fn returned(self: &Arc<Self>, holder: LinkIndex, back: Return) {
        self.settle(back.ticket, |lent| {
            // Only from whom it was given to: another one has no say.
            if let Some(at) = lent.holders.iter().position(|link| *link == holder) {
                lent.holders.swap_remove(at);
                lent.sound &= !back.shared;
            }
        });
    }

    /// A worker is gone, and nobody knows what still reads what it was given.
    pub(super) fn lost(self: &Arc<Self>, holder: LinkIndex) {
        let tickets: Vec<u32> = {
            let inner = self.inner();
            let held = inner
                .lent
                .iter()
                .filter(|(_, lent)| lent.holders.contains(&holder));
            held.map(|(ticket, _)| *ticket).collect()
        };
        for ticket in tickets {
            self.settle(ticket, |lent| {
                lent.holders.retain(|link| *link != holder);
                lent.sound = false;
            });
        }
    }

    /// Something has changed about one that is lent: it may be over with that.
    fn settle(self: &Arc<Self>, ticket: u32, change: impl FnOnce(&mut Lent)) {
        let over = {
            let mut inner = self.inner();
            let inner = &mut *inner;
            let Some(lent) = inner.lent.get_mut(&ticket) else {
                return;
            };
            change(lent);
            if lent.open {
                return;
            }
            if !lent.holders.is_empty() {
                if !lent.kept {
                    lent.kept = true;
                    inner.kept += 1;
                    inner.kept_bytes += lent.used.touched;
                }
                return;
            }
            if lent.kept {
                inner.kept -= 1;
                inner.kept_bytes -= lent.used.touched;
            }
            inner.lent.remove(&ticket)
        };
        if let Some(lent) = over.filter(|lent| lent.sound) {
            self.rest(lent.used);
        }
    }

    /// To be used again.
    fn rest(self: &Arc<Self>, mut used: Used) {
        // From now on all of it is beyond what somebody's body may have.
        if !used.share.resize(used.touched) {
            return;
        }
        let mut inner = self.inner();
        let waiting: usize = inner.idle.iter().map(|idle| idle.used.touched).sum();
        if waiting + used.touched > IDLE_BYTES_MAX {
            return;
        }
        inner.idle.push(Idle {
            used,
            since: Instant::now(),
        });
        if !inner.watched
            && let Ok(handle) = Handle::try_current()
        {
            inner.watched = true;
            handle.spawn(watch(Arc::downgrade(self)));
        }
    }

    /// Gives back what has not been used for long; `true`: nothing is left to look after.
    fn let_go(&self, now: Instant) -> bool {
        let mut inner = self.inner();
        // The one used longest ago comes first.
        let old = inner
            .idle
            .iter()
            .take_while(|idle| now.saturating_duration_since(idle.since) >= REST);
        let old = old.count();
        let gone: Vec<Idle> = inner.idle.drain(..old).collect();
        inner.watched = !inner.idle.is_empty();
        let over = !inner.watched;
        drop(inner);
        drop(gone);
        over
    }

    /// Gives back all that waits.
    fn clear(&self) {
        let gone = std::mem::take(&mut self.inner().idle);
        drop(gone);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way, so what a panicking thread left behind is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after idle slabs while there are any.
async fn watch(slabs: Weak<Slabs>) {
    loop {
        tokio::time::sleep(REST).await;
        if slabs.upgrade().is_none_or(|slabs| slabs.let_go(Instant::now())) {
            return;
        }
    }
}

/// A slab that a body is being read into.
#[derive(Debug)]
pub(super) struct Filling {
    slabs: Arc<Slabs>,
    /// Always there but while it is taken apart.
    used: Option<Used>,
    bytes_max: usize,
    filled: usize,
}

impl Filling {
    /// Where the next bytes go; empty when it is full, or when there is no memory for more.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let Some(used) = &mut self.used else {
            return &mut [];
        };
        let end = self.bytes_max.min(self.filled + STEP_BYTES);
        if end > used.touched {
            let beyond_own = end.saturating_sub(self.slabs.own_bytes);
            if !used.share.resize(beyond_own) {
                // What waits for a body is of no use to this one, but for its memory.
                self.slabs.clear();
                if !used.share.resize(beyond_own) {
                    return &mut [];
                }
            }
            used.touched = end;
        }
        used.slab.bytes().get_mut(self.filled..end).unwrap_or_default()
    }

    /// So many bytes were put there.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    /// Appends what fits; says how much that was.
    pub(super) fn append(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let room = self.room();
            let len = room.len().min(bytes.len() - at);
            if len == 0 {
                break;
            }
            room[..len].copy_from_slice(&bytes[at..at + len]);
            self.filled += len;
            at += len;
        }
        at
    }

    /// What it holds.
    pub(super) fn bytes(&mut self) -> &[u8] {
        let filled = self.filled;
        let bytes = self.used.as_mut().map(|used| used.slab.bytes());
        bytes.and_then(|bytes| bytes.get(..filled)).unwrap_or_default()
    }

    /// The body is whole, and is to be lent to workers.
    pub(super) fn lend(mut self) -> Option<Loan> {
        let used = self.used.take()?;
        let file = Arc::clone(used.slab.file());
        let mut inner = self.slabs.inner();
        let ticket = loop {
            inner.last_ticket = inner.last_ticket.wrapping_add(1);
            if !inner.lent.contains_key(&inner.last_ticket) {
                break inner.last_ticket;
            }
        };
        let lent = Lent {
            used,
            open: true,
            holders: Vec::new(),
            sound: true,
            kept: false,
        };
        inner.lent.insert(ticket, lent);
        drop(inner);
        Some(Loan {
            slabs: Arc::clone(&self.slabs),
            ticket,
            file,
        })
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        if let Some(used) = self.used.take() {
            self.slabs.rest(used);
        }
    }
}

/// A whole body in a slab, for as long as its request may be given to a worker.
#[derive(Debug)]
pub(super) struct Loan {
    slabs: Arc<Slabs>,
    /// Names it between us and the workers.
    pub(super) ticket: u32,
    pub(super) file: Arc<File>,
}

impl Loan {
    /// A worker is given it.
    pub(super) fn hand_over(&self, holder: LinkIndex) {
        self.slabs.settle(self.ticket, |lent| lent.holders.push(holder));
    }

    /// A worker was not given it after all.
    pub(super) fn take_back(&self, holder: LinkIndex) {
        let back = Return {
            ticket: self.ticket,
            shared: false,
        };
        self.slabs.returned(holder, back);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.slabs.settle(self.ticket, |lent| lent.open = false);
    }
}

#[cfg(test)]
mod tests;
