//! A request's body that came as a file.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

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
        Self { file, loan: None }
    }

    /// To be given back over this link.
    pub(crate) fn lent(file: OwnedFd, link: &Arc<Link>, ticket: u32) -> Self {
        let loan = Loan {
            link: Arc::clone(link),
            ticket,
            forks: FORKS.load(Ordering::Relaxed),
        };
        Self {
            file,
            loan: Some(loan),
        }
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
