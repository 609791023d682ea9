//! One request from its body to the end of its answer.

use std::{future::Future, pin::pin, sync::Arc};

use bytes::Bytes;
use logs::{Outcome, Record};
use tracing::{debug, error};
use wire::frame::AbortReason;

use crate::{
    answer::Answer,
    context::Context,
    downstream::{ClientError, Downstream},
    errors,
    request::Request,
};

use super::{
    App,
    answer_head::{self, AnswerHead},
    backlog::{Backlog, Next},
    call::{Call, Event},
    dispatcher::{CallId, Failure, Refusal},
    request_body::{self, BodyError},
    request_frame,
};

/// Methods that may be run twice when a worker died over the first time (RFC 9110 §9.2.2).
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"];

/// Why there is no (whole) answer from the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Failed(Failure),
    Aborted(AbortReason),
    /// The answer itself is against the rules.
    BadAnswer,
}

impl Fault {
    /// Status and blame.
    fn verdict(self) -> (u16, Outcome) {
        match self {
            Self::Failed(Failure::QueueTimeout | Failure::Down) => (503, Outcome::Overload),
            Self::Failed(Failure::Timeout) => (504, Outcome::Timeout),
            // Given back although it was started: as good as dead.
            Self::Failed(Failure::WorkerDied)
            | Self::Aborted(AbortReason::NotStarted | AbortReason::Cancelled) => (502, Outcome::WorkerDied),
            Self::Aborted(AbortReason::Exception | AbortReason::Protocol) => (500, Outcome::AppFailed),
            Self::BadAnswer => (502, Outcome::AppFailed),
        }
    }
}

/// A request that is with the dispatcher. When it is dropped before its answer is complete, it is taken back or
/// cancelled, however the task ended.
struct Ticket<'a> {
    app: &'a App,
    id: CallId,
    call: Arc<Call>,
    /// Nothing more comes.
    over: bool,
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
        context: &Context,
        down: &mut D,
        request: &Request,
        mount: &str,
        record: &mut Record,
    ) -> Result<(), ClientError> {
        record.app = Some(Arc::clone(&self.name));
        let body = match request_body::read(down, &self.buffers).await {
            Ok(body) => body,
            Err(BodyError::Client(error)) => return Err(error),
            Err(BodyError::Storage(cause)) => {
                let (id, directory) = (&request.request_id, self.buffers.directory.display());
                error!(app = %self.name, %directory, %cause, request_id = %id, "request body cannot be stored");
                errors::refuse(context, down, record, 507, Outcome::Internal, &[]).await;
                return Ok(());
            }
        };
        let head = down.head();
        let frame = request_frame::write(
            head,
            down.connection(),
            request,
            mount,
            &body,
            self.request_timeout,
        );
        let idempotent = IDEMPOTENT.contains(&head.method.as_str());
        let head_only = head.method == "HEAD";
        let call = Arc::new(Call::new(frame, body.file));
        let id = match self.submit(&call, idempotent) {
            Ok(id) => id,
            Err((refusal, retry_after_s)) => {
                debug!(app = %self.name, ?refusal, "request refused");
                let after = retry_after_s.to_string();
                let outcome = match refusal {
                    Refusal::Full | Refusal::Down => Outcome::Overload,
                };
                errors::refuse(context, down, record, 503, outcome, &[("retry-after", &after)]).await;
                return Ok(());
            }
        };
        let mut ticket = Ticket {
            app: self,
            id,
            call,
            over: false,
        };
        let outcome = ticket.pass_on(context, down, head_only, record).await;
        tell(record, &ticket.call);
        outcome
    }
}

