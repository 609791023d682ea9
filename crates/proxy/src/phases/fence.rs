//! A client's connection as pingora may see it for one request.
//!
//! pingora reads as much as comes and takes whatever follows a request for an error: a client that sends its next request
//! early would see this one fail, and the bytes read too far could not be given back. So the stream that pingora gets
//! ends the body where its framing ends it; what follows waits in the connection's buffer for the front's loop. Chunks
//! are read by our own strict decoder and written anew, so an upstream never sees a client's odd ones. The deadlines of
//! the listener hold here, too, because pingora knows none for a body.

use std::{
    fmt::Write,
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use config::Limits;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    downstream::ClientError,
    front::{chunked::Chunked, pace::Pace},
    head::BodyLength,
    listener::stream::ClientStream,
};

/// Read from the client at a time where the bytes have to be looked at.
const READ_BYTES: usize = 16 << 10;

/// Bytes of following requests kept while this one runs; past it the client's next bytes wait in the kernel.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// What the client did wrong, when it did: told by the fence, read by the phase that words the answer.
pub(crate) type Fault = Arc<OnceLock<ClientError>>;

/// A client's connection that ends where the request does.
#[derive(Debug)]
pub(crate) struct Fence {
    stream: Box<ClientStream>,
    body: Body,
    /// Chunks written anew, not yet read by pingora.
    chunks: BytesMut,
    pace: Pace,
    deadline: Option<Pin<Box<Sleep>>>,
    /// While the client takes nothing: until when it may.
    stuck: Option<Pin<Box<Sleep>>>,
    fault: Fault,
}

#[derive(Debug)]
enum Body {
    /// So many bytes are to come; none: the request is over.
    Known(u64),
    Chunked(Chunked),
    /// The connection changes to another protocol and does not come back.
    Open,
}

impl Fence {
    /// Lets one body through. `upgrade`: everything, because the connection changes to another protocol.
    pub(crate) fn new(
        stream: Box<ClientStream>,
        body: BodyLength,
        upgrade: bool,
        limits: &Limits,
        fault: Fault,
    ) -> Self {
        Self {
            stream,
            body: match body {
                BodyLength::Known(0) if upgrade => Body::Open,
                BodyLength::Known(len) => Body::Known(len),
                BodyLength::Unknown => Body::Chunked(Chunked::new()),
            },
            chunks: BytesMut::new(),
            pace: Pace::new(limits),
            deadline: None,
            stuck: None,
            fault,
        }
    }

    /// The connection, when the request was read to its end and another one may follow.
    pub(crate) fn into_stream(self) -> Option<Box<ClientStream>> {
        (matches!(self.body, Body::Known(0)) && self.chunks.is_empty()).then_some(self.stream)
    }

    /// Reads body bytes as they are.
    fn poll_known(&mut self, cx: &mut Context<'_>, left: u64, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        match Pin::new(&mut *self.stream).poll_read(cx, &mut part) {
            Poll::Ready(Ok(())) => {
                let read = part.filled().len();
                buf.advance(read);
                self.body = Body::Known(left - read as u64);
                Poll::Ready(self.arrived(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_deadline(cx),
        }
    }

    /// Makes the next bytes of `chunks`. Ready without any: the client has gone.
    fn poll_chunks(&mut self, cx: &mut Context<'_>, mut decoder: Chunked) -> Poll<io::Result<()>> {
        loop {
            let Ok(data) = decoder.decode(&mut self.stream.input) else {
                return Poll::Ready(self.fail(ClientError::BadBody, io::ErrorKind::InvalidData));
            };
            if let Some(data) = data {
                // Writing to memory does not fail.
                let _ = write!(self.chunks, "{:x}\r\n", data.len());
                self.chunks.extend_from_slice(&data);
                self.chunks.extend_from_slice(b"\r\n");
            } else if decoder.is_done() {
                self.chunks.extend_from_slice(b"0\r\n\r\n");
                self.body = Body::Known(0);
                return Poll::Ready(Ok(()));
            }
            self.body = Body::Chunked(decoder);
            if self.chunks.len() >= READ_BYTES || (self.stream.input.is_empty() && !self.chunks.is_empty()) {
                return Poll::Ready(Ok(()));
            }
            if self.stream.input.is_empty() {
                let Poll::Ready(read) = self.poll_ahead(cx)? else {
                    return self.poll_deadline(cx);
                };
                self.arrived(read)?;
                if read == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// The request is over; what comes now belongs to the next one. Ready when the client has closed.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.stream.input.len() < AHEAD_BYTES_MAX {
            if ready!(self.poll_ahead(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        // Nobody wakes this up any more: pingora asks again after each thing it does, and a client that has sent so
        // much ahead is found out to be gone when it does not take its answer.
        Poll::Pending
    }

    /// Reads once from the transport to the end of the connection's buffer.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // The stream gives what its buffer holds before it reads, so the buffer is put aside.
        let mut input = std::mem::take(&mut self.stream.input);
        let mut space = [0; READ_BYTES];
        let mut read = ReadBuf::new(&mut space);
        let polled = Pin::new(&mut *self.stream).poll_read(cx, &mut read);
        input.extend_from_slice(read.filled());
        self.stream.input = input;
        polled.map_ok(|()| read.filled().len())
    }

    /// Holds the client to its pace; 0 bytes is the end of the connection.
    fn arrived(&mut self, bytes: usize) -> io::Result<()> {
        match self.pace.arrived(bytes, Instant::now()) {
            Ok(()) => Ok(()),
            Err(_) => self.fail(ClientError::TooSlow, io::ErrorKind::TimedOut),
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let at = self.pace.wait(Instant::now());
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if deadline.deadline() != at {
            deadline.as_mut().reset(at);
        }
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(self.fail(ClientError::TooSlow, io::ErrorKind::TimedOut))
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
        let until = || Box::pin(sleep_until(Instant::now() + self.pace.timeout()));
        ready!(self.stuck.get_or_insert_with(until).as_mut().poll(cx));
        let fault = ClientError::TooSlow;
        // The first fault is the one that counts.
        let _ = self.fault.set(fault);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, fault)))
    }

    fn fail(&mut self, fault: ClientError, kind: io::ErrorKind) -> io::Result<()> {
        // The first fault is the one that counts.
        let _ = self.fault.set(fault);
        Err(io::Error::new(kind, fault))
    }
}

impl AsyncRead for Fence {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.chunks.is_empty()
            && let Body::Chunked(decoder) = &this.body
        {
            let decoder = *decoder;
            ready!(this.poll_chunks(cx, decoder))?;
            if this.chunks.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        if !this.chunks.is_empty() {
            let len = buf.remaining().min(this.chunks.len());
            buf.put_slice(&this.chunks[..len]);
            this.chunks.advance(len);
            return Poll::Ready(Ok(()));
        }
        match this.body {
            Body::Known(0) => this.poll_gone(cx),
            Body::Known(left) => this.poll_known(cx, left, buf),
            Body::Chunked(_) | Body::Open => Pin::new(&mut *this.stream).poll_read(cx, buf),
        }
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
