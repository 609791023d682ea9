//! A WebSocket between a client and a worker.
//!
//! [`App::open_websocket`] asks the worker; when it accepts, a [`Conversation`] carries messages both ways until one side
//! closes. The client's bytes are read only as far as the worker has granted credit for, so a slow application slows its
//! client down by TCP's own means. The worker is granted as much as the client has taken; what waits for a slow client
//! is one window ([`WINDOW`](wire::frame::WINDOW)) at most, and a client that takes nothing for `body_timeout` is cut.
//!
//! All that came in one reading goes to the worker together, and all that the worker has said goes to the client in one write.
//!
//! A WSGI application speaks the protocol itself, if it does: that is [`bridge`].

mod accept;
mod bridge;
mod conversation;
mod keepalive;
mod line;

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use logs::{Outcome, Record};
use message::{
    client_error::ClientError,
    downstream::Downstream,
    head::Version,
    refused::{Refused, Unanswered},
};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error};
use websocket::{
    handshake::{self, BadHandshake},
    reader::Reader,
};
use wire::response::Response;

use self::{accept::accept, conversation::Conversation, keepalive::Keepalive, line::Line};
use super::{
    App,
    app_request::AppRequest,
    call::{Call, Event},
    exchange::{self, Ticket},
    request_body::RequestBody,
    request_frame::{self, Interface, Placed},
};

impl App {
    /// Does the application know WebSockets?
    pub(crate) fn takes_websockets(&self) -> bool {
        self.websocket.is_some()
    }

    /// Answers a request for a WebSocket, and carries it to its end.
    pub(crate) async fn open_websocket<D: Downstream>(
        &self,
        down: &mut D,
        asked: &AppRequest<'_>,
        record: &mut Record,
    ) -> Result<(), Unanswered> {
        let AppRequest {
            request,
            listener,
            drain,
            ..
        } = *asked;
        record.app = Some(Arc::clone(&self.name));
        let Some(config) = &self.websocket else {
            return Ok(());
        };
        let handshake = match handshake::check(down.head(), config.compression) {
            Ok(handshake) => handshake,
            Err(bad) => return Err(self.bad_handshake(bad).into()),
        };
        let body = RequestBody::default();
        let placed = Placed::of(down, asked);
        let frame = request_frame::write(&placed, &body, self.request_timeout, Interface::WebSocket);
        let call = Arc::new(Call::new(frame, None));
        let mut ticket = self.ask(call)?;
        let mut leaving = false;
        let payload = loop {
            let event = tokio::select! {
                biased;
                event = ticket.call.event() => event,
                () = down.gone() => {
                    exchange::tell(record, &ticket.call);
                    return Err(ClientError::Gone.into());
                }
            };
            match event {
                Event::Accept(payload) => break payload,
                Event::Leaving => leaving = true,
                Event::Response { payload, .. }
                    if says_200(&payload) && down.head().version == Version::Http2 =>
                {
                    // A denial with such a status would be an acceptance to the client.
                    error!(app = %self.name, request_id = %request.request_id, "WebSocket neither accepted nor denied: status 2xx");
                    exchange::tell(record, &ticket.call);
                    return Err(Refused::new(500, Outcome::AppFailed).into());
                }
                // It is denied, or nothing came of it: an answer like any other.
                other => {
                    ticket.call.put_back(other);
                    let outcome = ticket.pass_on(down, false, record).await;
                    exchange::tell(record, &ticket.call);
                    return outcome;
                }
            }
        };
        ticket.over = true;
        let line = Line::new(self, ticket.id, Arc::clone(&ticket.call));
        let answer = match accept(&payload, down.head(), &handshake) {
            Ok(answer) => answer,
            Err(cause) => {
                error!(app = %self.name, request_id = %request.request_id, %cause, "WebSocket acceptance refused");
                exchange::tell(record, &ticket.call);
                return Err(Refused::new(500, Outcome::AppFailed).into());
            }
        };
        record.status = Some(answer.status);
        down.send_head(&answer).await?;
        let deflate = handshake.deflate;
        let reader = Reader::new(config.message_bytes_max, deflate.is_some());
        let keepalive = Keepalive::new(self.keepalive, Instant::now());
        let mut conversation = Conversation::new(
            line,
            down,
            reader,
            deflate,
            keepalive,
            listener.limits.body_timeout,
        );
        if leaving {
            conversation.leave(Instant::now());
        }
        let mut draining = pin!(drain.draining());
        let mut timer = pin!(sleep_until(Instant::now()));
        let end = poll_fn(|cx| conversation.poll(cx, draining.as_mut(), timer.as_mut())).await;
        drop(conversation);
        exchange::tell(record, &ticket.call);
        Ok(end.carry_out(down, record).await?)
    }

    fn bad_handshake(&self, bad: BadHandshake) -> Refused {
        debug!(app = %self.name, why = bad.why, "WebSocket refused");
        let refused = Refused::new(bad.status, Outcome::Refused);
        match bad.status {
            426 => refused
                .with("upgrade", "websocket")
                .with("sec-websocket-version", "13"),
            _ => refused,
        }
    }

    /// Queues a request for a WebSocket. It runs once: WebSocket clients reconnect, and one that was greeted
    /// by a worker that died need not be greeted twice.
    fn ask(&self, call: Arc<Call>) -> Result<Ticket<'_>, Refused> {
        match self.submit(&call, false) {
            Ok(id) => Ok(Ticket {
                app: self,
                id,
                call,
                over: false,
                reading: false,
                begun: false,
            }),
            Err((refusal, retry_after_s)) => Err(self.not_queued(refusal, retry_after_s)),
        }
    }
}

/// How a WebSocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing more is to be read or written.
    Closed(Outcome),
    /// The connection is to be cut.
    Cut(Outcome),
}

impl End {
    async fn carry_out<D: Downstream>(self, down: &mut D, record: &mut Record) -> Result<(), ClientError> {
        match self {
            Self::Closed(outcome) => {
                record.outcome = Some(outcome);
                down.end().await
            }
            Self::Cut(outcome) => {
                record.outcome = Some(outcome);
                down.cut();
                Ok(())
            }
        }
    }
}

/// A client has this long to answer our close frame: a round trip on a bad line, and what it still had to
/// send before.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// What the worker says is taken while less than this waits for the client.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

fn says_200(payload: &[u8]) -> bool {
    Response::decode(payload).is_ok_and(|(response, _)| response.status < 300)
}
