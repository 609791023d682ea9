//! The socket under a connection of HTTP/2: tells when the server was last heard, and counts what it says for
//! nothing.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use super::CONNECTION_WINDOW_BYTES;
use crate::upstream::server_socket::ServerSocket;

/// What a connection has heard of its server.
#[derive(Debug)]
pub(super) struct Heard {
    born: Instant,
    /// Milliseconds after `born`.
    last_ms: AtomicU64,
    /// Bytes that came since an answer last got on.
    idle_bytes: AtomicUsize,
    /// It was asked for a sign of life and has given none yet.
    doubted: AtomicBool,
    /// It has given one.
    alive: Notify,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            last_ms: AtomicU64::new(0),
            idle_bytes: AtomicUsize::new(0),
            doubted: AtomicBool::new(false),
            alive: Notify::new(),
        }
    }

    /// For how long the server has said nothing.
    pub(super) fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last)
    }

    /// An answer has got on.
    pub(super) fn progress(&self) {
        self.idle_bytes.store(0, Ordering::Relaxed);
    }

    /// Is a sign of life overdue?
    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    /// Waits for a sign of life; until it comes the server is doubted.
    pub(super) async fn sign_of_life(&self) {
        let mut alive = std::pin::pin!(self.alive.notified());
        alive.as_mut().enable();
        self.doubted.store(true, Ordering::Relaxed);
        alive.await;
    }

    fn hear(&self, bytes: usize) -> io::Result<()> {
        let now_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now_ms, Ordering::Relaxed);
        if self.doubted.load(Ordering::Relaxed) && self.doubted.swap(false, Ordering::Relaxed) {
            self.alive.notify_waiters();
        }
        let before = self.idle_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > IDLE_BYTES_MAX {
            return Err(io::Error::other(
                "the server floods it with frames that nobody needs",
            ));
        }
        Ok(())
    }
}

/// What may wait for clients in the windows, and as much again as heads and the odd frame of all streams
/// need.
const IDLE_BYTES_MAX: usize = CONNECTION_WINDOW_BYTES as usize + (1 << 20);

/// The socket, listened to.
pub(super) struct HeardSocket {
    socket: ServerSocket,
    heard: Arc<Heard>,
    /// The last words are on their way.
    is_shut: bool,
}

impl HeardSocket {
    pub(super) fn new(socket: ServerSocket, heard: Arc<Heard>) -> Self {
        Self {
            socket,
            heard,
            is_shut: false,
        }
    }
}

impl AsyncRead for HeardSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        match buf.filled().len() - before {
            0 => Poll::Ready(Ok(())),
            bytes => Poll::Ready(self.heard.hear(bytes)),
        }
    }
}

impl AsyncWrite for HeardSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            self.is_shut = true;
            self.socket.shut_down_writing();
        }
        self.socket.poll_flush(cx)
    }
}
