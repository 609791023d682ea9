//! A client's connection as pingora may see it.
//!
//! pingora gets it for good, because it becomes a WebSocket of a server behind us, and knows no deadline for a flush: the one of
//! the listener holds here. What a client sends is passed on as it comes.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use config::Limits;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::{downstream::ClientError, listener::stream::ClientStream};

/// What the client did wrong, when it did: told by the fence, read by the phase that words the answer.
pub(crate) type Fault = Arc<OnceLock<ClientError>>;

/// A client's connection that does not wait for a client for ever.
#[derive(Debug)]
pub(crate) struct Fence {
    stream: Box<ClientStream>,
    /// How long the client may take nothing.
    patience: Duration,
    /// While the client takes nothing: until when it may.
    stuck: Option<Pin<Box<Sleep>>>,
    fault: Fault,
}

impl Fence {
    /// Holds the client to its limits; tells `fault` when it does not keep them.
    pub(crate) fn new(stream: Box<ClientStream>, limits: &Limits, fault: Fault) -> Self {
        Self {
            stream,
            patience: limits.body_timeout,
            stuck: None,
            fault,
        }
    }

    /// Gives up a client that takes nothing for as long as a body may pause. pingora has a deadline for its writes but none
    /// for a flush, and what it writes waits here for the flush.
    fn or_stuck<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut ClientStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let waiting = self.stream.output.len();
        let polled = write(Pin::new(&mut *self.stream), cx);
        if polled.is_ready() || self.stream.output.len() < waiting {
            self.stuck = None;
        }
        if polled.is_ready() {
            return polled;
        }
        let until = || Box::pin(sleep_until(Instant::now() + self.patience));
        ready!(self.stuck.get_or_insert_with(until).as_mut().poll(cx));
        let fault = ClientError::TooSlow;
        // The first fault is the one that counts.
        let _ = self.fault.set(fault);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, fault)))
    }
}

impl AsyncRead for Fence {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Fence {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.or_stuck(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.or_stuck(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.or_stuck(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.or_stuck(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

#[async_trait]
impl Shutdown for Fence {
    async fn shutdown(&mut self) {
        // The connection is of no more use, whether or not the client hears of it.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Fence {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Fence {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Fence {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Fence {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Fence {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Peek for Fence {}

#[cfg(test)]
mod tests;
