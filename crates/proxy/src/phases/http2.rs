//! An HTTP/2 connection: its streams, its limits and its end.

use std::{
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use config::Limits;
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection as H2Connection, SendResponse},
};
use http::Request;
use logs::{OpenRecord, Outcome, Protocol, Remote, Scheme, Tls};
use message::{
    client_error::ClientError, connection::Connection, downstream::Downstream, head::METHODS, refused,
};
use tokio::{
    select,
    task::JoinSet,
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};

use super::{
    h2_head,
    h2_session::{H2Session, Lingering},
    refusals::{Allowance, Books, BrokenOff, Refused, Settled, Watched},
};
use crate::{
    context::Context,
    errors,
    listener::{crowd::Guest, stream::ClientStream},
    serve::serve,
};

/// Streams of one connection at a time, as nginx allows.
const STREAMS_MAX: u32 = 128;

/// Bytes of request bodies that a client may send before they are asked for, per stream and per connection.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// Bytes of one answer that wait in h2 for the client.
const SEND_BUFFER_BYTES: usize = 256 << 10;

/// Streams that a client opens and resets before we have looked at them (CVE-2023-44487); past it the connection ends.
const PENDING_RESETS_MAX: usize = 32;

/// What becomes of other requests where a connection is ended for what its client sends, or sends too slowly.
const REFUSED: BrokenOff = (400, Outcome::Refused);
const CROWDED: BrokenOff = (503, Outcome::Overload);
const TOO_SLOW: BrokenOff = (408, Outcome::ClientTimeout);

/// After the farewell an idle client has this long to close.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves an HTTP/2 connection to its end.
pub(crate) async fn serve_http2(
    context: Arc<Context>,
    stream: Box<ClientStream>,
    connection: Arc<Connection>,
    guest: &Guest,
) {
    let limits = &context.config.listeners[connection.listener].limits;
    let (books, watched) = Books::open(stream, context.config.server.buffers.shared_bytes);
    match timeout(limits.head_timeout, options(limits).handshake(watched)).await {
        Ok(Ok(h2)) => {
            books.flush_lazily();
            let mut conversation = Conversation {
                context: &context,
                connection: &connection,
                limits,
                streams: JoinSet::new(),
                lingering: JoinSet::new(),
                served: 0,
                refusals: Allowance::of_refusals(Instant::now()),
                turned_away: Allowance::of_cancelled(Instant::now()),
                books,
                head_timer: None,
                leaving: false,
            };
            conversation.run(h2, guest).await;
            conversation.tell_rest();
            // Streams of a connection that is gone notice it by themselves and end in their own way.
            let all = async { while conversation.streams.join_next().await.is_some() {} };
            let _ = timeout(FAREWELL, all).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(peer = ?connection.peer, %error, "HTTP/2 connection could not begin")
        }
        Err(_) => {
            tracing::debug!(peer = ?connection.peer, "HTTP/2 connection did not begin within head_timeout")
        }
    }
}

fn options(limits: &Limits) -> Builder {
    let mut options = Builder::new();
    options
        .max_concurrent_streams(STREAMS_MAX)
        // Up to here the refusal is ours, with a page; what is larger h2 refuses by itself (see `refusals`), and past four
        // times this it ends the connection.
        .max_header_list_size(u32::try_from(limits.head_bytes_max.saturating_mul(2)).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        // WebSockets (RFC 8441).
        .enable_connect_protocol();
    options
}

struct Conversation<'a> {
    context: &'a Arc<Context>,
    connection: &'a Arc<Connection>,
    limits: &'a Limits,
    streams: JoinSet<Option<Lingering>>,
    /// Streams that have their answer, and whose clients are still sending.
    lingering: JoinSet<()>,
    served: u32,
    /// Heads that h2 may still refuse.
    refusals: Allowance,
    /// Streams past the limit that it may still turn away.
    turned_away: Allowance,
    books: Books,
    head_timer: HeadTimer,
    /// The farewell (GOAWAY) has been said: the client opens no new streams.
    leaving: bool,
}

