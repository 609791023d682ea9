//! An accepted socket, TCP or Unix.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    pin::Pin,
    task::{Context, Poll},
};

use rustix::net::RecvFlags;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use crate::unix_socket::UnixSocket;

/// An accepted socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// TCP
    Tcp(TcpStream),
    /// Unix
    Unix(UnixSocket),
}

impl Socket {
    /// One end of a pair, for tests.
    #[cfg(test)]
    pub(crate) fn of_pair(stream: tokio::net::UnixStream) -> Self {
        let stream = stream.into_std().expect("a socket of this runtime");
        Self::Unix(UnixSocket::new(stream.into()).expect("a socket of this runtime"))
    }

    /// Our own end; `None` for a Unix socket.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(plain_address),
            Self::Unix(_) => None,
        }
    }

    /// The first byte that the peer sends, left where it is; `None` at end-of-file.
    pub(crate) async fn peek(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let (_, len) = self
            .when(Interest::READABLE, || {
                Ok(rustix::net::recv(self.as_fd(), &mut byte[..], RecvFlags::PEEK)?)
            })
            .await?;
        Ok((len > 0).then_some(byte[0]))
    }

    /// Runs `call` until it does something else than to say "would block".
    pub(crate) async fn when<R>(
        &self,
        interest: Interest,
        call: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        match self {
            Self::Tcp(stream) => stream.async_io(interest, call).await,
            Self::Unix(stream) => stream.when(interest, call).await,
        }
    }

    /// Sends up to `len` bytes of `file` from `offset` on, without a copy through this process. 0: the file ends there.
    pub(crate) async fn send_file(&self, file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<usize> {
        self.when(Interest::WRITABLE, || {
            let mut at = offset;
            Ok(rustix::fs::sendfile(self.as_fd(), file, Some(&mut at), len)?)
        })
        .await
    }
}

/// An IPv4 client of an IPv6 socket by the name everyone knows it by.
pub(crate) fn plain_address(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
