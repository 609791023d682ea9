//! The two tasks of one link: one writes what is queued, one takes what comes. Neither waits for the other, so full
//! buffers in both directions cannot lock the link up.

mod inbound;
mod trays;

#[doc(hidden)]
pub use self::inbound::fuzz;

use std::{
    fs::File,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown};
use tokio::sync::Notify;
use tracing::warn;
use wire::{
    Malformed,
    congestion::{Congestion, is_congestion},
    frame::Kind,
};

use self::{
    inbound::Inbound,
    trays::{LINGER, Returns, Trays},
};
use super::{App, app_file::Files, call::Event, dispatcher::LinkIndex, lull, outbox::Outbox};
use crate::unix_socket::UnixSocket;

/// Readings before the other tasks of the thread get their turn.
const READS_PER_TURN: usize = 4;

/// A request whose body's descriptor the kernel has not taken for so long is answered 503. What is behind it
/// waits so long once, not with each.
const UNDELIVERED_AFTER: Duration = Duration::from_secs(2);

/// A worker as the supervisor hands it over.
#[derive(Debug)]
pub(crate) struct LinkParts {
    /// The supervisor's number of the link.
    pub(crate) link: u64,
    /// The worker's slot.
    pub(crate) slot: u32,
    /// Its process id.
    pub(crate) pid: u32,
    /// One loop or hub runs all its requests, whatever the configuration says.
    pub(crate) evented: bool,
    /// Requests that the worker runs at the same time.
    pub(crate) concurrency: usize,
    /// Our end of the socket.
    pub(crate) socket: OwnedFd,
    /// The link page.
    pub(crate) page: OwnedFd,
}

/// Why a link is given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The worker is gone.
    #[error("end of file")]
    Closed,
    /// The socket failed.
    #[error(transparent)]
    Os(#[from] io::Error),
    /// The worker does not speak our language.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A file that cannot be what it should be.
    #[error("tray: {0}")]
    Tray(#[from] shm::Error),
    /// A frame that only we send, or one without the file that it should bring.
    #[error("unexpected {0:?} frame")]
    Unexpected(Kind),
    /// A descriptor of something else than a file that can be read without waiting.
    #[error("a file that is none, that cannot be read, or whose reading may wait")]
    NotAFile,
    /// The process had no room for a descriptor that came.
    #[error("a descriptor was lost: the limit of open files is reached")]
    DescriptorLost,
    /// In an answer came what has no place there.
    #[error("a frame that has no place where it came")]
    OutOfPlace,
    /// It ignores flow control.
    #[error("more response data than granted")]
    Flooded,
}

impl LinkError {
    /// Is it the worker's doing, by what it said?
    pub(super) fn is_breach(&self) -> bool {
        match self {
            Self::Closed | Self::Os(_) | Self::DescriptorLost => false,
            Self::Malformed(_)
            | Self::Tray(_)
            | Self::Unexpected(_)
            | Self::NotAFile
            | Self::Flooded
            | Self::OutOfPlace => true,
        }
    }
}

/// A frame from a worker, taken off the read buffer.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: u32,
    pub(super) event: Event,
    /// The stream's last.
    pub(super) end: bool,
}

/// Runs one link until it ends.
pub(super) async fn run(app: Arc<App>, index: LinkIndex, link: u64, socket: OwnedFd, wake: Arc<Notify>) {
    let outcome = match UnixSocket::new(socket) {
        Ok(socket) => {
            let socket = Arc::new(socket);
            lull::listen_to(&socket);
            let returns = Returns::new(&wake);
            tokio::spawn(write(
                Arc::clone(&app),
                index,
                link,
                Arc::clone(&socket),
                Arc::clone(&wake),
                Arc::clone(&returns),
            ));
            let outcome = read(&app, index, &socket, returns).await;
            // The worker learns that nobody listens, and a blocked writer comes free.
            let _ = shutdown(&socket, Shutdown::Both);
            outcome
        }
        Err(error) => Err(LinkError::Os(error)),
    };
    app.link_ended(index, link, outcome.err());
    wake.notify_one();
}

