//! One WebSocket, between a stream of a link and the application's `receive` and `send`.

use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};
use wire::{
    frame::{self, AbortReason, Kind},
    request::Request,
    websocket::Accept,
};

use super::{
    answer::{Answer, Part},
    channel::{ClientLeft, Peer, Received, Sent, Wanted, broken, wake},
    conversation::Conversation,
    event::Event,
    exchange::Ending,
    head::{Head, put_fields},
    host::Host,
};
use crate::{
    engine::{evented::Key, job::Job, link::Link, lock},
    ffi::text::utf8,
};

/// A reason of more bytes does not fit in a close frame (RFC 6455, 5.5).
const REASON_MAX: usize = 123;

/// What a server says of a client that left without a word.
const VANISHED: u16 = 1006;

/// A WebSocket in the hands of the application.
#[derive(Debug)]
pub(crate) struct WebSocket {
    host: Arc<Host>,
    link: Arc<Link>,
    key: Key,
    /// [`wire::request`]
    payload: Vec<u8>,
    state: Mutex<State>,
    receivers: Mutex<Vec<Py<PyAny>>>,
    senders: Mutex<Vec<Py<PyAny>>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// `websocket.connect` was received.
    told: bool,
    conversation: Conversation,
    /// The answer of an application that does not accept.
    denial: Answer,
    /// How it ended for the application: the code, and why.
    ended: Option<(u16, String)>,
    /// `websocket.disconnect` was received.
    told_end: bool,
    /// Nobody waits for it any more; what the application sends is an error of its client's, not of its own.
    gone: bool,
    returned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Neither accepted nor denied.
    Asked,
    Accepted,
    /// Answered by an HTTP response.
    Denied,
    /// The application has closed it.
    Closed,
}

impl WebSocket {
    pub(crate) fn new(host: &Arc<Host>, job: Job) -> Self {
        let key = Key {
            link: job.link.serial,
            stream: job.stream,
        };
        Self {
            host: Arc::clone(host),
            key,
            state: Mutex::new(State {
                phase: Phase::Asked,
                told: false,
                conversation: Conversation::new(&job.link, job.stream),
                denial: Answer::new(&job.link, job.stream, false),
                ended: None,
                told_end: false,
                gone: false,
                returned: false,
            }),
            link: job.link,
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

    /// A message of the client, or a part of one.
    pub(crate) fn arrive(&self, py: Python<'_>, bytes: Vec<u8>, text: bool, more: bool) {
        let mut state = lock(&self.state);
        if state.phase != Phase::Accepted || state.ended.is_some() {
            return;
        }
        state.conversation.arrive(bytes, text, more);
        self.settle(py, state);
        if !more {
            wake(py, &self.receivers);
        }
    }

    /// The client has closed, or is gone.
    pub(crate) fn closed(&self, py: Python<'_>, code: u16, reason: String) {
        self.end(py, code, reason);
    }

    /// Nobody waits for this stream any more.
    pub(crate) fn leave(&self, py: Python<'_>) {
        self.end(py, VANISHED, String::new());
    }

    fn end(&self, py: Python<'_>, code: u16, reason: String) {
        let mut state = lock(&self.state);
        state.gone = true;
        if state.ended.is_none() {
            state.ended = Some((code, reason));
        }
        state.conversation.drop_leaving();
        state.denial.drop_waiting();
        if state.returned {
            self.give_up(&mut state, AbortReason::Cancelled);
        }
        self.settle(py, state);
        wake(py, &self.receivers);
    }

    /// So many bytes more may be sent.
    pub(crate) fn grant(&self, py: Python<'_>, bytes: u32) {
        let mut state = lock(&self.state);
        if state.phase == Phase::Denied {
            state.denial.grant(py, bytes);
        } else {
            state.conversation.grant(py, bytes);
        }
        self.settle(py, state);
    }

    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.state).gone
    }

