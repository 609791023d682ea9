//! A connection to a server.

use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    path::PathBuf,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use message::chunked::write_chunk_size;
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::{failure::Failure, server_socket::ServerSocket};
use crate::{listener::socket::Socket, tls::ServerTls, unix_socket::UnixSocket};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct ServerConnection {
    socket: ServerSocket,
    /// Read from the server, not yet used.
    pub(super) input: BytesMut,
    /// To be written: first this,
    output: BytesMut,
    /// then this,
    piece: Bytes,
    /// then this.
    tail: &'static [u8],
    /// For the next read; grows with an answer that fills it.
    room: usize,
    /// It has served a request before.
    kept: bool,
    /// The server has said something since the request was begun.
    heard: bool,
    /// Some of the request has left, or may have.
    sent: bool,
    /// It takes nothing more; its answer may be there all the same.
    deaf: bool,
}

/// What has happened on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// So many bytes were read; 0: the server sends no more.
    Read(usize),
    /// All that was to be written is, or will never be.
    Sent,
}

impl ServerConnection {
    /// Connects, and shakes hands where TLS is spoken.
    pub(super) async fn open(address: &Address, tls: Option<&ServerTls>) -> Result<Self, Failure> {
        Ok(Self::over(open_socket(address, tls, false).await?))
    }

    /// Over a socket that nothing was sent on.
    pub(super) fn over(socket: ServerSocket) -> Self {
        Self {
            socket,
            input: BytesMut::new(),
            output: BytesMut::new(),
            piece: Bytes::new(),
            tail: b"",
            room: ROOM_BYTES_MIN,
            kept: false,
            heard: false,
            sent: false,
            deaf: false,
        }
    }

    /// Has it served a request before? Then the server may have closed it at this very moment.
    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    /// Has the server said nothing yet since the request was begun?
    pub(super) fn is_unheard(&self) -> bool {
        !self.heard
    }

    /// Has not a byte of the request left? Then the server cannot have begun to carry it out.
    pub(super) fn is_unsent(&self) -> bool {
        !self.sent
    }

    /// Where the head of a request goes.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Has a piece of the body be written behind `output`, as a chunk where it goes in `chunks`; only while nothing else of the
    /// body [waits](Self::is_sending).
    pub(super) fn push(&mut self, piece: Bytes, chunks: bool) {
        if self.deaf {
            return;
        }
        let tail: &[u8] = if chunks { b"\r\n" } else { b"" };
        if chunks {
            write_chunk_size(&mut self.output, piece.len() as u64);
        }
        if piece.len() <= COALESCE_BYTES_MAX {
            self.output.extend_from_slice(&piece);
            self.output.extend_from_slice(tail);
        } else {
            self.piece = piece;
            self.tail = tail;
        }
    }

    /// Has the end of the body be written, which goes in chunks.
    pub(super) fn push_last_chunk(&mut self) {
        const LAST: &[u8] = b"0\r\n\r\n";
        match self.tail {
            _ if self.deaf => {}
            b"" => self.output.extend_from_slice(LAST),
            _ => self.tail = b"\r\n0\r\n\r\n",
        }
    }

    /// Does something wait to be written?
    pub(super) fn is_sending(&self) -> bool {
        self.has_output() || self.socket.holds_back() && !self.deaf
    }

    fn has_output(&self) -> bool {
        !(self.output.is_empty() && self.piece.is_empty() && self.tail.is_empty())
    }

    /// Writes what waits, and then reads once; says what came first. Safe to drop.
    pub(super) async fn turn(&mut self) -> io::Result<Turn> {
        poll_fn(|cx| {
            if self.is_sending() && self.poll_send(cx).is_ready() {
                return Poll::Ready(Ok(Turn::Sent));
            }
            self.poll_fill(cx).map_ok(Turn::Read)
        })
        .await
    }

    /// Writes what waits. Safe to drop.
    pub(super) async fn sent(&mut self) {
        poll_fn(|cx| self.poll_send(cx)).await;
    }

    /// May another request follow? Not where the server has not taken all of the last one, or has said more than its answer.
    pub(super) fn is_reusable(&self) -> bool {
        self.input.is_empty() && !self.is_sending() && !self.deaf
    }

