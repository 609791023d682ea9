//! One request and its answer as a stream of HTTP/2.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client::ResponseFuture};
use message::head::{BodyLength, Head};

use super::{answer_head, connection::Lease, request_head};
use crate::upstream::{
    answer_body::AnswerBody,
    answer_head::{AnswerHead, BadAnswer, Search},
    connection::{ServerConnection, Turn},
    failure::Failure,
    idle::Place,
    question::Question,
    server_stream::ServerStream,
};

/// A stream. Dropped before its end, h2 resets it (CANCEL); the connection goes on.
pub(in crate::upstream) struct Http2Stream {
    sending: Sending,
    receiving: Receiving,
    head: Option<AnswerHead>,
    piece: Option<Bytes>,
    /// The window of the piece that was taken last is given back once the client has it.
    unreleased: usize,
    head_only: bool,
    is_tls: bool,
    lease: Lease,
}

/// The body of the request on its way.
#[derive(Default)]
struct Sending {
    /// `None`: nothing is to be sent, or the server takes no more.
    stream: Option<SendStream<Bytes>>,
    piece: Bytes,
    /// The end comes behind the piece.
    ends: bool,
}

enum Receiving {
    /// Nothing was asked.
    Nothing,
    Head(ResponseFuture),
    Body(RecvStream),
}

impl Http2Stream {
    /// A stream of this share of a connection.
    pub(super) fn new(lease: Lease, is_tls: bool) -> Self {
        Self {
            sending: Sending::default(),
            receiving: Receiving::Nothing,
            head: None,
            piece: None,
            unreleased: 0,
            head_only: false,
            is_tls,
            lease,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, Failure>> {
        match &mut self.receiving {
            Receiving::Nothing => Poll::Ready(Err(Failure::Closed)),
            Receiving::Head(response) => {
                let interim = match response.poll_informational(cx) {
                    Poll::Ready(interim) => interim.transpose()?,
                    Poll::Pending => None,
                };
                if let Some(interim) = interim {
                    self.lease.heard().progress();
                    let interim = answer_head::interim(&interim.into_parts().0)?;
                    self.head = Some(AnswerHead::Interim(interim));
                    return Poll::Ready(Ok(Turn::Read(1)));
                }
                let response = ready!(Pin::new(response).poll(cx))?;
                self.lease.heard().progress();
                let (parts, body) = response.into_parts();
                let ended = body.is_end_stream();
                self.receiving = Receiving::Body(body);
                let head = answer_head::last(&parts, self.head_only, ended)?;
                self.head_only |= matches!(head.answer.status, 204 | 304);
                self.head = Some(AnswerHead::Final(head));
                Poll::Ready(Ok(Turn::Read(1)))
            }
            Receiving::Body(body) => {
                release(body, &mut self.unreleased)?;
                loop {
                    let Some(piece) = ready!(body.poll_data(cx)) else {
                        return Poll::Ready(Ok(Turn::Read(0)));
                    };
                    let piece = piece?;
                    if piece.is_empty() {
                        continue;
                    }
                    if self.head_only {
                        // An answer that has none ends where a body would begin.
                        return Poll::Ready(Ok(Turn::Read(0)));
                    }
                    self.lease.heard().progress();
                    self.unreleased = piece.len();
                    let len = piece.len();
                    self.piece = Some(piece);
                    return Poll::Ready(Ok(Turn::Read(len)));
                }
            }
        }
    }
}

fn release(body: &mut RecvStream, unreleased: &mut usize) -> Result<(), Failure> {
    match std::mem::take(unreleased) {
        0 => Ok(()),
        len => Ok(body.flow_control().release_capacity(len)?),
    }
}

impl Sending {
    fn is_sending(&self) -> bool {
        self.stream.is_some() && (!self.piece.is_empty() || self.ends)
    }

    /// Gives h2 as much as the server has room for.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.is_sending() {
            let Some(stream) = &mut self.stream else { break };
            let mut len = 0;
            if !self.piece.is_empty() {
                stream.reserve_capacity(self.piece.len());
                match ready!(stream.poll_capacity(cx)) {
                    Some(Ok(capacity)) => len = capacity.min(self.piece.len()),
                    Some(Err(_)) | None => return self.fall_deaf(),
                }
                if len == 0 {
                    continue;
                }
            }
            let part = self.piece.split_to(len);
            let is_last = self.ends && self.piece.is_empty();
            if stream.send_data(part, is_last).is_err() {
                return self.fall_deaf();
            }
            if is_last {
                self.ends = false;
                self.stream = None;
            }
        }
        Poll::Ready(())
    }

    /// The server takes nothing more; why is told by reading.
    fn fall_deaf(&mut self) -> Poll<()> {
        *self = Self::default();
        Poll::Ready(())
    }
}

impl ServerStream for Http2Stream {
    fn is_kept(&self) -> bool {
        self.lease.is_kept
    }

    fn is_unheard(&self) -> bool {
        matches!(self.receiving, Receiving::Nothing | Receiving::Head(_))
    }

    /// Nobody tells what h2 has written: what the server has not begun it says itself.
    fn is_unsent(&self) -> bool {
        matches!(self.receiving, Receiving::Nothing)
    }

    fn ask(&mut self, head: &Head, question: &Question<'_>, expect: bool) -> Result<(), Failure> {
        let request = request_head::request(head, question, expect, self.is_tls)?;
        self.head_only = head.method == "HEAD";
        let ended = head.body == BodyLength::Known(0);
        // What cannot be begun has not reached the server.
        let (response, stream) = self
            .lease
            .send
            .send_request(request, ended)
            .map_err(Failure::Unprocessed)?;
        self.receiving = Receiving::Head(response);
        self.sending.stream = (!ended).then_some(stream);
        Ok(())
    }

    fn push(&mut self, piece: Bytes, _chunks: bool) {
        if self.sending.stream.is_some() {
            self.sending.piece = piece;
        }
    }

    fn push_end(&mut self, _chunks: bool) {
        self.sending.ends = true;
    }

    fn is_sending(&self) -> bool {
        self.sending.is_sending()
    }

    async fn turn(&mut self) -> Result<Turn, Failure> {
        poll_fn(|cx| {
            if self.sending.is_sending() && self.sending.poll(cx).is_ready() {
                return Poll::Ready(Ok(Turn::Sent));
            }
            self.poll_fill(cx)
        })
        .await
    }

    async fn sent(&mut self) {
        poll_fn(|cx| self.sending.poll(cx)).await;
    }

    fn take_head(&mut self, _search: &mut Search, _head_only: bool) -> Result<Option<AnswerHead>, BadAnswer> {
        Ok(self.head.take())
    }

    fn take_body(&mut self, body: &mut AnswerBody) -> Result<Option<Bytes>, BadAnswer> {
        let piece = self.piece.take();
        if let Receiving::Body(stream) = &self.receiving
            && stream.is_end_stream()
        {
            body.close();
        }
        Ok(piece)
    }

    /// The connection is shared, and stays where it is found.
    fn is_reusable(&self) -> bool {
        false
    }

    fn keep(self, _place: &Arc<Place>, _patience: Duration, _kept_max: usize) {}

    fn into_tunnel(self) -> Option<ServerConnection> {
        None
    }
}
