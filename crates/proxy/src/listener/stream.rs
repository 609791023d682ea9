//! A client's connection: its socket, TLS if spoken, what has been read ahead and what waits to be written.
//!
//! The front works on the two buffers directly, so that a request costs one read and its answer one write. h2
//! gets the same object as its `Stream`: what the front has read ahead comes out of the buffer first, and
//! small writes wait for the flush.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::socket::Socket;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientStream {
    transport: Transport,
    /// Read from the client, not yet used.
    pub(crate) input: BytesMut,
    /// To be written to the client.
    pub(crate) output: BytesMut,
}

#[derive(Debug)]
enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl ClientStream {
    /// A connection without TLS.
    pub(crate) fn plain(socket: Socket) -> Self {
        Self::over(Transport::Plain(socket))
    }

    /// A connection with TLS, the handshake done.
    pub(crate) fn tls(stream: Box<TlsStream<Socket>>) -> Self {
        Self::over(Transport::Tls(stream))
    }

    /// A connection over the loopback, for tests.
    #[cfg(test)]
    pub(crate) fn of_tcp(stream: tokio::net::TcpStream) -> Self {
        Self::plain(Socket::Tcp(stream))
    }

    /// One end of a pair, for tests.
    #[cfg(test)]
    pub(crate) fn of_pair(stream: tokio::net::UnixStream) -> Self {
        Self::plain(Socket::of_pair(stream))
    }

    fn over(transport: Transport) -> Self {
        Self {
            transport,
            input: BytesMut::new(),
            output: BytesMut::new(),
        }
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Socket {
        match &self.transport {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0,
        }
    }

    /// The socket when no TLS is in between: bytes may be given to the kernel as they are.
    pub(crate) fn plain_socket(&self) -> Option<&Socket> {
        match &self.transport {
            Transport::Plain(socket) => Some(socket),
            Transport::Tls(_) => None,
        }
    }

    /// The TLS session.
    #[cfg(test)]
    pub(crate) fn tls_session(&self) -> Option<&rustls::ServerConnection> {
        match &self.transport {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => Some(stream.get_ref().1),
        }
    }

    /// Reads once, to the end of `input`, which is given `room` more when little is left. 0: the client sends no more.
    /// Safe to drop.
    pub(crate) async fn fill(&mut self, room: usize) -> io::Result<usize> {
        if self.input.is_empty() {
            // From the front again, where that can be had for nothing: with many connections the caches then have to know the
            // beginning of each one's memory only.
            let _ = self.input.try_reclaim(room);
        }
        // Room that is left is used up first: pieces of a body that are still held somewhere then share their memory.
        if self.input.capacity() - self.input.len() < room.min(ROOM_BYTES_MIN) {
            self.input.reserve(room);
        }
        let Self { transport, input, .. } = self;
        transport.read_buf(input).await
    }

    /// Writes all of `output`. Safe to drop: what has not been written stays.
    pub(crate) async fn flush_output(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            self.write_once(&[], &[]).await?;
        }
        self.transport.flush().await
    }

    /// Writes once from `output`, then `body`, then `tail`; says how many bytes of the last two went out. Safe to drop.
    pub(crate) async fn write_once(&mut self, body: &[u8], tail: &[u8]) -> io::Result<usize> {
        let Self {
            transport, output, ..
        } = self;
        let written = if body.is_empty() && tail.is_empty() {
            transport.write(output).await?
        } else {
            let slices = [IoSlice::new(output), IoSlice::new(body), IoSlice::new(tail)];
            // A socket takes empty slices in its stride; TLS is spared them.
            let first = usize::from(output.is_empty());
            transport.write_vectored(&slices[first..]).await?
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let of_output = written.min(output.len());
        if of_output == output.len() {
            // Unlike advancing this leaves it at the front of its memory.
            output.clear();
        } else {
            output.advance(of_output);
        }
        Ok(written - of_output)
    }

    /// Hands what TLS holds back to the socket.
    pub(crate) async fn flush_transport(&mut self) -> io::Result<()> {
        self.transport.flush().await
    }

    /// Says that nothing more will be written (a close_notify and a FIN).
    pub(crate) async fn shut_down_writing(&mut self) -> io::Result<()> {
        self.transport.shutdown().await
    }

    /// Lets the close of this connection be a reset: for a client that could not tell a cut answer from a whole one.
    pub(crate) fn reset_on_close(&self) {
        // Where it fails the client merely sees an ordinary close.
        let _ = rustix::net::sockopt::set_socket_linger(self.socket().as_fd(), Some(Duration::ZERO));
    }

    /// The close of this connection is an ordinary one again.
    pub(crate) fn close_in_order(&self) {
        // Where it fails the client sees a reset behind a whole answer.
        let _ = rustix::net::sockopt::set_socket_linger(self.socket().as_fd(), None);
    }

    /// Gives memory back that an idle connection does not need. After a body, what looks like a small buffer may be the
    /// rest of a large one.
    pub(crate) fn shrink(&mut self, body_was_read: bool) {
        if self.input.is_empty() && (body_was_read || self.input.capacity() > IDLE_BYTES_MAX) {
            self.input = BytesMut::new();
        }
        if self.output.is_empty() && self.output.capacity() > IDLE_BYTES_MAX {
            self.output = BytesMut::new();
        }
    }

    fn poll_flush_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.transport).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.input.is_empty() {
            return Pin::new(&mut this.transport).poll_read(cx, buf);
        }
        let len = this.input.len().min(buf.remaining());
        buf.put_slice(&this.input[..len]);
        this.input.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.output.len() + bytes.len() <= COALESCE_BYTES_MAX {
            this.output.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        if this.output.is_empty() {
            return Pin::new(&mut this.transport).poll_write(cx, bytes);
        }
        let slices = [IoSlice::new(&this.output), IoSlice::new(bytes)];
        let written = ready!(Pin::new(&mut this.transport).poll_write_vectored(cx, &slices))?;
        let of_output = written.min(this.output.len());
        this.output.advance(of_output);
        if written > of_output {
            return Poll::Ready(Ok(written - of_output));
        }
        ready!(this.poll_flush_output(cx))?;
        Pin::new(&mut this.transport).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_flush_output(cx))?;
        Pin::new(&mut this.transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_flush_output(cx))?;
        Pin::new(&mut this.transport).poll_shutdown(cx)
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => {
                let read = Pin::new(&mut *stream).poll_read(cx, buf);
                // What TLS has to say by itself, that it does not renegotiate for example, has no write of
                // ours to leave with: the peer would wait for it.
                if read.is_pending() && stream.get_ref().1.wants_write() {
                    ready!(Pin::new(stream).poll_flush(cx))?;
                }
                read
            }
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Writes up to this many bytes wait for the flush.
const COALESCE_BYTES_MAX: usize = 16 << 10;
/// A read with less room than this is not worth its system call.
const ROOM_BYTES_MIN: usize = 4 << 10;
/// What an idle connection keeps of each buffer.
const IDLE_BYTES_MAX: usize = 8 << 10;
