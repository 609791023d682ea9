//! One request on its way to a worker and its answer on the way back.

use std::{
    collections::VecDeque,
    fs::File,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use wire::frame::{AbortReason, FILE_COST, FileRange, HEADER_LEN, MESSAGE_COST, PAYLOAD_MAX, Return, WINDOW};

use super::{
    app_file::AppFile,
    dispatcher::{Failure, LinkIndex},
    gather::gather,
    request_body::Stored,
    upload::Upload,
};

/// Sockets that may wait to be looked at; a descriptor each, and one is all that a request can bring.
const SOCKETS_MAX: usize = 4;

/// One request: what is sent, and what came back so far.
#[derive(Debug)]
pub(crate) struct Call {
    /// The request frame; stream and entry are filled in for each worker it is sent to.
    frame: Vec<u8>,
    /// The body, when it is not inside the frame.
    body: Option<Stored>,
    /// The body, when it goes to the worker while it arrives.
    upload: Option<Box<Mutex<Upload>>>,
    inbox: Mutex<Inbox>,
}

/// Something that came back.
#[derive(Debug)]
pub(crate) enum Event {
    /// [`wire::response`] and the first body bytes.
    Response {
        /// The frame's payload.
        payload: Bytes,
        /// Nothing follows.
        end: bool,
    },
    /// Body bytes.
    Data {
        /// The frame's payload.
        bytes: Bytes,
        /// Nothing follows.
        end: bool,
    },
    /// Body bytes from a file.
    File {
        /// The file.
        file: Arc<AppFile>,
        /// Which bytes of it.
        range: FileRange,
        /// Nothing follows.
        end: bool,
    },
    /// The other end of the socket that the application was given.
    Socket(OwnedFd),
    /// An informational response.
    Informational(Bytes),
    /// Trailer fields; nothing follows.
    Trailers(Bytes),
    /// The WebSocket is accepted.
    Accept(Bytes),
    /// A WebSocket message or a part of one.
    Message {
        /// The frame's payload.
        bytes: Bytes,
        /// It is text.
        text: bool,
        /// The message goes on.
        more: bool,
    },
    /// The application closed the WebSocket.
    Close(Bytes),
    /// Not from the worker: it is to be left, and what would go on for ever must end.
    Leaving,
    /// So many bytes more of the request's body, or of messages, may be sent.
    Credit(u32),
    /// A file that came with a request is not read any more. Concerns no call.
    Returned(Return),
    /// The worker gave up.
    Abort(AbortReason),
    /// There is no worker for it, or no longer.
    Fail(Failure),
}

/// Who works on it, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Course {
    /// Slot and process id of the worker it was sent to last.
    pub(crate) worker: Option<(u32, u32)>,
    /// How long it waited in the queue before.
    pub(crate) waited_ns: u64,
    /// When it was sent.
    pub(crate) sent_ns: u64,
    /// When the worker started it, if that is known.
    pub(crate) started_ns: Option<u64>,
    /// When the worker's last frame came.
    pub(crate) ended_ns: Option<u64>,
}

#[derive(Debug, Default)]
struct Inbox {
    events: VecDeque<Event>,
    waker: Option<Waker>,
    course: Course,
    /// What body bytes, messages and files took that came, and what they may take.
    received: u64,
    granted: u64,
    sockets: usize,
}

/// The worker sends more than it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flooded;

impl Call {
    pub(super) fn new(frame: Vec<u8>, body: Option<Stored>) -> Self {
        let inbox = Inbox {
            // The first frame of an answer may hold as much as fits: the worker has no reason to cut what is ready.
            granted: u64::from(WINDOW) + PAYLOAD_MAX as u64,
            ..Inbox::default()
        };
        Self {
            frame,
            body,
            upload: None,
            inbox: Mutex::new(inbox),
        }
    }

    /// Its body follows while it arrives.
    pub(super) fn with_upload(mut self, upload: Upload) -> Self {
        self.upload = Some(Box::new(Mutex::new(upload)));
        self
    }

    /// The body, when it goes to the worker while it arrives.
    pub(super) fn upload(&self) -> Option<MutexGuard<'_, Upload>> {
        let upload = self.upload.as_ref()?;
        Some(upload.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves when more of the body may be read from the client; never without an upload. Safe to drop.
    pub(super) async fn room(&self) {
        std::future::poll_fn(|context| match self.upload() {
            Some(upload) if upload.has_room() => Poll::Ready(()),
            Some(mut upload) => {
                upload.when_room(context.waker());
                Poll::Pending
            }
            None => Poll::Pending,
        })
        .await;
    }

    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The file that goes with the frame over this link.
    pub(super) fn hand_over(&self, link: LinkIndex) -> Option<&Arc<File>> {
        Some(self.body.as_ref()?.hand_over(link))
    }

    /// The body could not be sent over that link.
    pub(super) fn take_back(&self, link: LinkIndex) {
        if let Some(body) = &self.body {
            body.take_back(link);
        }
    }

    /// The request head, for whoever has to tell of it.
    pub(crate) fn request(&self) -> Option<wire::request::Request<'_>> {
        let payload = self.frame.get(HEADER_LEN..)?;
        wire::request::Request::decode(payload)
            .ok()
            .map(|(request, _)| request)
    }

