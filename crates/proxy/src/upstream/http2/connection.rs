//! One connection of HTTP/2 to a server, and the task that drives it.

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
use h2::{
    Ping,
    client::{Builder, Connection as H2Connection, SendRequest},
};
use tokio::{
    select,
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

use super::{
    CONNECTION_WINDOW_BYTES, SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX, pool,
    socket::{Heard, HeardSocket},
};
use crate::upstream::{
    answer_head::HEAD_BYTES_MAX, failure::Failure, idle::Place, server_socket::ServerSocket,
};

/// A connection without requests is kept this long, as one of HTTP/1.1 is.
const IDLE_TIME_MAX: Duration = Duration::from_secs(50);

/// A server that has been silent for so long is asked for a sign of life before it gets another request: it may
/// be gone without a word. For a request that must not be sent twice, sooner.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const SILENCE_MAX_SURELY: Duration = Duration::from_secs(1);

/// It has this long to give it.
const SIGN_TIME_MAX: Duration = Duration::from_secs(2);

/// A farewell may take this long.
const FAREWELL: Duration = Duration::from_secs(5);

/// A connection, as requests see it.
pub(super) struct Connection {
    send: SendRequest<Bytes>,
    state: Arc<State>,
}

/// What requests and the task know together.
struct State {
    heard: Arc<Heard>,
    /// Requests that run.
    streams: AtomicUsize,
    /// It has served a request.
    kept: AtomicBool,
    /// A sign of life is wanted.
    wants_ping: AtomicBool,
    /// The task has something to look at.
    changed: Notify,
}

impl Connection {
    /// Speaks HTTP/2 on a socket that nothing was sent on; returns when the server has told its settings. `place`:
    /// where it is found while it lives, and how many may be idle there; `None`: it serves one request.
    pub(super) async fn open(
        socket: ServerSocket,
        place: Option<(&Arc<Place>, usize)>,
    ) -> Result<Arc<Self>, Failure> {
        let heard = Arc::new(Heard::new());
        let socket = HeardSocket::new(socket, Arc::clone(&heard));
        let failure = |error: h2::Error| Failure::NoHttp2(error.to_string());
        let (send, mut h2) = options().handshake(socket).await.map_err(failure)?;
        // A request must not exceed a limit that is still on its way, and what is no server of HTTP/2 shows it here.
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
        if let Some((place, _)) = place {
            pool::put(place, Arc::clone(&connection));
        }
        let place = place.map(|(place, kept_max)| (Arc::clone(place), kept_max));
        tokio::spawn(drive(h2, state, place));
        Ok(connection)
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
    fn is_of(&self, state: &Arc<State>) -> bool {
        Arc::ptr_eq(&self.state, state)
    }

    /// Does no request run on it?
    fn is_idle(&self) -> bool {
        self.state.streams.load(Ordering::Relaxed) == 0
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

/// Drives a connection to its end. Without requests it is given up after a while: h2 closes what nobody holds.
async fn drive(
    mut h2: H2Connection<HeardSocket, Bytes>,
    state: Arc<State>,
    place: Option<(Arc<Place>, usize)>,
) {
    let mut pings = h2.ping_pong();
    let mut waits_for_pong = false;
    let mut idle_until = Instant::now() + IDLE_TIME_MAX;
    let mut leaves_by = None;
    loop {
        if state.wants_ping.swap(false, Ordering::Relaxed)
            && !waits_for_pong
            && let Some(pings) = &mut pings
        {
            waits_for_pong = pings.send_ping(Ping::opaque()).is_ok();
        }
        let is_idle = state.streams.load(Ordering::Relaxed) == 0;
        let deadline = leaves_by.unwrap_or(idle_until);
        select! {
            biased;
            ended = poll_fn(|cx| Pin::new(&mut h2).poll(cx)) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "HTTP/2 connection to an upstream server ended");
                }
                break;
            }
            () = poll_fn(|cx| match &mut pings {
                Some(pings) => pings.poll_pong(cx).map(drop),
                None => Poll::Pending,
            }), if waits_for_pong => waits_for_pong = false,
            () = state.changed.notified() => {
                idle_until = Instant::now() + IDLE_TIME_MAX;
                let is_idle = state.streams.load(Ordering::Relaxed) == 0;
                let is_spare = |(place, kept_max): &(Arc<Place>, usize)| {
                    state.heard.is_doubted() || pool::count(place, Connection::is_idle) > *kept_max
                };
                if is_idle && place.as_ref().is_some_and(is_spare) {
                    idle_until = Instant::now();
                }
            }
            () = sleep_until(deadline), if is_idle => {
                if leaves_by.is_some() {
                    break;
                }
                leaves_by = Some(Instant::now() + FAREWELL);
                forget(place.as_ref(), &state);
            }
        }
    }
    forget(place.as_ref(), &state);
}

/// It is found no more.
fn forget(place: Option<&(Arc<Place>, usize)>, state: &Arc<State>) {
    if let Some((place, _)) = place {
        pool::remove(place, |connection| connection.is_of(state));
    }
}