    /// It waits for its next request: gives memory back.
    pub(super) fn rest(&mut self) {
        self.kept = true;
        self.heard = false;
        self.sent = false;
        if self.input.capacity() > IDLE_BYTES_MAX {
            self.input = BytesMut::new();
        }
        if self.output.capacity() > IDLE_BYTES_MAX {
            self.output = BytesMut::new();
        }
        self.room = ROOM_BYTES_MIN;
    }

    /// Is it as it was left: still open, and not a byte there that nobody has asked for? The event loop tells without a system
    /// call, but may not have looked for a moment; `surely` asks the kernel.
    pub(super) fn is_quiet(&mut self, surely: bool) -> bool {
        self.socket.is_quiet(surely)
    }

    /// Bytes that wait to be written; those that TLS holds back count as one.
    pub(super) fn waiting(&self) -> usize {
        let held_back = self.socket.holds_back() && !self.deaf;
        self.output.len() + self.piece.len() + self.tail.len() + usize::from(held_back)
    }

    /// Says that nothing more will be sent.
    pub(super) fn shut_down_writing(&mut self) {
        self.socket.shut_down_writing();
    }

    /// Writes what waits.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.has_output() {
            let written = if self.piece.is_empty() && self.tail.is_empty() {
                self.socket.poll_write(cx, &self.output)
            } else {
                let slices = [
                    IoSlice::new(&self.output),
                    IoSlice::new(&self.piece),
                    IoSlice::new(self.tail),
                ];
                self.socket.poll_write_vectored(cx, &slices)
            };
            let Ok(mut written @ 1..) = ready!(written) else {
                self.fall_deaf();
                return Poll::Ready(());
            };
            self.sent = true;
            for part in [&mut self.output as &mut dyn Buf, &mut self.piece, &mut self.tail] {
                let of_part = written.min(part.remaining());
                part.advance(of_part);
                written -= of_part;
            }
        }
        if ready!(self.socket.poll_flush(cx)).is_err() {
            self.fall_deaf();
        }
        Poll::Ready(())
    }

    /// It takes nothing more; why is told by reading.
    fn fall_deaf(&mut self) {
        self.deaf = true;
        self.output.clear();
        self.piece = Bytes::new();
        self.tail = b"";
    }

    /// Reads once; 0: the server sends no more.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Room that is left is used up first: pieces of a body that are still held somewhere then share their memory.
        if self.input.capacity() - self.input.len() < ROOM_BYTES_LEFT {
            self.input.reserve(self.room);
        }
        let room = self.input.capacity() - self.input.len();
        // Safe to drop, so it may be begun anew each time.
        let read = ready!(pin!(self.socket.read_buf(&mut self.input)).poll(cx))?;
        self.heard |= read > 0;
        if read == room {
            self.room = ROOM_BYTES_MAX;
        }
        Poll::Ready(Ok(read))
    }
}

/// Connects, and shakes hands where TLS is spoken. `http2`: the server may choose HTTP/2 in that.
pub(super) async fn open_socket(
    address: &Address,
    tls: Option<&ServerTls>,
    http2: bool,
) -> Result<ServerSocket, Failure> {
    let socket = connect(address).await.map_err(Failure::Connect)?;
    match tls {
        None => Ok(ServerSocket::Plain(socket)),
        Some(tls) => ServerSocket::shake_hands(socket, tls, http2).await,
    }
}

async fn connect(address: &Address) -> io::Result<Socket> {
    Ok(match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            // Requests leave in whole writes; waiting for more would only delay them.
            stream.set_nodelay(true)?;
            Socket::Tcp(stream)
        }
        Address::Unix(path) => Socket::Unix(UnixSocket::connect(path).await?),
    })
}

/// Room for one read: many connections must not cost much memory, and a large answer not many reads.
const ROOM_BYTES_MIN: usize = 8 << 10;
const ROOM_BYTES_MAX: usize = 64 << 10;
/// A read with less room than this is not worth its system call.
const ROOM_BYTES_LEFT: usize = 2 << 10;
/// What an idle connection keeps of each buffer.
const IDLE_BYTES_MAX: usize = 8 << 10;
/// Pieces of a body up to this size are copied behind the head, so that both are one write.
const COALESCE_BYTES_MAX: usize = 16 << 10;
