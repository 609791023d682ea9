//! One HTTP request and its answer, between a stream of a link and the application's `receive` and `send`.

use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict},
};
use wire::{
    frame::{self, AbortReason, Kind},
    request::{HeadersWriter, Request},
    response::Response,
};

use super::{
    answer::{Answer, Part},
    body::Body,
    channel::{ClientLeft, Peer, Received, Sent, Wanted, broken, wake},
    event::Event,
    file_body::FileBody,
    head::{Head, put_fields},
    host::Host,
};
use crate::engine::{evented::Key, job::Job, link::Link, lock};

/// Most links of one `http.response.early_hint`.
const LINKS_MAX: usize = 64;

/// So many events may be sent that nobody takes: enough for the application to hear that its client has left
/// and to end, and for an answer of ordinary length to come to its end without an error.
const UNHEARD_MAX: u32 = 1000;

/// What is told of an answer that is too long.
pub(crate) const CUT: &str = "the application sent more than its Content-Length; the rest was cut";

/// A request in the hands of the application.
#[derive(Debug)]
pub(crate) struct Exchange {
    host: Arc<Host>,
    link: Arc<Link>,
    pub(crate) key: Key,
    /// [`wire::request`] and the inline body.
    payload: Vec<u8>,
    state: Mutex<State>,
    receivers: Mutex<Vec<Py<PyAny>>>,
    senders: Mutex<Vec<Py<PyAny>>>,
}

#[derive(Debug)]
struct State {
    body: Body,
    answer: Answer,
    /// Nobody waits for the answer.
    gone: bool,
    /// `http.disconnect` was received.
    told_end: bool,
    /// Events that were sent since nobody takes any.
    unheard: u32,
    /// The application has returned.
    returned: bool,
}

/// How the application ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// As it should.
    Fine,
    /// The client has all that was announced, and the application sent more.
    Cut,
    /// Not as it should, in words.
    Broken(String),
    /// Nobody waited any more.
    Gone,
}

impl Exchange {
    /// Takes a request over; `inline` is where its body begins in the payload.
    pub(crate) fn new(host: &Arc<Host>, job: Job, inline: usize, head_only: bool, length: u64) -> Self {
        let key = Key {
            link: job.link.serial,
            stream: job.stream,
        };
        let body = match job.body {
            Some(file) if length > 0 => Body::File {
                file,
                at: 0,
                len: length,
            },
            _ if job.whole => Body::Whole(inline),
            _ => {
                let first = job.payload.get(inline..).unwrap_or_default();
                let first = (!first.is_empty()).then(|| (first.to_vec(), false));
                Body::Streamed {
                    parts: first.into_iter().collect(),
                    ended: false,
                    asked: false,
                }
            }
        };
        Self {
            host: Arc::clone(host),
            state: Mutex::new(State {
                body,
                answer: Answer::new(&job.link, job.stream, head_only),
                gone: false,
                told_end: false,
                unheard: 0,
                returned: false,
            }),
            link: job.link,
            key,
            payload: job.payload,
            receivers: Mutex::default(),
            senders: Mutex::default(),
        }
    }

    /// Works with the request; it was read once, so it can be read again.
    pub(crate) fn request<T>(&self, work: impl FnOnce(&Request<'_>) -> T) -> Option<T> {
        Request::decode(&self.payload)
            .ok()
            .map(|(request, _)| work(&request))
    }

    /// More of the body has come.
    pub(crate) fn arrive(&self, py: Python<'_>, bytes: Vec<u8>, last: bool) {
        if lock(&self.state).body.arrive(bytes, last) {
            wake(py, &self.receivers);
        }
    }

    /// So many bytes more may be sent.
    pub(crate) fn grant(&self, py: Python<'_>, bytes: u32) {
        let mut state = lock(&self.state);
        state.answer.grant(py, bytes);
        self.settle(py, state);
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn leave(&self, py: Python<'_>) {
        let mut state = lock(&self.state);
        state.gone = true;
        state.answer.drop_waiting();
        if state.returned {
            state.answer.abort(AbortReason::Cancelled);
        }
        self.settle(py, state);
        wake(py, &self.receivers);
    }

    /// The application has returned (`None`) or raised. Whatever it left open is ended.
    pub(crate) fn finish(&self, py: Python<'_>, raised: bool) -> Ending {
        let mut state = lock(&self.state);
        state.returned = true;
        let reason = if state.gone {
            AbortReason::Cancelled
        } else {
            AbortReason::Exception
        };
        let answer = &mut state.answer;
        let ending = if raised {
            if !answer.is_complete() || answer.missing() > 0 {
                answer.abort(reason);
            }
            if answer.was_cut() {
                Ending::Cut
            } else {
                Ending::Fine
            }
        } else if answer.is_over() || answer.is_complete() && answer.missing() == 0 {
            if answer.was_cut() {
                Ending::Cut
            } else {
                Ending::Fine
            }
        } else {
            let what = if !answer.has_head() {
                "the application returned without an answer".to_owned()
            } else if answer.lacks_trailers() {
                "the application announced trailers and returned without them".to_owned()
            } else if answer.body_complete() {
                format!(
                    "the application's answer ended {} bytes short of its Content-Length",
                    answer.missing()
                )
            } else {
                "the application returned before its answer was complete".to_owned()
            };
            Ending::Broken(what)
        };
        let gone = state.gone;
        let answer = &mut state.answer;
        let ending = match ending {
            _ if gone => {
                answer.abort(AbortReason::Cancelled);
                Ending::Gone
            }
            Ending::Broken(what) => {
                if !answer.is_complete() || answer.missing() > 0 {
                    answer.abort(AbortReason::Protocol);
                }
                Ending::Broken(what)
            }
            ending => ending,
        };
        self.settle(py, state);
        wake(py, &self.receivers);
        ending
    }

    /// Is it over, or does nobody wait for it?
    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.state).gone
    }

