//! One HTTP/2 stream as the client that files, fixed answers and apps see.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use config::Limits;
use h2::{Reason, SendStream};
use pingora_core::{ErrorType, protocols::http::v2::server::HttpSession};
use pingora_http::ResponseHeader;
use tokio::time::Instant;

use crate::{
    answer::{Answer, AnswerLength},
    connection::Connection,
    downstream::{ClientError, Downstream},
    duplex::Duplex,
    fields::Fields,
    front::{pace::Pace, patience::until},
    head::Head,
};

/// Read from a file at a time; what the client's window takes is usually less.
const FILE_PIECE_BYTES: usize = 64 << 10;

/// One HTTP/2 stream.
pub(crate) struct H2Session {
    stream: HttpSession,
    head: Head,
    connection: Arc<Connection>,
    pace: Pace,
    body_bytes_max: u64,
    /// Body bytes the answer's head has announced; `None`: told by the end of the stream.
    announced: Option<u64>,
    /// Trailers may follow the last of them.
    trailers: bool,
    /// HTTP allows no body in this answer.
    bodiless: bool,
    ended: bool,
    bytes_out: u64,
    /// Once it is a WebSocket: its two directions.
    raw: Raw,
}

/// A stream that has become a WebSocket.
#[derive(Default)]
struct Raw {
    input: BytesMut,
    output: BytesMut,
    writer: Option<SendStream<Bytes>>,
}

impl H2Session {
    /// A stream whose head has been read.
    pub(crate) fn new(
        mut stream: HttpSession,
        head: Head,
        connection: Arc<Connection>,
        limits: &Limits,
    ) -> Self {
        stream.set_write_timeout(Some(limits.body_timeout));
        Self {
            stream,
            head,
            connection,
            pace: Pace::new(limits),
            body_bytes_max: u64::MAX,
            announced: None,
            trailers: false,
            bodiless: false,
            ended: false,
            bytes_out: 0,
            raw: Raw::default(),
        }
    }

