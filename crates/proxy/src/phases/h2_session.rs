//! One HTTP/2 stream as the client that files, fixed answers and apps see.

use std::{
    fs::File,
    future::poll_fn,
    os::unix::fs::FileExt,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use config::Limits;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use logs::Outcome;
use message::{
    answer::{Answer, AnswerLength},
    client_error::ClientError,
    connection::Connection,
    date::http_date,
    downstream::Downstream,
    duplex::Duplex,
    fields::Fields,
    head::{BodyLength, Head},
};
use tokio::time::Instant;

use super::{
    h2_head::has_blanks_around,
    refusals::{Berth, Books},
};
use crate::{
    front::pace::Pace,
    patience::{until, within},
};

/// Read from a file at a time; what the client's window takes is usually less.
const FILE_PIECE_BYTES: usize = 64 << 10;

/// A client that is still sending its body when it has its answer is listened to for this long, and as long
/// as it sends: most look for an answer when they have sent everything, and a reset would take it from them.
/// nginx's `lingering_time` and `lingering_timeout`.
const LINGER_TIME_MAX: Duration = Duration::from_secs(30);
const LINGER_SILENCE_MAX: Duration = Duration::from_secs(5);

/// One HTTP/2 stream.
pub(crate) struct H2Session {
    body: RecvStream,
    reply: Reply,
    head: Head,
    connection: Arc<Connection>,
    /// Its place among the streams of its connection; where an answer that breaks off is left.
    berth: Berth,
    pace: Pace,
    write_timeout: Duration,
    /// The client waits for `100 Continue`.
    expects: bool,
    body_bytes_max: u64,
    bytes_in: u64,
    /// Body bytes the answer's head has announced; `None`: told by the end of the stream.
    announced: Option<u64>,
    /// Trailers may follow the last of them.
    trailers: bool,
    /// HTTP allows no body in this answer.
    bodiless: bool,
    ended: bool,
    /// What a stream is reset with that does not end well.
    reason: Reason,
    bytes_out: u64,
    /// Once it is a WebSocket: its two directions.
    raw: Raw,
}

/// The rest of a body that nobody wants.
pub(crate) struct Lingering {
    body: RecvStream,
}

impl Lingering {
    /// Reads it until its client has sent all of it, or says nothing more.
    pub(crate) async fn read(mut self) {
        let _ = within(LINGER_TIME_MAX, async {
            while let Ok(Some(Ok(piece))) = within(LINGER_SILENCE_MAX, self.body.data()).await {
                if self.body.flow_control().release_capacity(piece.len()).is_err() {
                    break;
                }
            }
        })
        .await;
    }
}

enum Reply {
    NotBegun(SendResponse<Bytes>),
    Begun(SendStream<Bytes>),
}

/// A stream that has become a WebSocket.
#[derive(Default)]
struct Raw {
    input: BytesMut,
    output: BytesMut,
}

impl H2Session {
    /// A stream whose head has been read.
    pub(crate) fn new(
        body: RecvStream,
        reply: SendResponse<Bytes>,
        head: Head,
        connection: Arc<Connection>,
        books: Books,
        limits: &Limits,
    ) -> Self {
        let expects = head.expects_continue();
        Self {
            body,
            reply: Reply::NotBegun(reply),
            head,
            connection,
            berth: Berth::new(books),
            pace: Pace::new(limits),
            write_timeout: limits.body_timeout,
            expects,
            body_bytes_max: u64::MAX,
            bytes_in: 0,
            announced: None,
            trailers: false,
            bodiless: false,
            ended: false,
            reason: Reason::INTERNAL_ERROR,
            bytes_out: 0,
            raw: Raw::default(),
        }
    }

    /// Have we ended its connection?
    pub(crate) fn broken_off(&self) -> Option<(u16, Outcome)> {
        self.berth.books().broken_off()
    }

    /// A body that is announced as empty, and the stream goes on all the same: is it empty? Whoever runs the
    /// request could not be stopped any more.
    pub(crate) async fn confirm_empty(&mut self) -> Result<(), ClientError> {
        if self.head.body != BodyLength::Known(0) || self.body.is_end_stream() {
            return Ok(());
        }
        match self.read_body().await? {
            None => Ok(()),
            Some(piece) if piece.is_empty() => Ok(()),
            Some(_) => Err(ClientError::BadBody),
        }
    }

    /// The answer is over. One that is not complete is cut so that the client can tell, once it has been sent
    /// what there is. Of one that is, the client may still be sending its body.
    pub(crate) fn finish(self) -> Option<Lingering> {
        if !self.ended {
            match self.reply {
                Reply::NotBegun(mut reply) => reply.send_reset(self.reason),
                Reply::Begun(reply) => self.berth.books().cut(reply, self.body, self.reason),
            }
            return None;
        }
        (!self.body.is_end_stream()).then_some(Lingering { body: self.body })
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), ClientError> {
        if self.bodiless {
            return Ok(());
        }
        while !bytes.is_empty() {
            let room = self.room(bytes.len()).await?;
            self.put(bytes.split_to(room))?;
        }
        Ok(())
    }

    /// Waits until something can be sent; how much of what is `wanted`?
    async fn room(&mut self, wanted: usize) -> Result<usize, ClientError> {
        let Reply::Begun(reply) = &mut self.reply else {
            return Err(ClientError::Gone);
        };
        let berth = &mut self.berth;
        reply.reserve_capacity(wanted);
        loop {
            let taken = berth.taken();
            let room = within(self.write_timeout, poll_fn(|cx| berth.poll_room(cx, reply))).await;
            match room {
                Ok(Some(room)) => return Ok(room.min(wanted)),
                Ok(None) => return Err(ClientError::Gone),
                // The client reads, but others of its streams: this one has waited for its place among them.
                Err(_) if berth.is_waiting() && berth.taken() != taken => {}
                Err(_) => return Err(ClientError::TooSlow),
            }
        }
    }

    /// Sends a piece for which there is room.
    fn put(&mut self, piece: Bytes) -> Result<(), ClientError> {
        let Reply::Begun(reply) = &mut self.reply else {
            return Err(ClientError::Gone);
        };
        self.bytes_out += piece.len() as u64;
        let end = self.announced == Some(self.bytes_out) && !self.trailers;
        self.berth.sends(piece.len());
        reply.send_data(piece, end).map_err(|_| ClientError::Gone)?;
        self.ended |= end;
        Ok(())
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let piece = match ready!(self.body.poll_data(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return self.poll_end(cx),
        };
        self.bytes_in += piece.len() as u64;
        let released = self.body.flow_control().release_capacity(piece.len());
        Poll::Ready(Some(released.map(|()| piece)))
    }

    /// The end of the body, where malformed trailers are told as h2 tells of what it sees itself.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let trailers = ready!(self.body.poll_trailers(cx)?).unwrap_or_default();
        let malformed = self.berth.books().has_malformed_end(self.body.stream_id())
            || trailers.values().any(has_blanks_around);
        Poll::Ready(malformed.then(|| Err(Reason::PROTOCOL_ERROR.into())))
    }
}

impl Downstream for H2Session {
    fn head(&self) -> &Head {
        &self.head
    }

    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn limit_body(&mut self, bytes_max: u64) {
        self.body_bytes_max = bytes_max;
    }

    async fn read_body(&mut self) -> Result<Option<Bytes>, ClientError> {
        if self.expects && self.bytes_in == 0 {
            self.send_informational(&Answer::new(100)).await?;
        }
        let deadline = self.pace.wait(Instant::now());
        let read = until(deadline, poll_fn(|cx| self.poll_body(cx)))
            .await
            .map_err(|_| ClientError::TooSlow)?;
        let piece = read.transpose().map_err(|error| match error.reason() {
            // What h2 itself says of a body that does not have its announced length.
            Some(Reason::PROTOCOL_ERROR) => ClientError::BadBody,
            _ => ClientError::Gone,
        })?;
        let bytes = piece.as_ref().map_or(0, Bytes::len);
        self.pace
            .arrived(bytes, Instant::now())
            .map_err(|_| ClientError::TooSlow)?;
        if self.bytes_in > self.body_bytes_max {
            return Err(ClientError::BodyTooLarge(self.body_bytes_max));
        }
        Ok(piece)
    }

    async fn send_informational(&mut self, answer: &Answer) -> Result<(), ClientError> {
        let Reply::NotBegun(reply) = &mut self.reply else {
            return Ok(());
        };
        self.expects &= answer.status != 100;
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::CONTINUE);
        put(head.headers_mut(), &answer.fields);
        reply.send_informational(head).map_err(|_| ClientError::Gone)
    }

    async fn send_head(&mut self, answer: &Answer) -> Result<(), ClientError> {
        self.bodiless = self.head.method == "HEAD" || matches!(answer.status, 204 | 304);
        self.announced = match answer.length {
            AnswerLength::Known(len) => Some(len),
            AnswerLength::Unknown | AnswerLength::None => None,
        };
        self.trailers = answer.trailers && !self.bodiless;
        let Reply::NotBegun(reply) = &mut self.reply else {
            return Err(ClientError::Gone);
        };
        let head = response_head(answer).map_err(|error| {
            tracing::error!(status = answer.status, %error, "answer can not be put into HTTP/2");
            ClientError::Gone
        })?;
        // HEADERS leave with the first DATA: the connection writes when the stream's task has yielded.
        let empty = matches!(answer.length, AnswerLength::Known(0) | AnswerLength::None);
        let ended = self.bodiless || (empty && !self.trailers);
        let reply = reply.send_response(head, ended).map_err(|_| ClientError::Gone)?;
        self.reply = Reply::Begun(reply);
        self.ended = ended;
        Ok(())
    }

    async fn send_body(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        self.write(bytes).await
    }

    async fn send_file(&mut self, file: &Arc<File>, offset: u64, len: u64) -> Result<(), ClientError> {
        if self.bodiless {
            return Ok(());
        }
        let (mut offset, mut left) = (offset, len);
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(FILE_PIECE_BYTES);
            // Nothing is read before the client takes it: it would wait in memory, for each stream.
            let want = self.room(want).await?;
            let mut piece = BytesMut::zeroed(want);
            // Files are read where the loop runs, as nginx does by default: a page that is not in memory is rare, and
            // a thread's hand-over for every piece costs more than it saves.
            let read = match file.read_at(&mut piece, offset) {
                Ok(0) => {
                    tracing::warn!(offset, "file became shorter while it was sent; answer cut");
                    return Err(ClientError::Gone);
                }
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::warn!(offset, %error, "file can not be read while it is sent; answer cut");
                    return Err(ClientError::Gone);
                }
            };
            piece.truncate(read);
            self.put(piece.freeze())?;
            offset += read as u64;
            left -= read as u64;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), ClientError> {
        if self.ended {
            return Ok(());
        }
        if self
            .announced
            .is_some_and(|announced| announced != self.bytes_out)
        {
            // Fewer bytes than announced: not an end but a cut.
            return Err(ClientError::Gone);
        }
        let Reply::Begun(reply) = &mut self.reply else {
            return Err(ClientError::Gone);
        };
        reply
            .send_data(Bytes::new(), true)
            .map_err(|_| ClientError::Gone)?;
        self.ended = true;
        Ok(())
    }

    async fn end_with(&mut self, trailers: &Fields) -> Result<(), ClientError> {
        let whole = self.announced.is_none_or(|announced| announced == self.bytes_out);
        // Behind the end of the stream nothing can follow: an answer with a length has to announce its trailers.
        if self.ended || !whole || trailers.is_empty() {
            return self.end().await;
        }
        let Reply::Begun(reply) = &mut self.reply else {
            return Err(ClientError::Gone);
        };
        let mut map = HeaderMap::with_capacity(trailers.len());
        put(&mut map, trailers);
        reply.send_trailers(map).map_err(|_| ClientError::Gone)?;
        self.ended = true;
        Ok(())
    }

    async fn gone(&mut self) {
        // A reset with whatever reason, or the end of the connection: nobody waits any more.
        let _ = poll_fn(|cx| match &mut self.reply {
            Reply::NotBegun(reply) => reply.poll_reset(cx),
            Reply::Begun(reply) => reply.poll_reset(cx),
        })
        .await;
    }

    fn answered(&self) -> bool {
        matches!(self.reply, Reply::Begun(_))
    }

    fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    fn bytes_out(&self) -> u64 {
        self.bytes_out
    }
}