    /// After a change of the answer: what was waited for, what is to be sent, what can be forgotten.
    fn settle(&self, py: Python<'_>, state: MutexGuard<'_, State>) {
        let (over, sent) = (state.answer.is_over(), !state.answer.is_waiting());
        drop(state);
        if sent {
            wake(py, &self.senders);
        }
        if over {
            self.host.forget(self.key);
        }
        self.host.wrote(py, &self.link);
    }

    fn start(&self, py: Python<'_>, event: &Event<'_>) -> PyResult<Sent> {
        let head = Head::new(py, event)?;
        let mut state = lock(&self.state);
        if state.answer.is_complete() {
            return self.unheard(py, state);
        }
        if state.answer.has_head() {
            return Err(broken("http.response.start was sent a second time".to_owned()));
        }
        state.answer.start(head);
        Ok(Sent::All)
    }

    fn body(&self, py: Python<'_>, part: Part<'_, '_>, last: bool) -> PyResult<Sent> {
        let mut state = lock(&self.state);
        if !state.answer.has_head() {
            return Err(broken("a body was sent before http.response.start".to_owned()));
        }
        // The specification: any further messages on the channel will be ignored.
        if state.answer.is_complete() {
            return self.unheard(py, state);
        }
        if state.answer.body_complete() {
            return Err(broken(
                "a body was sent after its end, where only http.response.trailers may follow".to_owned(),
            ));
        }
        let over = state.answer.is_over();
        // It costs no credit, so nothing else would ever keep a view that sends only such parts.
        let empty = !last && matches!(&part, Part::Bytes(bytes) if bytes.as_bytes().is_empty());
        state.answer.body(py, part, last);
        if over && !last {
            // The head was the answer to a HEAD, or the Content-Length is full.
            return self.unheard(py, state);
        }
        let waits = state.answer.is_waiting();
        let complete = state.answer.is_complete();
        self.settle(py, state);
        if complete {
            wake(py, &self.receivers);
        }
        Ok(match (waits, empty) {
            (true, _) => Sent::Wait,
            (false, true) => Sent::Turn,
            (false, false) => Sent::All,
        })
    }

    fn trailers(&self, py: Python<'_>, event: &Event<'_>) -> PyResult<Sent> {
        let mut payload = Vec::new();
        let fields = HeadersWriter::begin(&mut payload);
        put_fields(event.optional(intern!(py, "headers"))?, fields, &mut payload)?;
        let more = event.flag(intern!(py, "more_trailers"))?;
        let mut state = lock(&self.state);
        if state.answer.is_complete() {
            return self.unheard(py, state);
        }
        if !state.answer.lacks_trailers() {
            return Err(broken(
                "http.response.trailers belongs behind the last body of an answer that began with trailers=True"
                    .to_owned(),
            ));
        }
        state.answer.trail(py, &payload, !more)?;
        let waits = state.answer.is_waiting();
        self.settle(py, state);
        wake(py, &self.receivers);
        Ok(if waits { Sent::Wait } else { Sent::All })
    }

    fn file(&self, py: Python<'_>, file: FileBody<'_>, last: bool) -> PyResult<Sent> {
        match file {
            FileBody::File(file, range) => self.body(py, Part::File(file, range), last),
            FileBody::Read(bytes) => self.body(py, Part::Bytes(&bytes), last),
        }
    }

