//! One request on its way to a WebSocket behind us: what pingora calls the context.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use config::{Action, Route, UpstreamRoute};
use logs::{OpenRecord, Outcome};

use super::fence::Fault;
use crate::{
    connection::Connection,
    context::Context,
    downstream::ClientError,
    request::Request,
    serve::UpgradeCall,
    upstream::{Seat, Upstream},
};

/// One request on its way to an upstream and back.
pub(crate) struct Exchange {
    pub(super) context: Arc<Context>,
    pub(super) connection: Arc<Connection>,
    pub(super) call: Box<UpgradeCall>,
    pub(super) upstream: Arc<Upstream>,
    /// The line is written when this is finished or dropped.
    record: Option<OpenRecord>,
    pub(super) fault: Fault,
    seat: Option<Seat>,
    /// Servers that could not be connected to.
    tried: Vec<usize>,
    asked: Option<Instant>,
    /// Bytes the client has sent behind the head.
    body_bytes: u64,
}

/// Where an exchange waits for pingora to take it: pingora makes its context out of nothing.
pub(crate) type Waiting = Arc<Mutex<Option<Box<Exchange>>>>;

tokio::task_local! {
    /// The exchange of the request that this task gives to pingora.
    static WAITING: Waiting;
}

impl Exchange {
    /// `None`: the call's route does not lead to an upstream, which the router does not do.
    pub(crate) fn new(
        context: &Arc<Context>,
        connection: &Arc<Connection>,
        call: Box<UpgradeCall>,
        record: OpenRecord,
        fault: Fault,
    ) -> Option<Box<Self>> {
        let route = context.config.sites.get(call.site)?.routes.get(call.route)?;
        let Action::Upstream(UpstreamRoute { upstream, .. }) = &route.action else {
            return None;
        };
        Some(Box::new(Self {
            upstream: Arc::clone(context.upstreams.get(upstream.0)?),
            context: Arc::clone(context),
            connection: Arc::clone(connection),
            call,
            record: Some(record),
            fault,
            seat: None,
            tried: Vec::new(),
            asked: None,
            body_bytes: 0,
        }))
    }

    /// Runs pingora with this exchange as its context; gives it back when pingora never took it.
    pub(super) async fn scope<F: Future>(self: Box<Self>, pingora: F) -> (F::Output, Option<Box<Self>>) {
        let waiting = Waiting::new(Mutex::new(Some(self)));
        let output = WAITING.scope(Arc::clone(&waiting), pingora).await;
        let left = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        (output, left)
    }

    /// The exchange of the running task.
    pub(super) fn take_waiting() -> Option<Box<Self>> {
        WAITING
            .try_with(|waiting| waiting.lock().unwrap_or_else(PoisonError::into_inner).take())
            .ok()
            .flatten()
    }

    /// The route that the request took.
    pub(super) fn route(&self) -> &Route {
        &self.context.config.sites[self.call.site].routes[self.call.route]
    }

    /// Prefix cut from the path; "" leaves the target as the client sent it.
    pub(super) fn strip(&self) -> &str {
        match &self.route().action {
            Action::Upstream(route) => &route.strip,
            _ => "",
        }
    }

    /// The request as understood.
    pub(super) fn request(&self) -> &Request {
        &self.call.request
    }

    /// Takes a place at a server.
    pub(super) fn take_seat(&mut self) -> Option<&Seat> {
        self.seat = None;
        let seat = self.upstream.seat(&self.tried)?;
        self.asked.get_or_insert_with(Instant::now);
        if let Some(record) = &mut self.record {
            record.upstream = Some(Arc::clone(seat.url()));
        }
        Some(self.seat.insert(seat))
    }

    /// The connect succeeded.
    pub(super) fn connected(&self) {
        if let Some(seat) = &self.seat {
            seat.awake();
        }
    }

    /// The connect failed; says whether another server is worth a try. Nothing of the request has been sent, so its
    /// method does not matter.
    pub(super) fn connect_failed(&mut self) -> bool {
        if let Some(seat) = self.seat.take() {
            seat.rest();
            self.tried.push(seat.peer());
        }
        self.tried.len() <= self.upstream.retries() && self.tried.len() < self.upstream.servers()
    }

    /// Counts what the client has sent.
    pub(super) fn body_arrived(&mut self, bytes: usize) {
        self.body_bytes += bytes as u64;
    }

    /// Server as written, for events; "" before one is chosen.
    pub(super) fn server(&self) -> &str {
        self.seat.as_ref().map_or("", |seat| seat.url())
    }

    /// How it ended, when not well.
    pub(super) fn set_outcome(&mut self, outcome: Outcome) {
        if let Some(record) = &mut self.record {
            record.outcome = Some(outcome);
        }
    }

    /// It is over: writes the line.
    pub(super) fn finish(&mut self, status: Option<u16>, bytes_in: u64, bytes_out: u64) {
        let app_us = self.asked.map(micros);
        if let Some(mut record) = self.record.take() {
            record.status = status.or(record.status);
            record.bytes_in = bytes_in;
            record.bytes_out = bytes_out;
            record.app_us = app_us;
            record.finish();
        }
        self.seat = None;
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Cut off in the middle, by a drain whose grace is over or a client that was too slow.
impl Drop for Exchange {
    fn drop(&mut self) {
        let app_us = self.asked.map(micros);
        if let Some(record) = &mut self.record {
            record.app_us = app_us;
            record.bytes_in = self.body_bytes;
            if let Some(ClientError::TooSlow) = self.fault.get() {
                record.outcome = Some(Outcome::ClientTimeout);
            }
        }
    }
}
