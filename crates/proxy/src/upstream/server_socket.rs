//! The socket of a connection to a server, with TLS where the server is `https://`.
//!
//! TLS takes more than it has sent: what it holds back counts as waiting until it is flushed. And it says
//! things of its own (tickets, a change of keys), so that only it can tell whether a server has said
//! something.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::failure::Failure;
use crate::{
    listener::socket::Socket,
    tls::{H2, ServerTls},
};

/// The socket of a connection to a server.
#[derive(Debug)]
pub(super) enum ServerSocket {
    /// Without TLS.
    Plain(Socket),
    /// With TLS, the handshake done.
    Tls(TlsSocket),
}

/// Says goodbye when it is dropped: a server tells a connection that was closed from one that was cut.
#[derive(Debug)]
pub(super) struct TlsSocket(Box<TlsStream<Socket>>);

impl ServerSocket {
    /// Shakes hands on a connected socket. `http2`: the server may choose HTTP/2.
    pub(super) async fn shake_hands(socket: Socket, tls: &ServerTls, http2: bool) -> Result<Self, Failure> {
        let config = if http2 { &tls.http2 } else { &tls.config };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(tls.name.clone(), socket).await;
        let stream = stream.map_err(|error| Failure::handshake(&tls.name, error))?;
        Ok(Self::Tls(TlsSocket(Box::new(stream))))
    }

    /// Has the server said nothing that nobody has asked for, and not closed? The event loop tells without a
    /// system call, but may not have looked for a moment; `surely` asks the kernel.
    pub(super) fn is_quiet(&mut self, surely: bool) -> bool {
        let mut byte = [0; 1];
        let blocked =
            |read: io::Result<usize>| matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        if surely {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            let peeked = rustix::net::recv(self.socket().as_fd(), &mut byte[..], flags);
            if !blocked(peeked.map(|(_, len)| len).map_err(io::Error::from)) {
                return false;
            }
        }
        match self {
            Self::Plain(_) if surely => true,
            Self::Plain(Socket::Tcp(stream)) => blocked(stream.try_read(&mut byte)),
            Self::Plain(Socket::Unix(stream)) => {
                let stream = &*stream;
                blocked(stream.try_read(|| Ok(rustix::io::read(stream, &mut byte)?)))
            }
            Self::Tls(stream) => {
                let read = tokio::task::unconstrained(stream.0.read(&mut byte));
                pin!(read)
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            }
        }
    }

    /// Has the server chosen HTTP/2 in the handshake?
    pub(super) fn has_chosen_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.0.get_ref().1.alpn_protocol() == Some(H2),
        }
    }

    /// Does TLS hold something back that it was given?
    pub(super) fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.0.get_ref().1.wants_write(),
        }
    }

    /// Says that nothing more will be sent; with TLS that is something to be [flushed](Self::poll_flush).
    pub(super) fn shut_down_writing(&mut self) {
        match self {
            Self::Plain(socket) => {
                // Where it fails the connection is gone, which reading tells.
                let _ = rustix::net::shutdown(socket.as_fd(), rustix::net::Shutdown::Write);
            }
            Self::Tls(stream) => stream.0.get_mut().1.send_close_notify(),
        }
    }

    /// Writes once.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut stream.0).poll_write(cx, bytes),
        }
    }

    /// Writes once.
    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(&mut stream.0).poll_write_vectored(cx, slices),
        }
    }

    /// Sends what TLS holds back.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut stream.0).poll_flush(cx),
        }
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.0.get_ref().0,
        }
    }
}

impl AsyncRead for ServerSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => {
                let read = Pin::new(&mut stream.0).poll_read(cx, buf);
                // What TLS has to say by itself has no write of ours to leave with: the server would wait for
                // it.
                if read.is_pending() && stream.0.get_ref().1.wants_write() {
                    ready!(Pin::new(&mut stream.0).poll_flush(cx))?;
                }
                read.map_err(in_plain_words)
            }
        }
    }
}

/// An end without a goodbye may be a cut by somebody in between (RFC 9112 §9.8). That is an error of its own
/// kind only in TLS.
fn in_plain_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the server closed it without saying goodbye in TLS (close_notify)",
        ),
        _ => error,
    }
}

impl Drop for TlsSocket {
    fn drop(&mut self) {
        let (socket, session) = self.0.get_mut();
        session.send_close_notify();
        // As far as it goes: nobody waits for a server that takes nothing.
        let _ = session.write_tls(&mut Parting(socket));
    }
}

/// A socket that is written to without waiting.
struct Parting<'a>(&'a Socket);

impl io::Write for Parting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(rustix::net::send(self.0.as_fd(), bytes, flags)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