    /// It goes to a worker now.
    pub(crate) fn sent(&self, slot: u32, pid: u32, waited_ns: u64, now_ns: u64) {
        let mut inbox = self.inbox();
        inbox.course = Course {
            worker: Some((slot, pid)),
            waited_ns,
            sent_ns: now_ns,
            started_ns: None,
            ended_ns: None,
        };
    }

    /// The worker started it then.
    pub(crate) fn started(&self, started_ns: Option<u64>) {
        self.inbox().course.started_ns = started_ns;
    }

    /// The worker's last frame came.
    pub(crate) fn ended(&self, now_ns: u64) {
        self.inbox().course.ended_ns = Some(now_ns);
    }

    /// Who works on it, and since when.
    pub(crate) fn course(&self) -> Course {
        self.inbox().course
    }

    /// Something came; returns whom to wake once no lock is held.
    pub(crate) fn push(&self, event: Event) -> Result<Option<Waker>, Flooded> {
        let mut inbox = self.inbox();
        match &event {
            Event::Response { payload: bytes, .. }
            | Event::Data { bytes, .. }
            | Event::Message { bytes, .. }
            | Event::Informational(bytes)
            | Event::Trailers(bytes)
            | Event::Accept(bytes)
            | Event::Close(bytes) => {
                let cost = match &event {
                    Event::Message { .. } => MESSAGE_COST,
                    _ => 0,
                };
                inbox.received += bytes.len() as u64 + u64::from(cost);
                // Each frame costs more than its bytes; empty ones must not be free either.
                if inbox.received > inbox.granted || inbox.events.len() > EVENTS_MAX {
                    return Err(Flooded);
                }
            }
            Event::File { .. } => {
                inbox.received += u64::from(FILE_COST);
                if inbox.received > inbox.granted {
                    return Err(Flooded);
                }
            }
            Event::Socket(_) => {
                inbox.sockets += 1;
                if inbox.sockets > SOCKETS_MAX {
                    return Err(Flooded);
                }
            }
            // Only a worker that floods us sends more of them than this.
            Event::Credit(_) if inbox.events.len() > EVENTS_MAX => return Err(Flooded),
            Event::Credit(_) | Event::Leaving | Event::Returned(_) | Event::Abort(_) | Event::Fail(_) => {}
        }
        if let Event::Data { bytes: more, end } = &event
            && let Some(Event::Data {
                bytes,
                end: ends @ false,
            }) = inbox.events.back_mut()
            && gather(bytes, more)
        {
            *ends = *end;
        } else {
            inbox.events.push_back(event);
        }
        Ok(inbox.waker.take())
    }

    /// More body bytes may come.
    pub(crate) fn granted(&self, bytes: u32) {
        self.inbox().granted += u64::from(bytes);
    }

    /// What came next. Safe to drop before it is ready.
    pub(crate) async fn event(&self) -> Event {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// The same, polled.
    pub(crate) fn poll_event(&self, context: &mut Context<'_>) -> Poll<Event> {
        let mut inbox = self.inbox();
        match inbox.events.pop_front() {
            Some(event) => {
                if matches!(event, Event::Socket(_)) {
                    inbox.sockets -= 1;
                }
                Poll::Ready(event)
            }
            None => {
                match &mut inbox.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    empty => *empty = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// Puts what was taken last back for another to take.
    pub(crate) fn put_back(&self, event: Event) {
        let mut inbox = self.inbox();
        if matches!(event, Event::Socket(_)) {
            inbox.sockets += 1;
        }
        inbox.events.push_front(event);
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nothing in here panics half-way, so what a panicking thread left behind is whole.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frames of one answer that may wait to be looked at.
const EVENTS_MAX: usize = 1 << 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_charged_for_more_than_their_bytes() {
        let call = Call::new(Vec::new(), None);
        let tiny = || Event::Message {
            bytes: Bytes::from_static(b"x"),
            text: false,
            more: false,
        };
        let most = (u64::from(WINDOW) + PAYLOAD_MAX as u64) / u64::from(1 + MESSAGE_COST);
        for _ in 0..most {
            call.push(tiny()).expect("within what was granted");
        }
        assert!(matches!(call.push(tiny()), Err(Flooded)));
    }

    #[test]
    fn small_pieces_of_an_answer_that_nobody_has_taken_yet_become_few() {
        let call = Call::new(Vec::new(), None);
        let data = |byte: u8, end| Event::Data {
            bytes: Bytes::copy_from_slice(&[byte]),
            end,
        };
        let sent: Vec<u8> = (0..WINDOW).map(|number| number as u8).collect();
        for byte in &sent[1..] {
            call.push(data(*byte, false)).expect("within what was granted");
        }
        call.push(data(sent[0], true)).expect("within what was granted");
        let events = std::mem::take(&mut call.inbox().events);
        assert!(events.len() <= sent.len() / 1000, "{}", events.len());
        let mut came = Vec::new();
        for (number, event) in (1..).zip(&events) {
            let Event::Data { bytes, end } = event else {
                panic!("{event:?}");
            };
            assert_eq!(*end, number == events.len());
            came.extend_from_slice(bytes);
        }
        assert!(came[..came.len() - 1] == sent[1..] && came.last() == sent.first());
    }
}
