//! A WebSocket whose application speaks the protocol itself.
//!
//! Under WSGI there is no interface for WebSockets, but there are libraries that take the client's connection
//! from under the server. A worker gives them one end of a socket pair and us the other one
//! ([`Kind::Socket`](wire::frame::Kind::Socket)). What the application writes there before its ordinary
//! answer is its answer: a head of status 101, which is checked and becomes ours, and then bytes both ways
//! ([`traffic`]). One that leaves the socket alone is answered for as ever, so that nothing changes for an
//! application that knows no WebSockets.
//!
//! The kernel's buffers and ours are all that is between client and application: who does not read stops the
//! other one.

mod app_end;
mod head;
mod traffic;

use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::Arc,
};

use bytes::Buf;
use logs::{Outcome, Record};
use message::{
    answer::Answer,
    client_error::ClientError,
    downstream::Downstream,
    head::Version,
    refused::{Refused, Unanswered},
};
use tokio::time::{Instant, sleep_until};
use tracing::error;
use websocket::handshake::{self, Handshake};

use self::{app_end::AppEnd, head::BadHead, traffic::Traffic};
use super::says_200;
use crate::app::{
    App,
    app_request::AppRequest,
    call::{Call, Event},
    exchange::{self, Ticket},
    request_body::RequestBody,
    request_frame::{self, Interface, Placed},
    websocket::keepalive::Keepalive,
};

/// What came of a request before anything was sent to its client.
enum Asked {
    /// The application has written its head.
    Switched(Box<Switched>),
    /// It has written something else to its socket.
    Bad(BadHead),
    /// It answers as any other.
    Answers,
}

/// The application's head is there.
struct Switched {
    answer: Answer,
    app: AppEnd,
    /// The worker is to be left.
    leaving: bool,
}

impl App {
    /// Answers a request for a WebSocket to an application that may speak the protocol itself, and carries it
    /// to its end.
    pub(crate) async fn open_bridge<D: Downstream>(
        &self,
        down: &mut D,
        asked: &AppRequest<'_>,
        record: &mut Record,
    ) -> Result<(), Unanswered> {
        record.app = Some(Arc::clone(&self.name));
        let http2 = down.head().version == Version::Http2;
        // Extensions are between client and application.
        let (key, accept) = match handshake::check(down.head(), false) {
            Ok(Handshake {
                accept: Some(accept), ..
            }) => (String::new(), accept),
            Ok(Handshake { accept: None, .. }) => {
                let key = handshake::made_up_key();
                let accept = handshake::accept(key.as_bytes());
                (key, accept)
            }
            // Whatever it is, it is a request.
            Err(_) if !http2 => return self.answer(down, asked, true, record).await,
            Err(bad) => return Err(self.bad_handshake(bad).into()),
        };
        let frame = request_frame::write(
            &Placed::of(down, asked),
            &RequestBody::default(),
            self.request_timeout,
            Interface::WsgiSocket(&key),
        );
        let call = Arc::new(Call::new(frame, None));
        let mut ticket = self.ask(call)?;
        let outcome = match ticket.head(down, &accept).await {
            Ok(Asked::Switched(switched)) => self.bridge(down, asked, record, &mut ticket, *switched).await,
            Ok(Asked::Bad(cause)) => {
                error!(
                    app = %self.name, request_id = %asked.request.request_id, %cause,
                    "WebSocket refused: the application answered wrongly on its socket"
                );
                Err(Refused::new(502, Outcome::AppFailed).into())
            }
            Ok(Asked::Answers) => match ticket.call.event().await {
                Event::Response { payload, .. } if http2 && says_200(&payload) => {
                    // To the client any such status is an acceptance. It has asked a page for a WebSocket.
                    Err(Refused::new(501, Outcome::Refused).into())
                }
                event => {
                    ticket.call.put_back(event);
                    ticket.pass_on(down, false, record).await
                }
            },
            Err(error) => Err(error.into()),
        };
        exchange::tell(record, &ticket.call);
        outcome
    }

    /// The application has answered: carries bytes until one side has enough.
    async fn bridge<D: Downstream>(
        &self,
        down: &mut D,
        asked: &AppRequest<'_>,
        record: &mut Record,
        ticket: &mut Ticket<'_>,
        switched: Switched,
    ) -> Result<(), Unanswered> {
        let Switched {
            answer,
            mut app,
            leaving,
        } = switched;
        if !ticket.over {
            let started_ns = self.turn(|state, _| state.dispatcher.switched(ticket.id));
            ticket.call.started(started_ns);
        }
        record.status = Some(answer.status);
        down.send_head(&answer).await?;
        let keepalive = Keepalive::new(self.keepalive, Instant::now());
        let end = {
            let mut traffic = Traffic::new(
                ticket,
                down,
                &mut app,
                keepalive,
                asked.listener.limits.body_timeout,
            );
            if leaving {
                traffic.leave();
            }
            let mut draining = pin!(asked.drain.draining());
            let mut timer = pin!(sleep_until(Instant::now()));
            poll_fn(|cx| traffic.poll(cx, draining.as_mut(), timer.as_mut())).await
        };
        if !ticket.over && !app.closed {
            let rest = std::mem::take(down.input());
            tokio::spawn(app.dismiss(rest));
        }
        Ok(end.carry_out(down, record).await?)
    }
}

impl Ticket<'_> {
    /// Waits for what the application says first, and where.
    async fn head<D: Downstream>(&mut self, down: &mut D, accept: &str) -> Result<Asked, ClientError> {
        let mut app: Option<AppEnd> = None;
        let mut leaving = false;
        loop {
            let event = tokio::select! {
                biased;
                event = self.call.event() => Some(event),
                () = filled(&mut app) => None,
                () = down.gone() => return Err(ClientError::Gone),
            };
            let answered = match event {
                None => false,
                Some(Event::Leaving) => {
                    leaving = true;
                    continue;
                }
                Some(Event::Socket(socket)) if app.is_none() => {
                    app = Some(AppEnd::new(socket).map_err(|cause| {
                        error!(%cause, "socket of a worker cannot be watched");
                        ClientError::Gone
                    })?);
                    continue;
                }
                Some(Event::Socket(_)) => {
                    // It has one.
                    self.app.give_up(self.id);
                    return Ok(Asked::Answers);
                }
                Some(event) => {
                    let failed = matches!(event, Event::Fail(_));
                    self.call.put_back(event);
                    if failed {
                        return Ok(Asked::Answers);
                    }
                    true
                }
            };
            let Some(mut end) = app.take() else {
                return Ok(Asked::Answers);
            };
            if answered {
                // What the application wrote before it said something else, or ended, is there.
                end.fill_head_now().await;
            }
            if !end.head.is_empty() {
                match head::read(&end.head, down.head(), accept) {
                    Ok(Some((answer, len))) => {
                        end.head.advance(len);
                        return Ok(Asked::Switched(Box::new(Switched {
                            answer,
                            app: end,
                            leaving,
                        })));
                    }
                    Ok(None) if answered || end.closed => return Ok(Asked::Bad(BadHead::Half)),
                    Ok(None) => {}
                    Err(cause) => return Ok(Asked::Bad(cause)),
                }
            } else if answered {
                return Ok(Asked::Answers);
            }
            app = Some(end);
        }
    }
}

/// Resolves when more of the application's head has come, or its end.
async fn filled(app: &mut Option<AppEnd>) {
    match app {
        Some(app) if !app.closed => app.fill_head().await,
        _ => pending().await,
    }
}
