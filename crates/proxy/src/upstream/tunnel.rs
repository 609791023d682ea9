//! A WebSocket between a client and a server behind us: bytes both ways, until one side ends.
//!
//! When the process stops the client is told so (1012) between two frames of the server's, and its answer
//! goes to the server. One on which nothing came for too long ends in the same way (1001), at once.
//!
//! Nothing is read from one side while the other has not taken what was read before, so a tunnel costs the
//! memory of one read for each direction, and a slow side slows the other down by the protocol's own means.

use std::{
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use logs::Outcome;
use message::downstream::Downstream;
use tokio::time::{Instant, Sleep, sleep_until};
use websocket::{close, passing::Passing, writer::Writer};

use super::connection::ServerConnection;
use crate::drain::Drain;

/// How long what may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Nothing comes, from neither side.
    pub(super) silence: Duration,
    /// The client takes nothing of what waits for it.
    pub(super) client: Duration,
    /// The server takes nothing of what waits for it.
    pub(super) server: Duration,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The server has said all it has to say, and the client has it.
    Closed,
    /// The client, or what leads to it, is gone.
    ClientGone,
    /// The client took nothing for too long.
    ClientStuck,
    /// The connection to the server broke.
    ServerGone,
    /// The server took nothing for too long.
    ServerStuck,
    /// Nothing came for too long.
    Silent,
    /// The process stops, and the client has not answered that in time.
    Left,
}

impl End {
    /// What is to be thought of it. A WebSocket ends by somebody closing it, so that most ends are good ones.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Closed | Self::Left => Outcome::Ok,
            Self::ClientGone => Outcome::ClientGone,
            Self::ClientStuck => Outcome::ClientTimeout,
            Self::ServerGone => Outcome::UpstreamFailed,
            Self::ServerStuck | Self::Silent => Outcome::Timeout,
        }
    }
}

/// Carries bytes from one to the other. The head that accepts the WebSocket has been given to `down`.
pub(super) async fn run<D: Downstream>(
    down: &mut D,
    server: &mut ServerConnection,
    patience: Patience,
    drain: &Drain,
) -> End {
    let now = Instant::now();
    let mut tunnel = Tunnel {
        down,
        server,
        patience,
        moved: now,
        client_stuck: None,
        server_stuck: None,
        flushing: true,
        parting: None,
        said: Passing::default(),
        heard: Passing::default(),
        leaving: None,
        closed: false,
    };
    let mut stopping = pin!(drain.stopping());
    let mut timer = pin!(sleep_until(now + patience.silence));
    poll_fn(|cx| {
        if tunnel.leaving.is_none() && stopping.as_mut().poll(cx).is_ready() {
            tunnel.leave(Instant::now());
        }
        tunnel.poll(cx, timer.as_mut())
    })
    .await
}

struct Tunnel<'a, D> {
    down: &'a mut D,
    server: &'a mut ServerConnection,
    patience: Patience,
    /// When something last came from either side.
    moved: Instant,
    /// Since when a side takes nothing of what waits for it.
    client_stuck: Option<Instant>,
    server_stuck: Option<Instant>,
    /// Something is on its way to the client.
    flushing: bool,
    /// The client sends no more, and the server knows: it has this long to answer.
    parting: Option<Instant>,
    /// What the server says, and what the client does.
    said: Passing,
    heard: Passing,
    /// The process stops: the WebSocket has this long to end.
    leaving: Option<Instant>,
    /// The client has been sent its last frame for that reason; nothing may follow.
    closed: bool,
}

