//! One request on its way to a server, and the answer on its way back.
//!
//! Both directions run at once: a server may answer before it has read everything. Nothing is read from the server while the
//! client has not taken what was read before, so an answer of any size goes through in the memory of one read.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use logs::Record;
use message::{
    answer::Answer,
    client_error::ClientError,
    downstream::Downstream,
    head::BodyLength,
    refused::{Refused, Unanswered},
};
use tokio::select;

use super::{
    Upstream,
    answer_head::{AnswerHead, BadAnswer, FinalHead, INTERIM_MAX, Search},
    connection::{ServerConnection, Turn},
    failure::Failure,
    http2::{self, Reached},
    idle,
    question::Question,
    server::Seat,
    server_stream::ServerStream,
    tunnel::{self, End, Patience},
    upload::Upload,
};
use crate::patience::within;

/// Answers a request with what a server says.
pub(crate) async fn answer<D: Downstream>(
    down: &mut D,
    question: &Question<'_>,
    record: &mut Record,
) -> Result<(), Unanswered> {
    let (body, expects_continue) = match question.upgrade {
        Some(_) => (BodyLength::Known(0), false),
        None => (down.head().body, down.head().expects_continue()),
    };
    // A handshake may be repeated, though over HTTP/2 it is a CONNECT.
    let idempotent = question.upgrade.is_some() || down.head().is_idempotent();
    let exchange = Exchange {
        question,
        record,
        asked: Instant::now(),
        seat: None,
        tried: Vec::new(),
        free: 0,
        failure: None,
        unprocessed: 0,
        stale: false,
        idempotent,
        // Over HTTP/2 a server may say of any request that it has done nothing with it.
        upload: Upload::new(
            body,
            expects_continue,
            idempotent || question.upstream.speaks_http2(),
        ),
        word_by: Instant::now(),
    };
    exchange.run(down).await
}

struct Exchange<'a> {
    question: &'a Question<'a>,
    record: &'a mut Record,
    asked: Instant,
    seat: Option<Seat>,
    /// Servers that could not be connected to, or gave no answer.
    tried: Vec<usize>,
    /// How many of these do not count as attempts.
    free: usize,
    /// Why the last one of these could not answer, and the position of what it is written as.
    failure: Option<(usize, Failure)>,
    /// How often a server said that it has done nothing with the request.
    unprocessed: usize,
    /// The server closed the connection at this very moment, and the request may be sent on a new one.
    stale: bool,
    idempotent: bool,
    upload: Upload,
    /// How long a client that waits for `100 Continue` is left to the server.
    word_by: Instant,
}

/// Why an exchange ends early.
enum Ended {
    Client(ClientError),
    Server(Failure),
}

impl From<ClientError> for Ended {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Server(failure)
    }
}

impl From<BadAnswer> for Ended {
    fn from(bad: BadAnswer) -> Self {
        Self::Server(bad.into())
    }
}

/// What a server has answered.
enum Said {
    /// An answer whose body follows.
    Answer(FinalHead),
    /// Yes: what follows is the WebSocket.
    WebSocket(Answer),
}

/// Something has happened.
enum Event {
    Turn(Turn),
    /// A piece of the request's body; `None`: that was all.
    Piece(Option<Bytes>),
    /// The server leaves a client without a word that waits for `100 Continue`.
    NoWord,
}