    /// Has it been closed, from either end?
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).ended.is_some()
    }

    /// Ends the stream without a word to the client.
    fn give_up(&self, state: &mut State, reason: AbortReason) {
        if !state.conversation.is_over() && !state.denial.is_over() {
            state.conversation.set_over();
            state.denial.abort(reason);
        }
    }

    /// The application has returned or raised. Whatever it left open is ended.
    pub(crate) fn finish(&self, py: Python<'_>, raised: bool) -> Ending {
        let mut state = lock(&self.state);
        state.returned = true;
        let gone = state.gone;
        let mut ending = if gone { Ending::Gone } else { Ending::Fine };
        match state.phase {
            Phase::Asked => {
                let reason = match (gone, raised) {
                    (true, _) => AbortReason::Cancelled,
                    (false, true) => AbortReason::Exception,
                    (false, false) => {
                        ending = Ending::Broken(
                            "the application returned without accepting or closing the WebSocket".to_owned(),
                        );
                        AbortReason::Protocol
                    }
                };
                self.give_up(&mut state, reason);
            }
            Phase::Accepted => {
                let code = match (&state.ended, raised) {
                    // It is closed already; this only says that the application is done with it.
                    (Some((code, _)), _) => *code,
                    (None, true) => 1011,
                    (None, false) => 1000,
                };
                state.conversation.close(py, code, "");
                if state.ended.is_none() {
                    state.ended = Some((code, String::new()));
                }
            }
            Phase::Denied => {
                if !state.denial.is_complete() || state.denial.missing() > 0 {
                    let reason = match (gone, raised) {
                        (true, _) => AbortReason::Cancelled,
                        (false, true) => AbortReason::Exception,
                        (false, false) => {
                            ending = Ending::Broken(
                                "the application returned before its answer was complete".to_owned(),
                            );
                            AbortReason::Protocol
                        }
                    };
                    self.give_up(&mut state, reason);
                }
            }
            Phase::Closed => {}
        }
        if state.ended.is_none() {
            state.ended = Some((VANISHED, String::new()));
        }
        self.settle(py, state);
        // A task of the application may still listen, and would do so for ever.
        wake(py, &self.receivers);
        ending
    }

    /// After a change: what was waited for, what is to be sent, what can be forgotten.
    fn settle(&self, py: Python<'_>, state: MutexGuard<'_, State>) {
        let over = state.conversation.is_over() || state.denial.is_over();
        let sent = !state.conversation.is_waiting() && !state.denial.is_waiting();
        drop(state);
        if sent {
            wake(py, &self.senders);
        }
        if over {
            self.host.forget(self.key);
        }
        self.host.wrote(py, &self.link);
    }

    fn accept(&self, py: Python<'_>, event: &Event<'_>) -> PyResult<Sent> {
        let subprotocol = event.text(intern!(py, "subprotocol"))?;
        let subprotocol = match &subprotocol {
            Some(subprotocol) => utf8(subprotocol)?,
            None => "",
        };
        if !subprotocol.bytes().all(crate::wsgi::head::is_token) {
            return Err(broken(format!("{subprotocol:?} is not a name for a subprotocol")));
        }
        let mut payload = Vec::new();
        let fields = Accept::encode(subprotocol.as_bytes(), &mut payload);
        put_fields(event.optional(intern!(py, "headers"))?, fields, &mut payload)?;
        let mut state = lock(&self.state);
        self.must_be(&state, Phase::Asked, "websocket.accept")?;
        state.phase = Phase::Accepted;
        self.link.put(None, |out| {
            frame::put(out, self.key.stream, Kind::Accept, 0, &payload)
        });
        self.settle(py, state);
        Ok(Sent::All)
    }

    fn message(&self, py: Python<'_>, event: &Event<'_>) -> PyResult<Sent> {
        let text = event.text(intern!(py, "text"))?;
        let (bytes, is_text) = match (event.bytes(intern!(py, "bytes"))?, &text) {
            (Some(bytes), None) => (bytes, false),
            (None, Some(text)) => (PyBytes::new(py, utf8(text)?.as_bytes()), true),
            (Some(_), Some(_)) => {
                return Err(broken(
                    "websocket.send has both bytes and text; a message is one of them".to_owned(),
                ));
            }
            (None, None) => {
                return Err(broken("websocket.send has neither bytes nor text".to_owned()));
            }
        };
        let mut state = lock(&self.state);
        self.must_be(&state, Phase::Accepted, "websocket.send")?;
        state.conversation.say(py, bytes, is_text);
        let waits = state.conversation.is_waiting();
        self.settle(py, state);
        Ok(if waits { Sent::Wait } else { Sent::All })
    }

    fn close(&self, py: Python<'_>, event: &Event<'_>) -> PyResult<Sent> {
        let code = event.integer(intern!(py, "code"))?.unwrap_or(1000);
        let code = u16::try_from(code)
            .ok()
            .filter(|code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999))
            .ok_or_else(|| {
                broken(format!(
                    "{code} is not a code that a WebSocket can be closed with: 1000 to 1003, 1007 to 1014, 3000 to 4999"
                ))
            })?;
        let reason = event.text(intern!(py, "reason"))?;
        let reason = match &reason {
            Some(reason) => cut(utf8(reason)?),
            None => "",
        };
        let mut state = lock(&self.state);
        let state_now = &mut *state;
        match state_now.phase {
            Phase::Asked => {
                // Closed before it was accepted: the specification makes that a 403.
                state_now.phase = Phase::Closed;
                state_now.denial.start(Head::bare(403));
                let nothing = PyBytes::new(py, b"");
                state_now.denial.body(py, Part::Bytes(&nothing), true);
                state_now.ended = Some((VANISHED, String::new()));
            }
            Phase::Accepted => {
                state_now.phase = Phase::Closed;
                state_now.conversation.close(py, code, reason);
                if state_now.ended.is_none() {
                    state_now.ended = Some((code, reason.to_owned()));
                }
            }
            Phase::Denied | Phase::Closed => {
                return Err(broken(
                    "websocket.close was sent for a WebSocket that is closed".to_owned(),
                ));
            }
        }
        self.settle(py, state);
        wake(py, &self.receivers);
        Ok(Sent::All)
    }

    fn deny(&self, py: Python<'_>, event: &Event<'_>) -> PyResult<Sent> {
        let mut head = Head::new(py, event)?;
        head.trailers = false;
        let mut state = lock(&self.state);
        self.must_be(&state, Phase::Asked, "websocket.http.response.start")?;
        state.phase = Phase::Denied;
        state.denial.start(head);
        Ok(Sent::All)
    }

    fn deny_body(&self, py: Python<'_>, event: &Event<'_>) -> PyResult<Sent> {
        let more = event.flag(intern!(py, "more_body"))?;
        let bytes = event
            .bytes(intern!(py, "body"))?
            .unwrap_or_else(|| PyBytes::new(py, b""));
        let mut state = lock(&self.state);
        self.must_be(&state, Phase::Denied, "websocket.http.response.body")?;
        if state.denial.is_complete() {
            return Err(broken("a body was sent after the end of the answer".to_owned()));
        }
        state.denial.body(py, Part::Bytes(&bytes), !more);
        let complete = state.denial.is_complete();
        if complete && state.ended.is_none() {
            state.ended = Some((VANISHED, String::new()));
        }
        let waits = state.denial.is_waiting();
        self.settle(py, state);
        if complete {
            wake(py, &self.receivers);
        }
        Ok(if waits { Sent::Wait } else { Sent::All })
    }

    fn must_be(&self, state: &State, phase: Phase, what: &str) -> PyResult<()> {
        if state.phase == phase {
            return Ok(());
        }
        let is = match state.phase {
            Phase::Asked => "has not been accepted",
            Phase::Accepted => "has been accepted",
            Phase::Denied => "has been denied",
            Phase::Closed => "has been closed",
        };
        Err(broken(format!("{what} was sent for a WebSocket that {is}")))
    }
}

