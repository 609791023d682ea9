//! Memory that large pieces of answers travel in: the worker's end of [`wire::frame::Tray`].
//!
//! A megabyte through the socket is copied into the kernel and out of it again, in as many turns of both processes as the socket is
//! too small for it. On a tray it is copied once, here, and the proxy sends it on from there. A tray is used again, so its
//! pages are neither cleared nor mapped each time; but never before the proxy has given it back, which it does when nothing in it can
//! read the tray any more. Clients that take their time keep trays from coming back, so nobody waits for one.
//!
//! Trays are made when there is use for one, up to [`TRAYS_MAX`] on each link, and stay as long as the link. The memory of those that
//! are not lent goes back to the kernel about once a second ([`Ticker::keep`](super::ticker::Ticker::keep)).

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard},
};

use rustix::process::{Pid, getpid};
use shm::Writer;
use wire::{
    Malformed,
    frame::{Return, TRAY_BYTES, TRAYS_MAX, Tray},
};

use super::lock;

/// The trays of one link.
#[derive(Debug)]
pub(crate) struct Trays {
    /// The worker. A process that its application has forked has the same memory, the proxy reads it, and a lock may be
    /// locked there for ever: so it does nothing here.
    owner: Pid,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// So many there are, or as many as there may be where the kernel makes no more.
    made: u32,
    /// Used last, last: the processor's caches may still know it.
    idle: Vec<Own>,
    /// With the proxy.
    lent: Vec<Own>,
    /// The link is over.
    closed: bool,
}

/// A tray at this end.
#[derive(Debug)]
struct Own {
    number: u32,
    map: Writer,
    /// What the proxy is to be given before it can read.
    file: Option<OwnedFd>,
    /// Bytes from its beginning that were written since its memory was given back, and so take memory.
    touched: usize,
}

/// Bytes on a tray, which is the proxy's already.
#[derive(Debug)]
pub(crate) struct Laid {
    /// To be told to the proxy.
    pub(crate) tray: Tray,
    /// To go with that: the tray is new.
    pub(crate) file: Option<OwnedFd>,
}

impl Default for Trays {
    /// None yet.
    fn default() -> Self {
        Self {
            owner: getpid(),
            inner: Mutex::default(),
        }
    }
}

impl Trays {
    /// Copies these bytes to a tray, if one is to be had. To be called without the GIL.
    pub(crate) fn lay(&self, bytes: &[u8]) -> Option<Laid> {
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= TRAY_BYTES)?;
        let mut own = self.take()?;
        let written = own.write(bytes);
        let mut inner = self.inner()?;
        if inner.closed {
            return None;
        }
        if !written {
            // No memory now; perhaps later.
            inner.idle.push(own);
            return None;
        }
        let (number, file) = (own.number, own.file.take());
        inner.lent.push(own);
        Some(Laid {
            tray: Tray { number, len },
            file,
        })
    }

    /// The one used last, or a new one.
    fn take(&self) -> Option<Own> {
        let number = {
            let mut inner = self.inner()?;
            if inner.closed {
                return None;
            }
            if let Some(own) = inner.idle.pop() {
                return Some(own);
            }
            let number = inner.made;
            if number >= TRAYS_MAX {
                return None;
            }
            inner.made += 1;
            number
        };
        match Writer::new("tray", TRAY_BYTES as usize) {
            Ok((map, file)) => Some(Own {
                number,
                map,
                file: Some(file),
                touched: 0,
            }),
            Err(_) => {
                // No descriptors, no memory, or no such call here: the socket has always been enough.
                self.inner()?.made = TRAYS_MAX;
                None
            }
        }
    }

    /// The proxy has given one back.
    pub(crate) fn returned(&self, payload: &[u8]) -> Result<(), Malformed> {
        let back = Return::decode(payload)?;
        let Some(mut inner) = self.inner() else {
            return Ok(());
        };
        let at = inner.lent.iter().position(|own| own.number == back.ticket);
        let at = at.ok_or(Malformed { what: "return" })?;
        let own = inner.lent.swap_remove(at);
        inner.idle.push(own);
        Ok(())
    }

    /// Gives the memory of those back that are not lent.
    pub(crate) fn rest(&self) {
        let Some(mut inner) = self.inner() else { return };
        let mut touched: Vec<Own> = inner.idle.extract_if(.., |own| own.touched > 0).collect();
        drop(inner);
        for own in &mut touched {
            own.map.vacate(own.touched);
            own.touched = 0;
        }
        if let Some(mut inner) = self.inner()
            && !inner.closed
        {
            inner.idle.append(&mut touched);
        }
    }

    /// The link is over. What the proxy still reads it has mapped itself.
    pub(crate) fn close(&self) {
        let gone = self.inner().map(|mut inner| {
            inner.closed = true;
            (std::mem::take(&mut inner.idle), std::mem::take(&mut inner.lent))
        });
        drop(gone);
    }

    /// `None` in a process that is not the worker.
    fn inner(&self) -> Option<MutexGuard<'_, Inner>> {
        (getpid() == self.owner).then(|| lock(&self.inner))
    }
}

impl Own {
    /// `false`: there is no memory for so many bytes.
    fn write(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.touched {
            if self.map.populate(self.touched..bytes.len()).is_err() {
                self.map.vacate(bytes.len());
                self.touched = 0;
                return false;
            }
            self.touched = bytes.len();
        }
        self.map.write(bytes)
    }
}