    fn early_hint(&self, py: Python<'_>, event: &Event<'_>) -> PyResult<Sent> {
        let mut payload = Vec::new();
        let mut fields = Response::encode(103, b"", &mut payload);
        for link in event.required(intern!(py, "links"))?.try_iter()?.take(LINKS_MAX) {
            let link = super::event::bytes(&link?)?;
            let link = link.as_bytes();
            if link.iter().copied().any(crate::wsgi::head::is_control) {
                return Err(broken(
                    "a link of http.response.early_hint has a control character in it".to_owned(),
                ));
            }
            fields.put(&mut payload, b"link", link);
        }
        fields.finish(&mut payload);
        if payload.len() > crate::wsgi::head::HINTS_BYTES_MAX {
            return Err(broken("http.response.early_hint is too long".to_owned()));
        }
        let mut state = lock(&self.state);
        // Behind the head there is nothing to be early for. Until the first body it waits here.
        if state.answer.head_has_left() {
            return self.unheard(py, state);
        }
        if !state.answer.inform(&payload) {
            return self.unheard(py, state);
        }
        self.settle(py, state);
        // They cost no credit either.
        Ok(Sent::Turn)
    }

    /// The proxy may send so much more of the request's body.
    fn credit(&self, py: Python<'_>, bytes: u32) {
        self.link.put(None, |out| {
            frame::put(out, self.key.stream, Kind::Credit, 0, &bytes.to_le_bytes())
        });
        self.host.wrote(py, &self.link);
    }

    /// An event was sent that nobody takes. It has no effect, as the specification wants it: the application
    /// may learn it from `receive`, or never. But a view that only sends would keep the loop from all other
    /// requests of the worker, and from hearing anything, so the others have their turn now, and what does
    /// not come to an end is ended.
    fn unheard(&self, py: Python<'_>, mut state: MutexGuard<'_, State>) -> PyResult<Sent> {
        state.unheard = state.unheard.saturating_add(1);
        let too_many = state.unheard > UNHEARD_MAX;
        drop(state);
        if !too_many {
            return Ok(Sent::Turn);
        }
        wake(py, &self.receivers);
        Ok(Sent::Refused(ClientLeft::new_err(format!(
            "more than {UNHEARD_MAX} events were sent since nobody takes any"
        ))))
    }
}

impl Peer for Exchange {
    fn receive(&self, py: Python<'_>) -> PyResult<Received> {
        let mut state = lock(&self.state);
        if state.gone || state.answer.is_complete() || state.returned || state.unheard > UNHEARD_MAX {
            let again = std::mem::replace(&mut state.told_end, true);
            drop(state);
            let event = PyDict::new(py);
            event.set_item(intern!(py, "type"), intern!(py, "http.disconnect"))?;
            let event = event.into_any().unbind();
            return Ok(if again {
                Received::Again(event)
            } else {
                Received::Event(event)
            });
        }
        let Some(piece) = state.body.next(py, &self.payload)? else {
            let asks = state.body.ask();
            drop(state);
            if asks {
                self.credit(py, 0);
            }
            return Ok(Received::Nothing);
        };
        drop(state);
        if piece.credit > 0 {
            self.credit(py, piece.credit);
        }
        let event = PyDict::new(py);
        event.set_item(intern!(py, "type"), intern!(py, "http.request"))?;
        event.set_item(intern!(py, "body"), piece.bytes)?;
        event.set_item(intern!(py, "more_body"), piece.more)?;
        Ok(Received::Event(event.into_any().unbind()))
    }

    #[inline]
    fn send(&self, py: Python<'_>, event: &Bound<'_, PyAny>) -> PyResult<Sent> {
        let event = Event::new(event)?;
        let state = lock(&self.state);
        if state.gone {
            return self.unheard(py, state);
        }
        drop(state);
        match event.kind()? {
            "http.response.start" => self.start(py, &event),
            "http.response.body" => {
                let more = event.flag(intern!(py, "more_body"))?;
                let bytes = event
                    .bytes(intern!(py, "body"))?
                    .unwrap_or_else(|| PyBytes::new(py, b""));
                self.body(py, Part::Bytes(&bytes), !more)
            }
            "http.response.trailers" => self.trailers(py, &event),
            "http.response.pathsend" => self.file(py, FileBody::by_path(py, &event)?, true),
            "http.response.zerocopysend" => {
                let more = event.flag(intern!(py, "more_body"))?;
                self.file(py, FileBody::by_descriptor(py, &event)?, !more)
            }
            "http.response.early_hint" => self.early_hint(py, &event),
            other => Err(broken(format!(
                "{other:?} is no event that an answer over HTTP is made of"
            ))),
        }
    }

    fn is_sent(&self) -> bool {
        !lock(&self.state).answer.is_waiting()
    }

    fn waiters(&self, of: Wanted) -> MutexGuard<'_, Vec<Py<PyAny>>> {
        lock(match of {
            Wanted::Received => &self.receivers,
            Wanted::Sent => &self.senders,
        })
    }

    fn host(&self) -> &Host {
        &self.host
    }
}

/// Method and target, to begin a line of the log with.
pub(crate) fn request_line(request: &Request<'_>) -> String {
    format!(
        "{} {}",
        String::from_utf8_lossy(request.method),
        String::from_utf8_lossy(request.target)
    )
}