impl Ticket<'_> {
    async fn pass_on<D: Downstream>(
        &mut self,
        context: &Context,
        down: &mut D,
        head_only: bool,
        record: &mut Record,
    ) -> Result<(), ClientError> {
        let first = tokio::select! {
            biased;
            event = self.call.event() => event,
            () = down.gone() => return Err(ClientError::Gone),
        };
        let (payload, end) = match first {
            Event::Response { payload, end } => (payload, end),
            other => {
                let fault = match other {
                    Event::Fail(failure) => Fault::Failed(failure),
                    Event::Abort(reason) => Fault::Aborted(reason),
                    _ => {
                        self.app.give_up(self.id);
                        Fault::BadAnswer
                    }
                };
                self.over = fault != Fault::BadAnswer;
                self.refuse(context, down, record, fault).await;
                return Ok(());
            }
        };
        self.over = end;
        let AnswerHead {
            answer,
            body_bytes,
            first,
        } = match answer_head::read(&payload, end, head_only) {
            Ok(head) => head,
            Err(cause) => {
                error!(app = %self.app.name, %cause, "answer refused");
                self.refuse(context, down, record, Fault::BadAnswer).await;
                return Ok(());
            }
        };
        record.status = Some(answer.status);
        drop(payload);
        let mut flow = Flow {
            backlog: Backlog::new(&self.app.buffers),
            left: body_bytes,
            fault: None,
        };
        flow.take(first);
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
            match flow.backlog.pop() {
                Some(Next::Bytes(bytes)) => self.alongside(flow, down.send_body(bytes)).await?,
                Some(Next::File(file, offset, len, ours)) => {
                    self.alongside(flow, down.send_file(&file, offset, len)).await?;
                    if ours {
                        flow.backlog.sent(len);
                    }
                }
                None if self.over => break,
                None => {
                    let event = tokio::select! {
                        biased;
                        event = self.call.event() => event,
                        () = down.gone() => return Err(ClientError::Gone),
                    };
                    self.absorb(flow, event);
                }
            }
        }
        if flow.fault.is_none() && flow.left.is_none_or(|left| left == 0) {
            down.end().await?;
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
        match event {
            Event::Data { bytes, end } => {
                self.over = end;
                flow.take(bytes);
            }
            Event::File { file, range, end } => {
                self.over = end;
                let len = flow.fits(range.len);
                flow.backlog.push_file(
                    file,
                    wire::frame::FileRange {
                        offset: range.offset,
                        len,
                    },
                );
            }
            Event::Abort(reason) => {
                self.over = true;
                flow.fault = Some(Fault::Aborted(reason));
            }
            Event::Fail(failure) => {
                self.over = true;
                flow.fault = Some(Fault::Failed(failure));
            }
            // Credit for a request that is with the worker already.
            Event::Credit(_) => {}
            Event::Response { .. }
            | Event::Informational(_)
            | Event::Trailers(_)
            | Event::Accept(_)
            | Event::Message { .. }
            | Event::Close(_) => {
                self.app.give_up(self.id);
                self.over = true;
                flow.fault = Some(Fault::BadAnswer);
            }
        }
    }

    fn grant(&self, flow: &mut Flow<'_>) {
        if !self.over
            && let Some(bytes) = flow.backlog.credit()
        {
            self.app.grant(self.id, &self.call, bytes);
        }
    }

    async fn refuse<D: Downstream>(
        &self,
        context: &Context,
        down: &mut D,
        record: &mut Record,
        fault: Fault,
    ) {
        let (status, outcome) = fault.verdict();
        if status == 503 {
            let after = self.app.retry_after_s().to_string();
            errors::refuse(context, down, record, status, outcome, &[("retry-after", &after)]).await;
        } else {
            errors::refuse(context, down, record, status, outcome, &[]).await;
        }
    }
}

/// An answer on its way through.
struct Flow<'a> {
    backlog: Backlog<'a>,
    /// Body bytes that may still come; `None`: any number.
    left: Option<u64>,
    fault: Option<Fault>,
}

impl Flow<'_> {
    fn take(&mut self, mut bytes: Bytes) {
        let fits = self.fits(bytes.len() as u64);
        bytes.truncate(fits as usize);
        self.backlog.push(bytes);
    }

    /// Never more than was announced: what is too much would be taken for the next answer.
    fn fits(&mut self, len: u64) -> u64 {
        match &mut self.left {
            None => len,
            Some(left) => {
                let fits = len.min(*left);
                *left -= fits;
                fits
            }
        }
    }
}

/// Notes who worked on the request, and for how long.
fn tell(record: &mut Record, call: &Call) {
    let course = call.course();
    let Some((slot, pid)) = course.worker else {
        let waited = record.elapsed();
        record.queue_us = Some(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        return;
    };
    record.worker = Some(slot);
    record.pid = Some(pid);
    // What waited inside the worker waited as well.
    let prefetched_ns = course
        .started_ns
        .map_or(0, |started_ns| started_ns.saturating_sub(course.sent_ns));
    record.queue_us = Some((course.waited_ns + prefetched_ns) / 1000);
    let ended_ns = course.ended_ns.unwrap_or_else(super::now_ns);
    record.app_us = Some(ended_ns.saturating_sub(course.sent_ns + prefetched_ns) / 1000);
}
