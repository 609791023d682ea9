//! One request from its body to the end of its answer.

use std::{future::Future, pin::pin, sync::Arc};

use bytes::Bytes;
use logs::{Outcome, Record};
use message::{
    answer::Answer,
    client_error::ClientError,
    downstream::Downstream,
    head::BodyLength,
    refused::{Refused, Unanswered},
};
use tracing::{debug, error};

use super::{
    App,
    answer_head::{self, AnswerHead},
    app_request::AppRequest,
    backlog::Next,
    call::{Call, Event},
    dispatcher::{CallId, Refusal},
    fault::Fault,
    flow::{Absorbed, Flow},
    request_body::{self, BodyError},
    request_frame::{self, Interface, Placed},
};

/// A request that is with the dispatcher. When it is dropped before its answer is complete, it is taken back or
/// cancelled, however the task ended.
pub(super) struct Ticket<'a> {
    pub(super) app: &'a App,
    pub(super) id: CallId,
    pub(super) call: Arc<Call>,
    /// Nothing more comes.
    pub(super) over: bool,
    /// The request's body is still being read, and goes to the worker as it comes.
    pub(super) reading: bool,
    /// Something of it was read.
    pub(super) begun: bool,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.app.leave(self.id);
        }
    }
}

impl App {
    /// Answers a request with what the application says.
    pub(crate) async fn answer<D: Downstream>(
        &self,
        down: &mut D,
        asked: &AppRequest<'_>,
        request_buffering: bool,
        record: &mut Record,
    ) -> Result<(), Unanswered> {
        record.app = Some(Arc::clone(&self.name));
        let mut upload = None;
        let body = if !request_buffering && down.head().body != BodyLength::Known(0) {
            let (body, follows) = request_body::read_ready(down).await?;
            upload = follows;
            body
        } else {
            match request_body::read(down, &self.buffers, &self.slabs).await {
                Ok(body) => body,
                Err(BodyError::Client(error)) => return Err(error.into()),
                Err(BodyError::Storage(cause)) => {
                    let (id, directory) = (&asked.request.request_id, self.buffers.directory.display());
                    error!(app = %self.name, %directory, %cause, request_id = %id, "request body cannot be stored");
                    return Err(Refused::new(507, Outcome::Internal).into());
                }
                Err(BodyError::Memory) => {
                    debug!(app = %self.name, "no memory for the request body");
                    return Err(Refused::new(503, Outcome::Overload)
                        .with("retry-after", "1")
                        .into());
                }
            }
        };
        let head = down.head();
        let placed = Placed::of(down, asked);
        let frame = request_frame::write(
            &placed,
            &body,
            self.request_timeout,
            match self.websocket {
                Some(_) => Interface::Asgi,
                None => Interface::Wsgi,
            },
        );
        let idempotent = head.is_idempotent();
        let head_only = head.method == "HEAD";
        let mut call = Call::new(frame, body.stored);
        let reading = upload.is_some();
        if let Some(upload) = upload {
            call = call.with_upload(upload);
        }
        let call = Arc::new(call);
        let id = match self.submit(&call, idempotent) {
            Ok(id) => id,
            Err((refusal, retry_after_s)) => return Err(self.not_queued(refusal, retry_after_s).into()),
        };
        let mut ticket = Ticket {
            app: self,
            id,
            call,
            over: false,
            reading,
            begun: false,
        };
        let outcome = ticket.pass_on(down, head_only, record).await;
        tell(record, &ticket.call);
        outcome
    }

    /// Nobody is there for a request, or too many others are.
    pub(super) fn not_queued(&self, refusal: Refusal, retry_after_s: u64) -> Refused {
        debug!(app = %self.name, ?refusal, "request refused");
        let outcome = match refusal {
            Refusal::Full | Refusal::Down => Outcome::Overload,
        };
        Refused::new(503, outcome).with("retry-after", retry_after_s.to_string())
    }
}