    /// The answer is over. One that is not complete is cut so that the client can tell.
    pub(crate) fn close(mut self) {
        if !self.ended {
            self.stream.shutdown_with_reason(Reason::INTERNAL_ERROR);
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        let len = bytes.len() as u64;
        if self.bodiless || len == 0 {
            return Ok(());
        }
        self.bytes_out += len;
        let end = self.announced == Some(self.bytes_out) && !self.trailers;
        self.stream
            .write_body(bytes, end)
            .await
            .map_err(|error| match error.root_etype() {
                ErrorType::WriteTimedout => ClientError::TooSlow,
                _ => ClientError::Gone,
            })?;
        self.ended |= end;
        Ok(())
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
        let deadline = self.pace.wait(Instant::now());
        let read = until(deadline, self.stream.read_body_bytes())
            .await
            .map_err(|_| ClientError::TooSlow)?;
        let piece = read.map_err(|error| {
            let malformed = error
                .root_cause()
                .downcast_ref::<h2::Error>()
                .and_then(h2::Error::reason);
            match malformed {
                // What h2 itself says of a body that does not have its announced length.
                Some(Reason::PROTOCOL_ERROR) => ClientError::BadBody,
                _ => ClientError::Gone,
            }
        })?;
        let bytes = piece.as_ref().map_or(0, Bytes::len);
        self.pace
            .arrived(bytes, Instant::now())
            .map_err(|_| ClientError::TooSlow)?;
        if self.bytes_in() > self.body_bytes_max {
            return Err(ClientError::BodyTooLarge(self.body_bytes_max));
        }
        Ok(piece)
    }

    async fn send_informational(&mut self, _answer: &Answer) -> Result<(), ClientError> {
        // h2 could send one; pingora keeps the half of the stream that does to itself and drops what it is given. They are
        // hints: a client that gets none asks for the same things a little later.
        Ok(())
    }

    async fn send_head(&mut self, answer: &Answer) -> Result<(), ClientError> {
        self.bodiless = self.head.method == "HEAD" || matches!(answer.status, 204 | 304);
        self.announced = match answer.length {
            AnswerLength::Known(len) => Some(len),
            AnswerLength::Unknown | AnswerLength::None => None,
        };
        self.trailers = answer.trailers && !self.bodiless;
        // HEADERS leave with the first DATA: the connection writes when the stream's task has yielded.
        let empty = matches!(answer.length, AnswerLength::Known(0) | AnswerLength::None);
        self.ended = self.bodiless || (empty && !self.trailers);
        let header = response_header(answer).map_err(|error| {
            tracing::error!(status = answer.status, %error, "answer can not be put into HTTP/2");
            ClientError::Gone
        })?;
        self.stream
            .write_response_header(Box::new(header), self.ended)
            .map_err(|_| ClientError::Gone)?;
        if self.head.method == "CONNECT" && answer.status == 200 {
            self.raw.writer = self.stream.take_response_body_writer();
        }
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
            self.write(piece.freeze()).await?;
            offset += read as u64;
            left -= read as u64;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), ClientError> {
        if self.ended {
            return Ok(());
        }
        if let Some(writer) = &mut self.raw.writer {
            writer
                .send_data(Bytes::new(), true)
                .map_err(|_| ClientError::Gone)?;
            self.ended = true;
            return Ok(());
        }
        if self
            .announced
            .is_some_and(|announced| announced != self.bytes_out)
        {
            // Fewer bytes than announced: not an end but a cut.
            return Err(ClientError::Gone);
        }
        self.stream.finish().map_err(|_| ClientError::Gone)?;
        self.ended = true;
        Ok(())
    }

    async fn end_with(&mut self, trailers: &Fields) -> Result<(), ClientError> {
        let whole = self.announced.is_none_or(|announced| announced == self.bytes_out);
        // Behind the end of the stream nothing can follow: an answer with a length has to announce its trailers.
        if self.ended || !whole || trailers.len() == 0 {
            return self.end().await;
        }
        let mut map = http::HeaderMap::with_capacity(trailers.len());
        for (name, value) in trailers.iter() {
            if let (Ok(name), Ok(value)) = (
                http::HeaderName::from_bytes(name),
                http::HeaderValue::from_bytes(value),
            ) {
                map.append(name, value);
            }
        }
        self.stream.write_trailers(map).map_err(|_| ClientError::Gone)?;
        self.ended = true;
        Ok(())
    }

    async fn gone(&mut self) {
        // A reset with whatever reason, or the end of the connection: nobody waits any more.
        let _ = self.stream.idle().await;
    }

    fn answered(&self) -> bool {
        self.stream.response_written().is_some()
    }

    fn bytes_in(&self) -> u64 {
        self.stream.body_bytes_read() as u64
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
            match ready!(self.stream.poll_read_body_bytes(cx)) {
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
        let Some(writer) = &mut self.raw.writer else {
            return Poll::Ready(Err(ClientError::Gone));
        };
        while !self.raw.output.is_empty() {
            writer.reserve_capacity(self.raw.output.len());
            let room = match ready!(writer.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(_)) | None => return Poll::Ready(Err(ClientError::Gone)),
            };
            let piece = self.raw.output.len().min(room);
            let piece = self.raw.output.copy_to_bytes(piece);
            self.bytes_out += piece.len() as u64;
            if writer.send_data(piece, false).is_err() {
                return Poll::Ready(Err(ClientError::Gone));
            }
        }
        // A client that resets the stream sends nothing more either, which reading finds.
        Poll::Ready(Ok(()))
    }

    fn cut(&mut self) {
        if let Some(writer) = &mut self.raw.writer {
            writer.send_reset(Reason::CANCEL);
            self.ended = true;
        }
    }
}

/// Date is added by pingora.
fn response_header(answer: &Answer) -> pingora_core::Result<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(answer.status, Some(answer.fields.len() + 3))?;
    header.insert_header(http::header::SERVER, super::SERVER)?;
    for (name, value) in answer.fields.iter() {
        header.append_header(http::HeaderName::from_bytes(name).map_err(invalid)?, value)?;
    }
    if let AnswerLength::Known(len) = answer.length
        && answer.status != 204
    {
        header.insert_header(http::header::CONTENT_LENGTH, itoa::Buffer::new().format(len))?;
    }
    Ok(header)
}

fn invalid(error: http::header::InvalidHeaderName) -> pingora_core::BError {
    pingora_core::Error::because(ErrorType::InvalidHTTPHeader, "field name of an answer", error)
}