impl<D: Downstream> Tunnel<'_, D> {
    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        let now = Instant::now();
        for _ in 0..TURNS_MAX {
            let moved = match (self.pass_up(cx, now), self.pass_down(cx, now)) {
                (Err(end), _) | (_, Err(end)) => return Poll::Ready(end),
                (Ok(up), Ok(down)) => up || down,
            };
            if moved {
                self.moved = now;
                continue;
            }
            if self.is_answered() {
                return Poll::Ready(End::Closed);
            }
            let (deadline, end) = self.deadline();
            if deadline <= now {
                if end == End::Silent && self.say_goodbye(now) {
                    continue;
                }
                return Poll::Ready(end);
            }
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            // One that is over already is found at the next look.
            if timer.poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        // The other tasks of the thread have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The process stops: says so to the client as soon as no frame is under way.
    fn leave(&mut self, now: Instant) {
        self.leaving = Some(now + CLOSE_TIME);
        self.close(close::RESTART);
    }

    /// Nothing came for too long: says so to the client, if no frame is under way. Its answer is not waited
    /// for, since it has been silent all the time. `false`: there is nothing to say.
    fn say_goodbye(&mut self, now: Instant) -> bool {
        let before = self.closed;
        self.close(close::GOING_AWAY);
        self.leaving = Some(now);
        self.closed != before
    }

    /// Says goodbye, where there is a place for it.
    fn close(&mut self, code: u16) {
        if self.closed || !self.said.is_between() {
            return;
        }
        // The server may have said it.
        if !self.said.is_closed() {
            Writer::close(code, "", self.down.output());
            self.flushing = true;
        }
        self.closed = true;
    }

    /// Has the client answered our goodbye, and the server the answer?
    fn is_answered(&self) -> bool {
        self.closed && !self.flushing && self.heard.is_closed() && self.server.waiting() == 0
    }

    /// Has the client said something?
    fn pass_up(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        let waiting = self.server.waiting();
        if waiting > 0 && self.server.poll_send(cx).is_pending() {
            note(&mut self.server_stuck, self.server.waiting() < waiting, now);
            return Ok(false);
        }
        self.server_stuck = None;
        if self.parting.is_some() {
            return Ok(false);
        }
        // What came together with the head is there already.
        if self.down.input().is_empty() {
            match self.down.poll_fill(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(_)) => return Err(End::ClientGone),
                Poll::Ready(Ok(0)) => {
                    self.server.shut_down_writing();
                    self.parting = Some(now + PARTING_TIME);
                    // With TLS that is something to be sent.
                    return Ok(true);
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
        let said = self.down.input().split().freeze();
        self.heard.take_all(&said);
        self.server.push(said, false);
        Ok(true)
    }

    /// Has the server said something?
    fn pass_down(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        if self.flushing {
            let waiting = self.down.output().len();
            match self.down.poll_flush(cx) {
                Poll::Pending => {
                    let taken = self.down.output().len() < waiting;
                    note(&mut self.client_stuck, taken, now);
                    return Ok(false);
                }
                Poll::Ready(Err(_)) => return Err(End::ClientGone),
                Poll::Ready(Ok(())) => {}
            }
            self.flushing = false;
        }
        self.client_stuck = None;
        if self.server.input.is_empty() {
            match self.server.poll_fill(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(0)) => return Err(End::Closed),
                Poll::Ready(Err(_)) => return Err(End::ServerGone),
                Poll::Ready(Ok(_)) => {}
            }
        }
        if self.closed {
            self.server.input.clear();
            return Ok(true);
        }
        mem::swap(self.down.output(), &mut self.server.input);
        self.flushing = true;
        if self.leaving.is_none() {
            self.said.take_all(self.down.output());
        } else {
            // What comes behind this frame is too late.
            let taken = self.said.take(self.down.output());
            self.down.output().truncate(taken);
            self.close(close::RESTART);
        }
        Ok(true)
    }

    /// When it ends if nothing happens until then, and how.
    fn deadline(&self) -> (Instant, End) {
        let stuck = |since: Option<Instant>, patience, end| since.map(|since| (since + patience, end));
        [
            Some((self.moved + self.patience.silence, End::Silent)),
            stuck(self.client_stuck, self.patience.client, End::ClientStuck),
            stuck(self.server_stuck, self.patience.server, End::ServerStuck),
            self.parting.map(|until| (until, End::Closed)),
            self.leaving.map(|until| (until, End::Left)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(deadline, _)| *deadline)
        .unwrap_or((self.moved, End::Silent))
    }
}

/// Notes since when a side takes nothing.
fn note(stuck: &mut Option<Instant>, taken: bool, now: Instant) {
    if taken {
        *stuck = Some(now);
    } else {
        stuck.get_or_insert(now);
    }
}

/// Readings before the other tasks of the thread get their turn.
const TURNS_MAX: usize = 8;
/// What a server may still say to a client that sends no more.
const PARTING_TIME: Duration = Duration::from_secs(5);
/// What a WebSocket may take to end when the process stops, as those of applications may.
const CLOSE_TIME: Duration = Duration::from_secs(5);
