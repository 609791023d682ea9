//! The application, at the other end of its socket.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use super::head::HEAD_BYTES_MAX;
use crate::{app::websocket::CLOSE_TIME, os, unix_socket::UnixSocket};

/// The application.
pub(super) struct AppEnd {
    socket: UnixSocket,
    /// What has come of its head, and what came behind it.
    pub(super) head: BytesMut,
    /// It has closed its end.
    pub(super) closed: bool,
}

impl AppEnd {
    /// To be called inside of a runtime.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            socket: UnixSocket::new(socket)?,
            head: BytesMut::new(),
            closed: false,
        })
    }

    /// Reads once into an empty `buf`; what is empty afterwards has ended. `over`: the request has ended, so
    /// that all that is to come is there, whether or not the event loop has heard of it.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, over: bool) -> Poll<()> {
        if self.closed {
            return Poll::Ready(());
        }
        let failed = match Pin::new(&mut self.socket).poll_read(cx, buf) {
            Poll::Ready(read) => read.is_err(),
            Poll::Pending if !over => return Poll::Pending,
            Poll::Pending => match os::read(&self.socket, buf) {
                Err(Errno::AGAIN | Errno::INTR) => return Poll::Pending,
                read => read.is_err(),
            },
        };
        // A socket that fails is one that has closed.
        self.closed = failed || buf.filled().is_empty();
        Poll::Ready(())
    }

    /// Reads once to the end of `head`. Safe to drop.
    pub(super) async fn fill_head(&mut self) {
        poll_fn(|cx| self.poll_fill_head(cx, false)).await;
    }

    /// The same once the request has answered otherwise or ended: all that is there, as far as a head may
    /// reach.
    pub(super) async fn fill_head_now(&mut self) {
        poll_fn(|cx| {
            while !self.closed && self.head.len() < HEAD_BYTES_MAX && self.poll_fill_head(cx, true).is_ready()
            {
            }
            Poll::Ready(())
        })
        .await;
    }

    fn poll_fill_head(&mut self, cx: &mut Context<'_>, over: bool) -> Poll<()> {
        let mut memory = [MaybeUninit::uninit(); READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut memory);
        ready!(self.poll_read(cx, &mut buf, over));
        self.head.extend_from_slice(buf.filled());
        Poll::Ready(())
    }

    /// Writes from the beginning of `bytes` until they are gone, or the application takes no more. To one
    /// that has closed its end they are lost.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut BytesMut) -> Poll<()> {
        while !bytes.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, bytes)) {
                Ok(written) => bytes.advance(written),
                Err(_) => bytes.clear(),
            }
        }
        Poll::Ready(())
    }

    /// The client is gone, and the request still runs: the application gets what was read for it, then reads
    /// the end. What it writes until it has seen that goes nowhere: an error in its hands would be its first
    /// word of a client that left.
    pub(super) async fn dismiss(mut self, rest: BytesMut) {
        let end = async {
            self.socket.write_all(&rest).await?;
            self.socket.shutdown().await?;
            let mut piece = BytesMut::with_capacity(READ_BYTES);
            while self.socket.read_buf(&mut piece).await? > 0 {
                piece.clear();
            }
            io::Result::Ok(())
        };
        let _ = timeout(CLOSE_TIME, end).await;
    }
}

/// Read from an application at once.
pub(super) const READ_BYTES: usize = 16 << 10;