impl Peer for WebSocket {
    fn receive(&self, py: Python<'_>) -> PyResult<Received> {
        let mut state = lock(&self.state);
        let event = PyDict::new(py);
        let kind = intern!(py, "type");
        if !state.told {
            state.told = true;
            event.set_item(kind, intern!(py, "websocket.connect"))?;
        } else if let Some(message) = state
            .conversation
            .take()
            .filter(|_| state.phase == Phase::Accepted)
        {
            event.set_item(kind, intern!(py, "websocket.receive"))?;
            if message.text {
                // The proxy has checked that it is UTF-8.
                let text = String::from_utf8_lossy(&message.bytes);
                event.set_item(intern!(py, "text"), PyString::new(py, &text))?;
            } else {
                event.set_item(intern!(py, "bytes"), PyBytes::new(py, &message.bytes))?;
            }
            self.settle(py, state);
        } else if let Some((code, reason)) = &state.ended {
            event.set_item(kind, intern!(py, "websocket.disconnect"))?;
            event.set_item(intern!(py, "code"), *code)?;
            event.set_item(intern!(py, "reason"), reason)?;
            if std::mem::replace(&mut state.told_end, true) {
                return Ok(Received::Again(event.into_any().unbind()));
            }
        } else {
            return Ok(Received::Nothing);
        }
        Ok(Received::Event(event.into_any().unbind()))
    }

    fn send(&self, py: Python<'_>, event: &Bound<'_, PyAny>) -> PyResult<Sent> {
        let event = Event::new(event)?;
        if self.is_gone() {
            return Ok(Sent::Refused(ClientLeft::new_err(
                "the client of the WebSocket has left",
            )));
        }
        match event.kind()? {
            "websocket.accept" => self.accept(py, &event),
            "websocket.send" => self.message(py, &event),
            "websocket.close" => self.close(py, &event),
            "websocket.http.response.start" => self.deny(py, &event),
            "websocket.http.response.body" => self.deny_body(py, &event),
            other => Err(broken(format!(
                "{other:?} is no event that can be sent to a WebSocket"
            ))),
        }
    }

    fn is_sent(&self) -> bool {
        let state = lock(&self.state);
        !state.conversation.is_waiting() && !state.denial.is_waiting()
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

/// At most [`REASON_MAX`] bytes of whole characters.
fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