impl Ticket<'_> {
    pub(super) async fn pass_on<D: Downstream>(
        &mut self,
        down: &mut D,
        head_only: bool,
        record: &mut Record,
    ) -> Result<(), Unanswered> {
        let (payload, end) = loop {
            let fault = match self.next(down).await? {
                Event::Response { payload, end } => break (payload, end),
                Event::Informational(payload) => match answer_head::informational(&payload) {
                    Ok(answer) => {
                        down.send_informational(&answer).await?;
                        continue;
                    }
                    Err(cause) => {
                        error!(app = %self.app.name, %cause, "informational response refused");
                        Fault::BadAnswer
                    }
                },
                Event::Credit(_) | Event::Leaving => continue,
                Event::Fail(failure) => Fault::Failed(failure),
                Event::Abort(reason) => Fault::Aborted(reason),
                _ => {
                    self.app.give_up(self.id);
                    Fault::BadAnswer
                }
            };
            self.over = fault != Fault::BadAnswer;
            return Err(self.refused(fault).into());
        };
        self.over = end;
        let AnswerHead {
            answer,
            body_bytes,
            first,
            left_to_us,
        } = match answer_head::read(&payload, end, head_only) {
            Ok(head) => head,
            Err(cause) => {
                error!(app = %self.app.name, %cause, "answer refused");
                return Err(self.refused(Fault::BadAnswer).into());
            }
        };
        if let Some(field) = left_to_us {
            self.app.tell_left_to_us(field, &self.call);
        }
        record.status = Some(answer.status);
        drop(payload);
        let mut flow = Flow::new(&self.app.buffers, &self.app.spare, body_bytes);
        flow.take(first);
        if flow.backlog.is_beyond() {
            self.app.tell_beyond(&self.call);
            if !self.over {
                self.app.leave(self.id);
                self.over = true;
            }
            return Err(self.refused(Fault::Crowded).into());
        }
        if let Some(fault) = self.send(down, &answer, &mut flow).await? {
            // Bytes are out already: the client can only be told by cutting the answer.
            record.outcome = Some(fault.verdict().1);
        }
        Ok(())
    }

    /// Sends the answer as it comes. A fault means that it was cut.
    async fn send<D: Downstream>(
        &mut self,
        down: &mut D,
        answer: &Answer,
        flow: &mut Flow<'_>,
    ) -> Result<Option<Fault>, ClientError> {
        self.alongside(flow, down.send_head(answer)).await?;
        loop {
            self.grant(flow);
            self.read_ahead(down).await?;
            match flow.backlog.pop() {
                Some(Next::Bytes(bytes)) => self.alongside(flow, down.send_body(bytes)).await?,
                Some(Next::Spilled(file, offset, len)) => {
                    self.alongside(flow, down.send_file(&file, offset, len)).await?;
                    flow.backlog.sent(len);
                }
                Some(Next::File(file, range)) => {
                    let sending = down.send_file(file.file(), range.offset, range.len);
                    self.alongside(flow, sending).await?;
                    drop(file);
                    flow.backlog.file_sent();
                }
                None if self.over => break,
                None => {
                    let event = self.next(down).await?;
                    self.absorb(flow, event);
                }
            }
        }
        if flow.is_whole() {
            match &flow.trailers {
                Some(trailers) => down.end_with(trailers).await?,
                None => down.end().await?,
            }
            return Ok(None);
        }
        // An answer shorter than its Content-Length is the application's fault as well.
        Ok(Some(flow.fault.unwrap_or(Fault::BadAnswer)))
    }

    /// Waits for the client to take something, and takes from the worker meanwhile.
    async fn alongside<T>(&mut self, flow: &mut Flow<'_>, sending: impl Future<Output = T>) -> T {
        let mut sending = pin!(sending);
        loop {
            if self.over {
                return sending.await;
            }
            let call = Arc::clone(&self.call);
            tokio::select! {
                biased;
                result = &mut sending => return result,
                event = call.event() => {
                    self.absorb(flow, event);
                    self.grant(flow);
                }
            }
        }
    }

    fn absorb(&mut self, flow: &mut Flow<'_>, event: Event) {
        match flow.absorb(event) {
            Absorbed::More => {}
            Absorbed::Last => self.over = true,
            Absorbed::Strange => {
                self.app.give_up(self.id);
                self.over = true;
            }
            Absorbed::Beyond => {
                self.app.tell_beyond(&self.call);
                self.app.leave(self.id);
                self.over = true;
            }
        }
    }

    /// Whatever comes next: from the worker, or from the client.
    async fn next<D: Downstream>(&mut self, down: &mut D) -> Result<Event, ClientError> {
        loop {
            if !self.reading {
                return tokio::select! {
                    biased;
                    event = self.call.event() => Ok(event),
                    () = down.gone() => Err(ClientError::Gone),
                };
            }
            if self.may_read() {
                let piece = tokio::select! {
                    biased;
                    event = self.call.event() => return Ok(event),
                    piece = down.read_body() => piece?,
                };
                self.pass_up(piece);
                continue;
            }
            tokio::select! {
                biased;
                event = self.call.event() => return Ok(event),
                () = self.call.room() => {}
                () = down.gone() => return Err(ClientError::Gone),
            }
        }
    }

    /// Between two pieces of the answer: takes of the request's body what is there, and does not wait for more.
    async fn read_ahead<D: Downstream>(&mut self, down: &mut D) -> Result<(), ClientError> {
        while self.reading && !self.over && self.may_read() {
            match down.read_ready().await? {
                Some(piece) => self.pass_up(piece),
                None => break,
            }
        }
        Ok(())
    }

    fn may_read(&self) -> bool {
        self.call.upload().is_some_and(|upload| upload.has_room())
    }

    /// A piece of the request's body goes to the worker; `None`: there is no more.
    fn pass_up(&mut self, piece: Option<Bytes>) {
        self.begun = true;
        self.reading = piece.is_some();
        self.app.upload(self.id, &self.call, piece);
    }

    fn grant(&self, flow: &mut Flow<'_>) {
        if !self.over
            && let Some(bytes) = flow.backlog.credit()
        {
            self.app.grant(self.id, &self.call, bytes);
        }
    }

    fn refused(&self, fault: Fault) -> Refused {
        let (status, outcome) = fault.verdict();
        let refused = Refused::new(status, outcome);
        match status {
            503 => refused.with("retry-after", self.app.retry_after_s().to_string()),
            _ => refused,
        }
    }
}

/// Notes who worked on the request, and for how long.
pub(super) fn tell(record: &mut Record, call: &Call) {
    let course = call.course();
    let Some((slot, pid)) = course.worker else {
        let waited = record.elapsed();
        record.queue_us = Some(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        return;
    };
    record.worker = Some(slot);
    record.pid = Some(pid);
    // What waited inside the worker waited as well.
    let ended_ns = course.ended_ns.unwrap_or_else(super::now_ns);
    // The worker writes when it started, which may be anything.
    let prefetched_ns = course.started_ns.map_or(0, |started_ns| {
        started_ns.min(ended_ns).saturating_sub(course.sent_ns)
    });
    record.queue_us = Some((course.waited_ns + prefetched_ns) / 1000);
    record.app_us = Some(ended_ns.saturating_sub(course.sent_ns + prefetched_ns) / 1000);
}
