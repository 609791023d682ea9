//! A connected Unix socket whose event loop hears of room only while somebody waits for some.
//!
//! The kernel says "there is room" each time the other end has read something, full or not: on one core that is a switch to a front
//! thread which finds nothing to do, for every batch a worker reads. TCP says it only after a socket was full. So a socket
//! is watched for what comes, and for room by a second descriptor for as long as it is full.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, send, sendmsg, shutdown};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    net::UnixStream,
};

use crate::os;

/// A connected Unix socket. It never waits in the kernel, also where another process that has it makes it one
/// that does.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    socket: AsyncFd<OwnedFd>,
    /// Tells a polled writer of room.
    room: Option<Box<AsyncFd<OwnedFd>>>,
}

impl UnixSocket {
    /// Takes a connected socket. To be called inside of a runtime.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket: os::watch(socket, Interest::READABLE)?,
            room: None,
        })
    }

    /// Connects to a socket in the file system.
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        Self::new(UnixStream::connect(path).await?.into_std()?.into())
    }

    /// Resolves when there may be something to read. Safe to drop.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await.map(|mut ready| ready.retain_ready())
    }

    /// Runs `call`, which reads, if there may be something to read. When it says "would block" the next [`readable`](Self::readable)
    /// waits.
    pub(crate) fn try_read<R>(&self, call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.socket.try_io(Interest::READABLE, |_| call())
    }

    /// Resolves when there is room for writing; worth its price only once there was none. Safe to drop.
    pub(crate) async fn room(&self) -> io::Result<()> {
        let room = self.watch_room()?;
        room.writable().await?.retain_ready();
        Ok(())
    }

    /// Runs `call` until it does something else than to say "would block".
    pub(crate) async fn when<R>(
        &self,
        interest: Interest,
        mut call: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        if interest == Interest::READABLE {
            return self.socket.async_io(interest, |_| call()).await;
        }
        loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.room().await?,
                done => return done,
            }
        }
    }

    /// A descriptor of its own, because an event loop knows one by its number.
    fn watch_room(&self) -> io::Result<AsyncFd<OwnedFd>> {
        os::watch(self.socket.get_ref().try_clone()?, Interest::WRITABLE)
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match send(self.socket.get_ref().as_fd()) {
                Err(rustix::io::Errno::AGAIN) => {}
                Err(rustix::io::Errno::INTR) => continue,
                done => {
                    self.room = None;
                    return Poll::Ready(done.map_err(io::Error::from));
                }
            }
            let room = match self.room.take() {
                Some(room) => room,
                None => Box::new(self.watch_room()?),
            };
            // What it knows is older than the attempt above: only what comes from now on counts.
            match self.room.insert(room).poll_write_ready(cx) {
                Poll::Ready(ready) => ready?.clear_ready(),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

impl AsyncRead for UnixSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            let room = buf.remaining();
            match os::read(ready.get_inner(), buf) {
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Ok(read) => {
                    // Less than there was room for: the socket is empty, and need not be asked.
                    if (1..room).contains(&read) {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncWrite for UnixSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, |socket| {
            send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, |socket| {
            sendmsg(
                socket,
                slices,
                &mut SendAncillaryBuffer::default(),
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            )
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(self.socket.get_ref(), Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream as Peer,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        thread,
        time::Duration,
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        runtime::Builder,
        time::sleep,
    };

    use super::*;

    fn pair() -> (UnixSocket, Peer) {
        let (ours, theirs) = Peer::pair().expect("socketpair");
        (UnixSocket::new(ours.into()).expect("watched"), theirs)
    }

    #[test]
    fn a_peer_that_reads_wakes_nobody() {
        let wakes = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&wakes);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_unpark(move || {
                counter.fetch_add(1, Ordering::Relaxed);
            })
            .build()
            .expect("runtime");
        runtime.block_on(async {
            let (mut ours, mut theirs) = pair();
            // Each by itself: the kernel has room again when all of one writing has been read.
            for _ in 0..50 {
                ours.write_all(&[1]).await.expect("written");
            }
            let reader = thread::spawn(move || {
                for _ in 0..50 {
                    theirs.read_exact(&mut [0]).expect("read");
                    thread::sleep(Duration::from_millis(1));
                }
                theirs
            });
            wakes.store(0, Ordering::Relaxed);
            while !reader.is_finished() {
                sleep(Duration::from_millis(200)).await;
            }
            let wakes = wakes.load(Ordering::Relaxed);
            assert!(wakes < 40, "{wakes} wakes");
        });
    }

    #[tokio::test]
    async fn a_full_socket_is_written_to_as_soon_as_it_has_room() {
        let (mut ours, mut theirs) = pair();
        let sent: Vec<u8> = (0..4 << 20).map(|at: u32| at as u8).collect();
        let expected = sent.clone();
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).expect("read");
            got
        });
        let (first, second) = sent.split_at(3 << 20);
        ours.write_all(first).await.expect("written");
        let mut at = 0;
        while at < second.len() {
            let write = || Ok(rustix::io::write(&ours, &second[at..])?);
            at += ours.when(Interest::WRITABLE, write).await.expect("written");
        }
        ours.shutdown().await.expect("shut down");
        assert!(reader.join().expect("reader") == expected);
    }

    #[tokio::test]
    async fn what_comes_is_read_to_its_end() {
        let (mut ours, mut theirs) = pair();
        let would_block = ours.try_read(|| Ok(rustix::io::read(&ours, &mut [0; 1])?));
        assert_eq!(
            would_block.map_err(|error| error.kind()),
            Err(io::ErrorKind::WouldBlock)
        );
        let writer = thread::spawn(move || {
            for _ in 0..100 {
                theirs.write_all(b"0123456789").expect("written");
                thread::yield_now();
            }
        });
        let mut got = Vec::new();
        ours.read_to_end(&mut got).await.expect("read");
        writer.join().expect("writer");
        assert_eq!(got, b"0123456789".repeat(100));
    }
}
