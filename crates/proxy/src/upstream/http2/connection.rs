//! One connection of HTTP/2 to a server.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::client::{Builder, Connection as H2Connection, SendRequest};
use tokio::{sync::Notify, time::timeout};

use super::{
    CONNECTION_WINDOW_BYTES, SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX,
    socket::{Heard, HeardSocket},
};
use crate::upstream::{answer_head::HEAD_BYTES_MAX, failure::Failure, server_socket::ServerSocket};

/// A server that has been silent for so long is asked for a sign of life before it gets another request: it
/// may be gone without a word. For a request that must not be sent twice, sooner.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const SILENCE_MAX_SURELY: Duration = Duration::from_secs(1);

/// It has this long to give it.
const SIGN_TIME_MAX: Duration = Duration::from_secs(2);

/// A connection, as requests see it.
pub(super) struct Connection {
    send: SendRequest<Bytes>,
    state: Arc<State>,
}

/// What requests and the task know together.
pub(super) struct State {
    pub(super) heard: Arc<Heard>,
    /// Requests that run.
    pub(super) streams: AtomicUsize,
    /// It has served a request.
    kept: AtomicBool,
    /// A sign of life is wanted.
    pub(super) wants_ping: AtomicBool,
    /// The task has something to look at.
    pub(super) changed: Notify,
}

/// What the task of a connection has.
pub(super) struct Driven {
    pub(super) h2: H2Connection<HeardSocket, Bytes>,
    pub(super) state: Arc<State>,
}

impl State {
    /// Does no request run on it?
    pub(super) fn is_idle(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0
    }
}

impl Connection {
    /// Speaks HTTP/2 on a socket that nothing was sent on; returns when the server has told its settings.
    /// What comes with it has to be driven.
    pub(super) async fn open(socket: ServerSocket) -> Result<(Arc<Self>, Driven), Failure> {
        let heard = Arc::new(Heard::new());
        let socket = HeardSocket::new(socket, Arc::clone(&heard));
        let failure = |error: h2::Error| Failure::NoHttp2(error.to_string());
        let (send, mut h2) = options().handshake(socket).await.map_err(failure)?;
        // A request must not exceed a limit that is still on its way, and what is no server of HTTP/2 shows
        // it here.
        poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut h2).poll(cx) {
                let closed = || Failure::NoHttp2("it closes the connection".to_owned());
                return Poll::Ready(Err(ended.map_or_else(failure, |()| closed())));
            }
            match send.current_max_send_streams() {
                0 => Poll::Pending,
                _ => Poll::Ready(Ok(())),
            }
        })
        .await?;
        let state = Arc::new(State {
            heard,
            streams: AtomicUsize::new(0),
            kept: AtomicBool::new(false),
            wants_ping: AtomicBool::new(false),
            changed: Notify::new(),
        });
        let connection = Arc::new(Self {
            send,
            state: Arc::clone(&state),
        });
        Ok((connection, Driven { h2, state }))
    }

    /// Takes a stream, if the connection can have one more.
    pub(super) fn lease(self: &Arc<Self>) -> Result<Lease, Full> {
        let mut send = self.send.clone();
        let ready = send.poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Err(_)) = ready {
            return Err(Full::ForEver);
        }
        let streams_max = STREAMS_MAX.min(send.current_max_send_streams());
        if self.state.heard.is_doubted() || self.state.streams.load(Ordering::Relaxed) >= streams_max {
            return Err(Full::Now);
        }
        self.state.streams.fetch_add(1, Ordering::Relaxed);
        Ok(Lease {
            is_kept: self.state.kept.swap(true, Ordering::Relaxed),
            send,
            state: Arc::clone(&self.state),
        })
    }

    /// Is this the one that the task drives?
    pub(super) fn is_of(&self, state: &Arc<State>) -> bool {
        Arc::ptr_eq(&self.state, state)
    }

    /// Does no request run on it?
    pub(super) fn is_idle(&self) -> bool {
        self.state.is_idle()
    }
}

/// Why a connection has no stream to give.
pub(super) enum Full {
    /// It has as many as it may have, or its server is doubted.
    Now,
    /// It has ended, or its server takes no more.
    ForEver,
}

/// A request's share of a connection.
pub(super) struct Lease {
    /// The connection has served a request before.
    pub(super) is_kept: bool,
    /// What opens the stream.
    pub(super) send: SendRequest<Bytes>,
    state: Arc<State>,
}

impl Lease {
    /// What has been heard of the server.
    pub(super) fn heard(&self) -> &Heard {
        &self.state.heard
    }

    /// Is the server there? Asks only one that has been silent; `surely`: sooner.
    pub(super) async fn is_alive(&self, surely: bool) -> bool {
        let silence_max = if surely { SILENCE_MAX_SURELY } else { SILENCE_MAX };
        if !self.is_kept || self.heard().silence() < silence_max {
            return true;
        }
        self.state.wants_ping.store(true, Ordering::Relaxed);
        self.state.changed.notify_one();
        timeout(SIGN_TIME_MAX, self.heard().sign_of_life()).await.is_ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.state.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.state.changed.notify_one();
        }
    }
}

fn options() -> Builder {
    let mut options = Builder::new();
    options
        .enable_push(false)
        // None before the server has told how many it allows.
        .initial_max_send_streams(0)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES);
    options
}
