//! Heads that h2 refuses by itself.
//!
//! h2 resets a stream whose head is against the rules, answers 431 to a head of more than twice `head_max`, turns away what
//! is one stream too many, and ends the connection over what it can not decode; and tells nobody. To let larger heads in, so
//! that the refusal were ours, would be a memory hole: their fields are some bytes on the wire and a hundred times as much in
//! memory, for each of the streams that a client may open at once. So the frames are watched on their way to h2 and from it,
//! and the books are kept ([`Ledger`]): a head that has come in, and is not among what h2 has handed over when it has nothing
//! more to do, was refused. h2 reads again only when it has gone through every frame it had, so that the moment is known.
//! What h2 has written meanwhile tells with which status. Its 431 has a form that nothing else on the connection has: a final
//! head with a single field, on a stream that was not handed over.

mod frames;
mod ledger;
mod lone_status;

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use async_trait::async_trait;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use self::ledger::Ledger;
pub(super) use self::ledger::Refused;
use crate::listener::stream::ClientStream;

/// A client's HTTP/2 connection as the one that serves it sees it; h2 reads and writes through the [`Watched`] half.
#[derive(Debug, Clone)]
pub(super) struct Books {
    wire: Arc<Mutex<Wire>>,
}

#[derive(Debug)]
struct Wire {
    stream: Box<ClientStream>,
    ledger: Ledger,
    /// Flushes of h2 wait for [`Books::settle`].
    lazy: bool,
    /// One does.
    waiting: bool,
}

impl Books {
    /// Nothing has been read or written yet. What h2 writes leaves when it flushes, until [`Books::flush_lazily`].
    pub(super) fn open(stream: Box<ClientStream>) -> (Self, Watched) {
        let books = Self {
            wire: Arc::new(Mutex::new(Wire {
                stream,
                ledger: Ledger::new(),
                lazy: false,
                waiting: false,
            })),
        };
        (books.clone(), Watched { books })
    }

    /// From now on what h2 writes leaves when it has nothing more to do, and [`Books::settle`] is called for that. It flushes
    /// behind each piece of a body of a kilobyte or more: a system call and a TLS record for every answer, however many are
    /// ready.
    pub(super) fn flush_lazily(&self) {
        self.wire().lazy = true;
    }

    /// A request has been handed over.
    pub(super) fn handed(&self) {
        self.wire().ledger.handed();
    }

    /// To be called whenever h2 has nothing more to hand over: sends what it has written, and says what it has refused and
    /// nobody has told yet.
    pub(super) fn settle(&self, cx: &mut Context<'_>) -> io::Result<Option<Refused>> {
        let mut wire = self.wire();
        if wire.waiting {
            match Pin::new(&mut *wire.stream).poll_flush(cx) {
                Poll::Ready(flushed) => {
                    wire.waiting = false;
                    flushed?;
                }
                // The task is woken when more can be sent, and comes by here again.
                Poll::Pending => {}
            }
        }
        Ok(wire.ledger.settle())
    }

    /// To be asked when the connection is over: what nobody will answer any more.
    pub(super) fn close(&self) -> Refused {
        self.wire().ledger.close()
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        // Both halves live in one task.
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's HTTP/2 connection whose frames are watched.
#[derive(Debug)]
pub(super) struct Watched {
    books: Books,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.books.wire();
        let before = buf.filled().len();
        let read = Pin::new(&mut *wire.stream).poll_read(cx, buf);
        wire.ledger.asked();
        wire.ledger.read(buf.filled().get(before..).unwrap_or_default());
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.books.wire();
        let written = Pin::new(&mut *wire.stream).poll_write(cx, bytes);
        wire.ledger.set_blocked(written.is_pending());
        if let Poll::Ready(Ok(written)) = written {
            wire.ledger.wrote(bytes.get(..written).unwrap_or(bytes));
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.books.wire();
        if wire.lazy {
            wire.waiting = true;
            wire.ledger.set_blocked(false);
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut *wire.stream).poll_flush(cx);
        wire.ledger.set_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.books.wire().stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        // The connection is of no more use, whether or not the client hears of it.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Watched {
    fn id(&self) -> UniqueIDType {
        self.books.wire().stream.id()
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.books.wire().stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.books.wire().stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.books.wire().stream.get_timing_digest()
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.books.wire().stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.books.wire().stream.get_socket_digest()
    }
}

impl Peek for Watched {}