impl Duplex for H2Session {
    fn input(&mut self) -> &mut BytesMut {
        &mut self.raw.input
    }

    fn output(&mut self) -> &mut BytesMut {
        &mut self.raw.output
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ClientError>> {
        loop {
            match ready!(self.poll_body(cx)) {
                None => return Poll::Ready(Ok(0)),
                // Nothing: it would look like the end.
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.raw.input.extend_from_slice(&piece);
                    return Poll::Ready(Ok(piece.len()));
                }
                Some(Err(_)) => return Poll::Ready(Err(ClientError::Gone)),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let Reply::Begun(writer) = &mut self.reply else {
            return Poll::Ready(Err(ClientError::Gone));
        };
        while !self.raw.output.is_empty() {
            writer.reserve_capacity(self.raw.output.len());
            let Some(room) = ready!(self.berth.poll_room(cx, writer)) else {
                return Poll::Ready(Err(ClientError::Gone));
            };
            let piece = self.raw.output.len().min(room);
            let piece = self.raw.output.copy_to_bytes(piece);
            self.bytes_out += piece.len() as u64;
            self.berth.sends(piece.len());
            if writer.send_data(piece, false).is_err() {
                return Poll::Ready(Err(ClientError::Gone));
            }
        }
        // A client that resets the stream sends nothing more either, which reading finds.
        Poll::Ready(Ok(()))
    }

    fn cut(&mut self) {
        self.reason = Reason::CANCEL;
    }
}

fn response_head(answer: &Answer) -> Result<Response<()>, http::Error> {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(answer.status)?;
    let fields = head.headers_mut();
    fields.reserve(answer.fields.len() + 3);
    if answer.names_server {
        fields.insert(header::SERVER, HeaderValue::from_static(super::SERVER));
    }
    fields.insert(header::DATE, HeaderValue::from_bytes(&http_date())?);
    put(fields, &answer.fields);
    if let AnswerLength::Known(len) = answer.length
        && answer.status != 204
    {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    }
    Ok(head)
}

/// Adds the fields that may be in HTTP/2. Blanks around a value make a message malformed here (RFC 9113
/// §8.2.1).
fn put(map: &mut HeaderMap, fields: &Fields) {
    for (name, value) in fields.iter() {
        if let Ok(name) = HeaderName::from_bytes(name)
            && let Ok(value) = HeaderValue::from_bytes(value.trim_ascii())
            && !is_of_connection(&name)
        {
            map.append(name, value);
        }
    }
}

/// A field that concerns an HTTP/1 connection (RFC 9113 §8.2.2).
fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "upgrade" | "keep-alive" | "proxy-connection" | "transfer-encoding"
    )
}