impl Conversation<'_> {
    async fn run(&mut self, mut h2: H2Connection<Watched, Bytes>, guest: &Guest) {
        let draining = self.context.drain.draining();
        tokio::pin!(draining);
        let mut idle_until = Instant::now() + self.limits.idle_timeout;
        // No stream runs; h2 has none, as far as that was looked at.
        let (mut at_rest, mut is_clear) = (false, true);
        loop {
            if self.streams.is_empty() != at_rest {
                at_rest = !at_rest;
                is_clear = false;
                if at_rest {
                    guest.rest(Instant::now());
                } else {
                    guest.work();
                }
            }
            if at_rest && !is_clear && !h2.has_streams() {
                self.books.clear();
                is_clear = true;
            }
            select! {
                biased;
                // Also what drives the connection; nothing is lost when another branch is taken.
                accepted = h2.accept() => match accepted {
                    Some(Ok((request, reply))) => {
                        let malformed = self.books.handed(request.body().stream_id());
                        self.refusals.earn();
                        if self.accept(request, reply, malformed).await {
                            let now = Instant::now();
                            idle_until = now + self.patience();
                            is_clear = false;
                            if at_rest {
                                guest.rest(now);
                            }
                        }
                    }
                    None => return,
                    Some(Err(error)) => {
                        tracing::debug!(peer = ?self.connection.peer, %error, "HTTP/2 connection ended");
                        return;
                    }
                },
                // It has nothing more to hand over: what it has written leaves now, and this is what it has refused.
                settled = settled(&self.books, &mut self.head_timer, self.limits.head_timeout) => match settled {
                    Ok(Notice::Settled(Settled::Refused(refused))) => {
                        if !self.bear(refused) {
                            tracing::debug!(peer = ?self.connection.peer, "HTTP/2 client sends malformed requests");
                            if self.leaving {
                                return self.break_off(h2, Reason::ENHANCE_YOUR_CALM, REFUSED).await;
                            }
                            // What the client asks for besides is still served, and as many again may be on
                            // their way.
                            idle_until = self.leave(&mut h2);
                            self.refusals = Allowance::of_refusals(Instant::now());
                        }
                    }
                    Ok(Notice::Settled(Settled::Flooded)) => {
                        tracing::debug!(peer = ?self.connection.peer, "HTTP/2 client sends frames without end");
                        return self.break_off(h2, Reason::ENHANCE_YOUR_CALM, REFUSED).await;
                    }
                    Ok(Notice::SlowHead) => {
                        tracing::debug!(peer = ?self.connection.peer, "HTTP/2 head not complete within head_timeout");
                        return self.break_off(h2, Reason::NO_ERROR, TOO_SLOW).await;
                    }
                    Err(error) => {
                        tracing::debug!(peer = ?self.connection.peer, %error, "HTTP/2 connection can not be written to");
                        return;
                    }
                },
                Some(ended) = self.streams.join_next() => {
                    if let Ok(Some(lingering)) = ended {
                        self.lingering.spawn(lingering.read());
                    }
                    idle_until = Instant::now() + self.patience();
                }
                Some(_) = self.lingering.join_next() => {
                    idle_until = Instant::now() + self.patience();
                }
                () = &mut draining, if !self.leaving => {
                    // Streams that are on their way are still served (RFC 9113 §6.8).
                    idle_until = self.leave(&mut h2);
                }
                // Somebody else needs the place more. What the client sends meanwhile it may send again
                // elsewhere.
                () = guest.asked_to_leave(), if self.streams.is_empty() => {
                    if self.books.is_quiet() {
                        return self.break_off(h2, Reason::NO_ERROR, CROWDED).await;
                    }
                    // An answer that has no task any more is still on its way: the others are asked first.
                    guest.work();
                    guest.rest(Instant::now());
                }
                () = sleep_until(idle_until), if self.streams.is_empty() && self.lingering.is_empty() => {
                    if self.leaving {
                        return;
                    }
                    idle_until = self.leave(&mut h2);
                }
            }
            if self.served >= self.limits.requests_max && !self.leaving {
                idle_until = self.leave(&mut h2);
            }
        }
    }

    /// Ends the connection at once, and says why: to the client, and in the lines of what is cut by it.
    async fn break_off(&mut self, mut h2: H2Connection<Watched, Bytes>, reason: Reason, why: BrokenOff) {
        self.books.break_off(why);
        h2.abrupt_shutdown(reason);
        // Closing includes writing what waits.
        let _ = timeout(FAREWELL, poll_fn(|cx| h2.poll_closed(cx))).await;
    }

    fn leave(&mut self, h2: &mut H2Connection<Watched, Bytes>) -> Instant {
        h2.graceful_shutdown();
        self.leaving = true;
        Instant::now() + FAREWELL
    }

    /// Without streams the connection is kept for this long.
    fn patience(&self) -> Duration {
        if self.leaving {
            FAREWELL
        } else {
            self.limits.idle_timeout
        }
    }

    /// Serves a stream: at once when it has nothing to wait for, as most files have not, else as a task of its own, which
    /// costs as much as the whole answer. Was it at once?
    async fn accept(
        &mut self,
        request: Request<RecvStream>,
        reply: SendResponse<Bytes>,
        malformed: bool,
    ) -> bool {
        self.served = self.served.saturating_add(1);
        let (context, connection) = (Arc::clone(self.context), Arc::clone(self.connection));
        let books = self.books.clone();
        let mut serving = Box::pin(serve_stream(
            context, connection, books, request, reply, malformed,
        ));
        // A panic is the end of its stream, as in a task, and not of its neighbours.
        let served = poll_fn(|cx| {
            let poll = || serving.as_mut().poll(cx);
            Poll::Ready(catch_unwind(AssertUnwindSafe(poll)).unwrap_or(Poll::Ready(None)))
        })
        .await;
        let at_once = served.is_ready();
        match served {
            Poll::Ready(Some(lingering)) => {
                self.lingering.spawn(lingering.read());
            }
            Poll::Ready(None) => {}
            // Being polled there for the first time it is woken there from then on.
            Poll::Pending => {
                self.streams.spawn(serving);
            }
        }
        at_once
    }

    /// Tells what h2 has refused; `false`: that was more than the client may send.
    fn bear(&mut self, refused: Refused) -> bool {
        self.tell(refused);
        let count = refused.malformed.saturating_add(refused.too_large);
        self.served = self.served.saturating_add(count);
        let now = Instant::now();
        self.refusals.take(count, now) && self.turned_away.take(refused.too_many, now)
    }

    /// Writes the lines of what h2 has refused.
    fn tell(&self, refused: Refused) {
        for (count, status) in [(refused.malformed, 400), (refused.too_large, 431)] {
            for _ in 0..count {
                self.line(Some(status), Some(Outcome::Refused));
            }
        }
        // A client that has not heard of our limit yet does nothing wrong.
        for _ in 0..refused.too_many {
            self.line(Some(503), Some(Outcome::Refused));
        }
        let (status, outcome) = self.books.broken_off().unzip();
        for _ in 0..refused.gone {
            self.line(status, outcome);
        }
    }

    /// The connection is over.
    fn tell_rest(&self) {
        let rest = self.books.close();
        self.tell(rest);
    }

    /// The line of a request that never came to us: nothing is known of it.
    fn line(&self, status: Option<u16>, outcome: Option<Outcome>) {
        let mut record = open(self.context, self.connection);
        record.status = status;
        record.outcome = outcome;
        record.finish();
    }
}