/// Takes what comes, as much as there is at a time.
async fn read(
    app: &Arc<App>,
    index: LinkIndex,
    socket: &UnixSocket,
    returns: Arc<Returns>,
) -> Result<(), LinkError> {
    let mut inbound = Inbound::new(Trays::new(returns), Files::new(&app.files));
    let mut arrivals = Vec::new();
    loop {
        socket.readable().await?;
        let mut more = true;
        for _ in 0..READS_PER_TURN {
            let mut received = Ok(());
            // A reading that found less than it had room for has emptied the socket: saying "would block" for it spares the
            // system call that would only confirm that.
            let attempt = socket.try_read(|| match inbound.receive(socket) {
                Ok(true) => Ok(()),
                Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
                Err(LinkError::Os(error)) => Err(error),
                Err(error) => {
                    received = Err(error);
                    Ok(())
                }
            });
            received?;
            match attempt {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => more = false,
                // How a worker's death looks when it left something unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(LinkError::Closed);
                }
                Err(error) => return Err(LinkError::Os(error)),
            }
            inbound.split(&mut arrivals)?;
            if !arrivals.is_empty() {
                app.deliver(index, &mut arrivals)
                    .map_err(|_| LinkError::Flooded)?;
            }
            if !more {
                break;
            }
        }
        if more {
            tokio::task::yield_now().await;
        }
    }
}

/// Writes what is queued, all of it at a time, and with it what goes back.
async fn write(
    app: Arc<App>,
    index: LinkIndex,
    link: u64,
    socket: Arc<UnixSocket>,
    wake: Arc<Notify>,
    returns: Arc<Returns>,
) {
    let mut outbox = Outbox::default();
    let mut congestions = Congestions::default();
    loop {
        let mut late = false;
        if returns.is_empty() {
            wake.notified().await;
        } else {
            late = tokio::time::timeout(LINGER, wake.notified()).await.is_err();
        }
        loop {
            outbox.clear();
            let taken = app.take_outbox(index, link, &mut outbox);
            if taken == Taken::Close {
                let _ = shutdown(&socket, Shutdown::Both);
                return;
            }
            if taken == Taken::Some || late || returns.are_many() {
                outbox.returns(returns.take());
            }
            if outbox.is_empty() {
                break;
            }
            if flush(&app, index, &socket, &outbox, &mut congestions)
                .await
                .is_err()
            {
                // The reader finds the same and settles what was in flight.
                let _ = shutdown(&socket, Shutdown::Both);
                return;
            }
        }
    }
}

/// What a writer finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Frames to write.
    Some,
    /// Nothing; wait for the next wake-up.
    Nothing,
    /// The link is over.
    Close,
}

/// What the kernel does not take now: frames with a descriptor, and all others. That one of them passes says
/// nothing about the other.
#[derive(Debug, Default)]
struct Congestions {
    files: Congestion,
    others: Congestion,
}

impl Congestions {
    fn of(&mut self, file: Option<&Arc<File>>) -> &mut Congestion {
        match file {
            Some(_) => &mut self.files,
            None => &mut self.others,
        }
    }
}

async fn flush(
    app: &App,
    index: LinkIndex,
    socket: &UnixSocket,
    outbox: &Outbox,
    congestions: &mut Congestions,
) -> io::Result<()> {
    let mut at = 0;
    while at < outbox.len() {
        let (bytes, file) = outbox.piece(at);
        let congestion = congestions.of(file);
        match send(socket, bytes, file) {
            Ok(sent) => {
                congestion.passed();
                at += sent;
            }
            Err(error) if error.raw_os_error().is_some_and(is_congestion) => {
                let refused = congestion.refused(Instant::now());
                if refused.first && file.is_none() {
                    warn!(app = %app.name, %error, "nothing can be written to a worker for the moment");
                } else if refused.first {
                    warn!(
                        app = %app.name, %error,
                        "request bodies cannot be passed to workers: the processes of this user have too many descriptors \
                         in flight (see unix(7)); they are answered 503 while that lasts"
                    );
                }
                let late = file.is_some() && refused.lasted >= UNDELIVERED_AFTER;
                match outbox.skip(at).filter(|_| late) {
                    Some((behind, stream)) => {
                        app.undelivered(index, stream);
                        at = behind;
                    }
                    None => tokio::time::sleep(refused.pause).await,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.room().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send(socket: &UnixSocket, bytes: &[u8], file: Option<&Arc<File>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors;
    if let Some(file) = file {
        descriptors = [file.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    Ok(sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?)
}

#[cfg(test)]
mod tests;
