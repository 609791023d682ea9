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
    io::{self, IoSlice},
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

/// What has become of the requests of a connection, for the one that serves it and the [`Watched`] stream below.
#[derive(Debug, Clone)]
pub(super) struct Books {
    ledger: Arc<Mutex<Ledger>>,
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            ledger: Arc::new(Mutex::new(Ledger::new())),
        }
    }

    /// A request has been handed over.
    pub(super) fn handed(&self) {
        self.open().handed();
    }

    /// To be asked when h2 has nothing more to hand over: what it has refused and nobody has told yet.
    pub(super) fn settle(&self) -> Option<Refused> {
        self.open().settle()
    }

    /// To be asked when the connection is over: what nobody will answer any more.
    pub(super) fn close(&self) -> Refused {
        self.open().close()
    }

    fn open(&self) -> MutexGuard<'_, Ledger> {
        // Both live on one thread and only count.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's HTTP/2 connection whose frames are watched.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Box<ClientStream>,
    books: Books,
}

impl Watched {
    /// Nothing has been read or written yet.
    pub(super) fn new(stream: Box<ClientStream>, books: Books) -> Self {
        Self { stream, books }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut *self.stream).poll_read(cx, buf);
        let mut ledger = self.books.open();
        ledger.asked();
        ledger.read(buf.filled().get(before..).unwrap_or_default());
        drop(ledger);
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream).poll_write(cx, bytes);
        let mut ledger = self.books.open();
        ledger.set_blocked(written.is_pending());
        if let Poll::Ready(Ok(written)) = written {
            ledger.wrote(bytes.get(..written).unwrap_or(bytes));
        }
        drop(ledger);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream).poll_write_vectored(cx, slices);
        let mut ledger = self.books.open();
        ledger.set_blocked(written.is_pending());
        if let Poll::Ready(Ok(mut left)) = written {
            for slice in slices {
                let bytes = slice.get(..left).unwrap_or(slice);
                left -= bytes.len();
                ledger.wrote(bytes);
            }
        }
        drop(ledger);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream).poll_flush(cx);
        self.books.open().set_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
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
        self.stream.id()
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Peek for Watched {}