impl Exchange<'_> {
    async fn run<D: Downstream>(mut self, down: &mut D) -> Result<(), Unanswered> {
        let mut fresh = false;
        let failure = loop {
            let ended = match self.connect(down, fresh).await {
                Ok(Reached::Http1(server)) => self.over(down, server).await,
                Ok(Reached::Http2(stream)) => self.over(down, stream).await,
                Err(Ended::Client(error)) => return Err(error.into()),
                Err(Ended::Server(failure)) => break failure,
            };
            match ended {
                Ok(()) => return Ok(()),
                Err(Ended::Client(error)) => return Err(error.into()),
                // The server closed it at this very moment: once more, on a new one.
                Err(Ended::Server(_)) if self.stale => fresh = true,
                // Nothing has been done, so the method does not matter: the same server may be asked again.
                Err(Ended::Server(failure))
                    if failure.is_unprocessed()
                        && self.unprocessed < UNPROCESSED_MAX
                        && self.upload.can_repeat() =>
                {
                    fresh = false;
                    self.unprocessed += 1;
                }
                Err(Ended::Server(failure)) => {
                    fresh = false;
                    let may_repeat =
                        self.may_repeat() || failure.is_unprocessed() && self.upload.can_repeat();
                    if !(failure.is_of_server() && self.pass_over(&failure) && may_repeat) {
                        break failure;
                    }
                    self.note(failure);
                }
            }
        };
        let failure = self.worth_telling(failure);
        let (status, outcome) = failure.verdict();
        self.tell(&failure, down);
        Err(Refused::new(status, outcome).into())
    }

    /// Most servers listen on one address of `localhost`: that nobody listens on another one of them says
    /// nothing where there is a reason why the server cannot be used.
    fn worth_telling(&mut self, failure: Failure) -> Failure {
        let seat = self.seat.as_ref().filter(|seat| seat.is_of_localhost());
        match (failure, self.failure.take()) {
            (Failure::Connect(_), Some((written, before)))
                if seat.is_some_and(|seat| seat.written() == written) =>
            {
                before
            }
            (failure, _) => failure,
        }
    }

    /// Another server is asked because of this.
    fn note(&mut self, failure: Failure) {
        let written = self.seat.as_ref().map(Seat::written);
        self.failure = written.map(|written| (written, failure));
    }

    /// Asks a server on a connection to it, and gives the client what it answers.
    async fn over<S: ServerStream, D: Downstream>(
        &mut self,
        down: &mut D,
        mut server: S,
    ) -> Result<(), Ended> {
        let kept = server.is_kept();
        self.stale = false;
        match self.pass_on(down, &mut server).await {
            Ok(Said::WebSocket(answer)) => {
                let server = server.into_tunnel().ok_or(BadAnswer::Switch)?;
                self.well();
                Ok(self.tunnel(down, server, &answer).await?)
            }
            Ok(Said::Answer(mut head)) => {
                self.upload.forget();
                // What came with the head is looked at first: while nothing is sent the client can still be
                // told.
                let first = server.take_body(&mut head.body)?;
                self.well();
                // A proxy that is to leave has no use for it.
                let kept_max = match self.question.drain.is_draining() {
                    true => 0,
                    false => self.question.upstream.kept_max(),
                };
                match self.pass_back(down, server, head, first, kept_max).await {
                    Err(Ended::Server(failure)) => {
                        // Bytes are out already: the client can only be told by cutting the answer.
                        self.tell(&failure, down);
                        self.record.outcome = Some(failure.verdict().1);
                        Ok(())
                    }
                    ended => ended,
                }
            }
            Err(Ended::Server(failure)) => {
                self.stale = kept
                    && failure.is_loss()
                    && server.is_unheard()
                    && (self.may_repeat() || server.is_unsent() && self.upload.can_begin());
                Err(failure.into())
            }
            Err(gone) => Err(gone),
        }
    }

    fn may_repeat(&self) -> bool {
        self.idempotent && self.upload.can_repeat()
    }

    /// The server is of no use: it is left alone for a while. Answers whether another one may be asked.
    fn pass_over(&mut self, failure: &Failure) -> bool {
        let upstream = self.question.upstream;
        if let Some(seat) = &self.seat {
            let (name, server, at) = (upstream.name(), seat.url(), seat.address());
            // The first of a row: the others say nothing new, and may be as many as there are requests.
            if failure.is_of_stream() {
                tracing::debug!(upstream = name, %server, %at, error = %failure, "upstream server gives no answer");
            } else if seat.rest() {
                tracing::warn!(upstream = name, %server, %at, error = %failure, "upstream server is down");
            } else {
                tracing::debug!(upstream = name, %server, %at, error = %failure, "upstream server is still down");
            }
            self.tried.push(seat.number());
            // Most servers listen on one of the addresses of `localhost`: finding out which is no attempt.
            if matches!(failure, Failure::Connect(_))
                && seat.is_of_localhost()
                && upstream.has_other_address(seat, &self.tried)
            {
                self.free += 1;
            }
        }
        let attempts = self.tried.len().saturating_sub(self.free);
        attempts <= upstream.retries() && (upstream.has_other(&self.tried) || upstream.may_get_more())
    }

    /// The server answers.
    fn well(&self) {
        if let Some(seat) = &self.seat
            && seat.awake()
        {
            let (upstream, server, at) = (self.question.upstream.name(), seat.url(), seat.address());
            tracing::info!(upstream, %server, %at, "upstream server answers again");
        }
    }

    /// Takes a connection that is there, or makes one; passes over servers that cannot be connected to.
    /// `fresh`: makes one.
    async fn connect<D: Downstream>(&mut self, down: &mut D, fresh: bool) -> Result<Reached, Ended> {
        let upstream = self.question.upstream;
        let for_websocket = self.question.upgrade.is_some();
        loop {
            self.seat = None;
            let client = self.question.request.client;
            let seat = match upstream.seat(client, &self.tried) {
                Some(seat) => seat,
                // Rare, so it has no part in the size of every request's future.
                None => Box::pin(self.seat_to_come(down)).await?,
            };
            self.record.upstream = Some(Arc::clone(seat.url()));
            let seat = self.seat.insert(seat);
            // What must not be sent twice is sent on a connection that is surely open.
            if !fresh && let Some(kept) = idle::take(seat.place(), self.asked, !self.idempotent) {
                return Ok(Reached::Http1(kept));
            }
            match open(upstream, seat, !self.idempotent, for_websocket, down).await {
                Ok(server) => return Ok(server),
                // Nothing of the request has been sent, so its method does not matter.
                Err(Ended::Server(failure)) => {
                    if !self.pass_over(&failure) {
                        return Err(failure.into());
                    }
                    self.note(failure);
                }
                Err(gone) => return Err(gone),
            }
        }
    }

    /// Waits for a name that is looked up for the first time, as long as a connect may take.
    async fn seat_to_come<D: Downstream>(&mut self, down: &mut D) -> Result<Seat, Ended> {
        let upstream = self.question.upstream;
        let seat = async {
            select! {
                biased;
                seat = upstream.seat_to_come(self.question.request.client, &self.tried) => Ok(seat),
                () = down.gone() => Err(ClientError::Gone),
            }
        };
        let seat = within(upstream.connect_timeout(), seat)
            .await
            .unwrap_or(Ok(None))?;
        // Where a server failed before, that is the reason.
        seat.ok_or_else(|| {
            let before = self.failure.take().map(|(_, failure)| failure);
            before.unwrap_or(Failure::NoServer).into()
        })
    }

    /// Sends the request, as far as the server takes it, until the head of the answer is there.
    async fn pass_on<D: Downstream>(
        &mut self,
        down: &mut D,
        server: &mut impl ServerStream,
    ) -> Result<Said, Ended> {
        let upgrade = &self.question.upgrade;
        // Whether a client that waits for `100 Continue` is to send its body is the server's decision (RFC
        // 9110 §10.1.1).
        let expect = self.upload.awaits_word();
        self.word_by = Instant::now() + WORD_TIME_MAX;
        server.ask(down.head(), self.question, expect)?;
        self.upload.repeat(server);
        // What is there of the body leaves together with the head.
        if !expect {
            self.read_ahead(down, server).await?;
        }
        let head_only = down.head().method == "HEAD";
        let mut search = Search::default();
        let mut interim = 0;
        loop {
            let event = self.next(down, server).await?;
            if !server.is_unsent() {
                self.upload.has_left();
            }
            match event {
                Event::Turn(Turn::Read(0)) => return Err(Failure::Closed.into()),
                Event::Turn(Turn::Read(_)) => {}
                Event::Turn(Turn::Sent) => continue,
                Event::Piece(piece) => {
                    self.upload.pass(server, piece);
                    continue;
                }
                Event::NoWord => {
                    if self.upload.go_on() {
                        down.send_informational(&Answer::new(100)).await?;
                    }
                    continue;
                }
            }
            loop {
                match server.take_head(&mut search, head_only)? {
                    None => break,
                    Some(AnswerHead::Final(head)) => {
                        if let Some(upgrade) = upgrade {
                            upgrade.refused(&head.answer)?;
                        }
                        return Ok(Said::Answer(head));
                    }
                    Some(AnswerHead::Switch(answer)) => {
                        let upgrade = upgrade.as_ref().ok_or(BadAnswer::Switch)?;
                        return Ok(Said::WebSocket(upgrade.accepted(answer)?));
                    }
                    Some(AnswerHead::Interim(answer)) => {
                        // Progress may be told as long as it takes; over HTTP/2 what a client does not read
                        // is kept.
                        interim += 1;
                        if interim > INTERIM_MAX + self.asked.elapsed().as_secs() {
                            return Err(BadAnswer::Interim.into());
                        }
                        if answer.status != 100 || self.upload.go_on() {
                            down.send_informational(&answer).await?;
                        }
                    }
                }
            }
        }
    }

    /// Sends the answer as it comes; `first` is what of its body has come with the head.
    async fn pass_back<D: Downstream>(
        &mut self,
        down: &mut D,
        mut server: impl ServerStream,
        head: FinalHead,
        mut first: Option<Bytes>,
        kept_max: usize,
    ) -> Result<(), Ended> {
        let FinalHead {
            answer,
            mut body,
            keep,
        } = head;
        // A client that waits for `100 Continue` and gets the answer instead need not send anything any more.
        if self.upload.awaits_word() {
            self.upload.abandon();
        }
        alongside(&mut server, down.send_head(&answer)).await?;
        loop {
            let piece = match first.take() {
                Some(piece) => Some(piece),
                None => server.take_body(&mut body)?,
            };
            if body.is_done() {
                // Others can have it while the client takes the rest.
                if let Some(patience) = keep
                    && self.upload.is_whole()
                    && server.is_reusable()
                    && let Some(seat) = self.seat.take()
                {
                    server.keep(seat.place(), patience, kept_max);
                }
                if let Some(piece) = piece {
                    down.send_body(piece).await?;
                }
                break;
            }
            if let Some(piece) = piece {
                alongside(&mut server, down.send_body(piece)).await?;
                continue;
            }
            self.read_ahead(down, &mut server).await?;
            match self.next(down, &mut server).await? {
                Event::Turn(Turn::Read(0)) if body.close() => break,
                Event::Turn(Turn::Read(0)) => return Err(Failure::Closed.into()),
                Event::Turn(_) | Event::NoWord => {}
                Event::Piece(piece) => self.upload.pass(&mut server, piece),
            }
        }
        Ok(down.end().await?)
    }

    /// Carries the WebSocket to its end.
    async fn tunnel<D: Downstream>(
        &mut self,
        down: &mut D,
        mut server: ServerConnection,
        answer: &Answer,
    ) -> Result<(), ClientError> {
        down.send_head(answer).await?;
        let upstream = self.question.upstream;
        let patience = Patience {
            silence: upstream.tunnel_timeout(),
            client: self.question.client_timeout,
            server: upstream.read_timeout(),
        };
        let end = tunnel::run(down, &mut server, patience, self.question.drain).await;
        let request_id = self.question.request.request_id.as_str();
        tracing::debug!(upstream = upstream.name(), request_id, ?end, "WebSocket ended");
        self.record.outcome = Some(end.outcome());
        if matches!(end, End::Closed | End::Silent) {
            return down.end().await;
        }
        down.cut();
        Ok(())
    }

    /// Whatever comes next: from the server, or from the client.
    async fn next<D: Downstream>(
        &self,
        down: &mut D,
        server: &mut impl ServerStream,
    ) -> Result<Event, Ended> {
        let awaits_word = self.upload.awaits_word();
        if self.upload.reading && !awaits_word && !server.is_sending() {
            // It is the client's turn, which has its own deadline.
            return select! {
                biased;
                turn = server.turn() => Ok(Event::Turn(turn?)),
                piece = down.read_body() => Ok(Event::Piece(piece?)),
            };
        }
        let next = async {
            select! {
                biased;
                turn = server.turn() => Ok(Event::Turn(turn?)),
                () = down.gone() => Err(ClientError::Gone.into()),
            }
        };
        let patience = match awaits_word {
            true => self.word_by.saturating_duration_since(Instant::now()),
            false => self.question.upstream.read_timeout(),
        };
        within(patience, next)
            .await
            .unwrap_or_else(|_| match awaits_word {
                true => Ok(Event::NoWord),
                false => Err(Failure::Silent.into()),
            })
    }

    /// Takes of the request's body what is there, and does not wait for more.
    async fn read_ahead<D: Downstream>(
        &mut self,
        down: &mut D,
        server: &mut impl ServerStream,
    ) -> Result<(), ClientError> {
        if !self.upload.reading || server.is_sending() && self.upload.begun {
            return Ok(());
        }
        if let Some(piece) = down.read_ready().await? {
            self.upload.pass(server, piece);
        }
        Ok(())
    }

    /// For the operator.
    fn tell<D: Downstream>(&self, failure: &Failure, down: &D) {
        let upstream = self.question.upstream.name();
        let server = self.seat.as_ref().map_or("", |seat| seat.url());
        let request_id = self.question.request.request_id.as_str();
        let (status, answered) = (failure.verdict().0, down.answered());
        if matches!(failure, Failure::BadAnswer(BadAnswer::Page)) {
            tracing::debug!(upstream, server, request_id, error = %failure, "request refused");
            return;
        }
        if matches!(failure, Failure::NoServer) {
            // As many as there are requests, and all say the same.
            if let Some(requests) = self.question.upstream.unserved(Instant::now()) {
                tracing::warn!(
                    upstream, request_id, status, requests, error = %failure,
                    "upstream has no server for requests"
                );
            }
            return;
        }
        tracing::warn!(upstream, server, request_id, status, answered, error = %failure, "upstream failed");
    }
}

