//! A request's body that came as a file.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use shm::{Reader, Shared};
use wire::frame::{self, Kind, Return};

use super::link::Link;

/// How often this process has been forked by its application.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The application is about to fork: who holds a file now will not be the only one.
pub(crate) fn about_to_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// The file. One that is lent goes back when this is dropped, which is when nothing in this process can read it any more: an
/// application may keep its `wsgi.input` for as long as it likes, and the proxy writes no other body into the file before.
#[derive(Debug)]
pub(crate) struct BodyFile {
    file: OwnedFd,
    /// Where its bytes are in memory, if they are.
    map: Option<Arc<Reader>>,
    loan: Option<Loan>,
}

#[derive(Debug)]
struct Loan {
    link: Arc<Link>,
    ticket: u32,
    forks: u32,
}

impl BodyFile {
    /// For this process to keep.
    pub(crate) fn own(file: OwnedFd) -> Self {
        Self {
            file,
            map: None,
            loan: None,
        }
    }

    /// To be given back over this link.
    pub(crate) fn lent(file: OwnedFd, link: &Arc<Link>, ticket: u32) -> Self {
        let map = link.slabs.find(&file);
        let loan = Loan {
            link: Arc::clone(link),
            ticket,
            forks: FORKS.load(Ordering::Relaxed),
        };
        Self {
            file,
            map,
            loan: Some(loan),
        }
    }

    /// Is it in a file that stays mapped for the next body?
    pub(crate) fn is_mapped(&self) -> bool {
        self.map.is_some()
    }

    /// What is behind `from` of a body of this length, where it is in memory. Else the file is to be read; also where it is too
    /// short, which reading finds out.
    #[inline]
    pub(crate) fn rest(&self, from: u64, len: u64) -> Option<Shared<'_>> {
        let bytes = self.map.as_ref()?.bytes(usize::try_from(len).ok()?)?;
        bytes.get(usize::try_from(from).ok()?..)
    }
}

impl AsFd for BodyFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        let Some(loan) = &self.loan else { return };
        let back = Return {
            ticket: loan.ticket,
            // A copy of this process has a copy of whatever read the file.
            shared: loan.forks != FORKS.load(Ordering::Relaxed),
        };
        // It leaves with the next frames of this link; nobody waits for it.
        loan.link
            .put(None, |out| frame::put(out, 0, Kind::Return, 0, &back.encode()));
    }
}