/// A connection may be cut at any moment.
impl Drop for Conversation<'_> {
    fn drop(&mut self) {
        self.tell_rest();
    }
}

/// Why the loop of a connection has something to do.
enum Notice {
    Settled(Settled),
    /// A head has begun and is not complete in time.
    SlowHead,
}

/// Sends what h2 has written; resolves when there is something to tell. What makes h2 write or refuse is
/// polled first, so nothing needs to wake this but the deadline of a head that comes in pieces.
async fn settled(books: &Books, timer: &mut HeadTimer, head_timeout: Duration) -> io::Result<Notice> {
    poll_fn(|cx| {
        if let Some(settled) = books.settle(cx)? {
            return Poll::Ready(Ok(Notice::Settled(settled)));
        }
        let Some(head) = books.open_head() else {
            *timer = None;
            return Poll::Pending;
        };
        let until = || (head, Box::pin(sleep(head_timeout)));
        // The one before may have ended, and this one begun, since the last look.
        let running = timer.take().filter(|(of, _)| *of == head);
        let (_, sleep) = timer.insert(running.unwrap_or_else(until));
        sleep.as_mut().poll(cx).map(|()| Ok(Notice::SlowHead))
    })
    .await
}

/// Runs while a head, of this number, has begun and is not complete.
type HeadTimer = Option<(u32, Pin<Box<Sleep>>)>;

fn open(context: &Context, connection: &Connection) -> OpenRecord {
    let mut record = context
        .log
        .open(connection.peer.map_or(Remote::Unix, Remote::from));
    record.protocol = Some(Protocol::Http2);
    if let Some(tls) = &connection.tls {
        record.scheme = Scheme::Https;
        record.tls = Some(Tls {
            version: tls.version,
            cipher: tls.cipher,
        });
    }
    record
}

async fn serve_stream(
    context: Arc<Context>,
    connection: Arc<Connection>,
    books: Books,
    request: Request<RecvStream>,
    reply: SendResponse<Bytes>,
    malformed: bool,
) -> Option<Lingering> {
    let mut record = open(&context, &connection);
    let limits = &context.config.listeners[connection.listener].limits;
    let (parts, body) = request.into_parts();
    let (head, mut verdict) = h2_head::read(&parts, body.is_end_stream(), limits);
    drop(parts);
    if malformed {
        verdict = verdict.and(Err(400));
    }
    let mut session = H2Session::new(body, reply, head, Arc::clone(&connection), books, limits);
    if verdict.is_ok() {
        verdict = session.confirm_empty().await.map_err(|error| match error {
            ClientError::TooSlow => 408,
            _ => 400,
        });
    }
    match verdict {
        Ok(()) => serve(&context, &mut session, &mut record).await,
        Err(status) => {
            let head = session.head();
            record.set_request(head.method.as_bytes(), &head.target);
            record.set_host(&head.host);
            let mut refused = refused::Refused::new(status, Outcome::Refused);
            if status == 405 {
                refused = refused.with("allow", METHODS);
            }
            errors::refuse(&context.router, &mut session, &mut record, &refused).await;
        }
    }
    if record.outcome == Some(Outcome::ClientGone)
        && let Some((status, outcome)) = session.broken_off()
    {
        record.status.get_or_insert(status);
        record.outcome = Some(outcome);
    }
    record.bytes_in = session.bytes_in();
    record.bytes_out = session.bytes_out();
    record.finish();
    session.finish()
}