/// However it ends, also when it is dropped half-way by a drain whose grace is over.
impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let asked = self.asked.elapsed();
        self.record.app_us = Some(u64::try_from(asked.as_micros()).unwrap_or(u64::MAX));
    }
}

/// Connects, while the client waits. `surely`: what is sent cannot be sent again.
async fn open<D: Downstream>(
    upstream: &Upstream,
    seat: &Seat,
    surely: bool,
    for_websocket: bool,
    down: &mut D,
) -> Result<Reached, Ended> {
    let open = async {
        select! {
            biased;
            reached = http2::reach(upstream, seat, surely, for_websocket) => Ok(reached?),
            () = down.gone() => Err(ClientError::Gone.into()),
        }
    };
    within(upstream.connect_timeout(), open)
        .await
        .unwrap_or_else(|_| Err(Failure::ConnectTimeout.into()))
}

/// Waits for the client to take something, while the server takes what waits for it.
async fn alongside<T>(server: &mut impl ServerStream, sending: impl Future<Output = T>) -> T {
    let mut sending = pin!(sending);
    while server.is_sending() {
        select! {
            biased;
            sent = &mut sending => return sent,
            () = server.sent() => {}
        }
    }
    sending.await
}

/// So often a request is sent again to servers that have done nothing with it, besides its `retries`: what
/// shuts down says so on each of its connections.
const UNPROCESSED_MAX: usize = 3;

/// A server that leaves a client that waits for `100 Continue` without a word for this long does not know it:
/// curl and others do not wait longer for it, either.
const WORD_TIME_MAX: Duration = Duration::from_secs(1);
