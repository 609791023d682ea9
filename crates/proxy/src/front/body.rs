//! The body of a request, taken off the connection.

use std::time::Duration;

use bytes::Bytes;
use config::Limits;
use tokio::time::Instant;

use super::{
    chunked::Chunked,
    pace::Pace,
    patience::{until, within},
};
use crate::{downstream::ClientError, head::BodyLength, listener::stream::ClientStream};

/// The body of one request.
#[derive(Debug)]
pub(crate) struct RequestBody {
    framing: Framing,
    bytes_max: u64,
    bytes: u64,
    pace: Pace,
    /// For the next read; grows with a client that fills it.
    room: usize,
    /// The client waits for `100 Continue`.
    expects_continue: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Known { left: u64 },
    Chunked(Chunked),
}

impl RequestBody {
    /// A body of which nothing has been read.
    pub(crate) fn new(length: BodyLength, expects_continue: bool, limits: &Limits) -> Self {
        Self {
            framing: match length {
                BodyLength::Known(left) => Framing::Known { left },
                BodyLength::Unknown => Framing::Chunked(Chunked::new()),
            },
            bytes_max: u64::MAX,
            bytes: 0,
            pace: Pace::new(limits),
            room: ROOM_BYTES_MIN,
            expects_continue,
        }
    }

    /// Sets the largest body to be accepted.
    pub(crate) fn limit(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// Bytes taken so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Has all of it been taken?
    pub(crate) fn is_done(&self) -> bool {
        match self.framing {
            Framing::Known { left } => left == 0,
            Framing::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// Can what is left be read past, so that the connection serves on? Not when it is long, and not when the client was
    /// never told to send it: it may or may not do so.
    pub(crate) fn can_be_skipped(&self) -> bool {
        self.is_done()
            || !self.expects_continue
                && match self.framing {
                    Framing::Known { left } => left <= SKIP_BYTES_MAX,
                    Framing::Chunked(_) => true,
                }
    }

    /// Next piece, `None` at the end. Safe to drop.
    pub(crate) async fn read(&mut self, stream: &mut ClientStream) -> Result<Option<Bytes>, ClientError> {
        if let Framing::Known { left } = self.framing
            && self.bytes.saturating_add(left) > self.bytes_max
        {
            return Err(ClientError::BodyTooLarge(self.bytes_max));
        }
        loop {
            if let Some(data) = self.take(stream)? {
                self.bytes += data.len() as u64;
                return if self.bytes > self.bytes_max {
                    Err(ClientError::BodyTooLarge(self.bytes_max))
                } else {
                    Ok(Some(data))
                };
            }
            if self.is_done() {
                return Ok(None);
            }
            if self.expects_continue {
                self.expects_continue = false;
                stream.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            if !stream.output.is_empty() {
                within(self.pace.timeout(), stream.flush_output())
                    .await
                    .map_err(|_| ClientError::TooSlow)?
                    .map_err(|_| ClientError::Gone)?;
            }
            let room = match self.framing {
                Framing::Known { left } => {
                    usize::try_from(left).map_or(self.room, |left| left.min(self.room))
                }
                Framing::Chunked(_) => self.room,
            };
            let deadline = self.pace.wait(Instant::now());
            match until(deadline, stream.fill(room)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Err(ClientError::Gone),
                Err(_) => return Err(ClientError::TooSlow),
            }
            if stream.input.len() >= ROOM_BYTES_MIN {
                self.room = ROOM_BYTES_MAX;
            }
            self.pace
                .arrived(stream.input.len(), Instant::now())
                .map_err(|_| ClientError::TooSlow)?;
        }
    }

    /// Reads past what is left; `false` when that would take too long.
    pub(crate) async fn skip(&mut self, stream: &mut ClientStream) -> bool {
        self.limit(self.bytes.saturating_add(SKIP_BYTES_MAX));
        let deadline = Instant::now() + SKIP_TIME_MAX;
        loop {
            match until(deadline, self.read(stream)).await {
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None)) => return true,
                Ok(Err(_)) | Err(_) => return false,
            }
        }
    }

    fn take(&mut self, stream: &mut ClientStream) -> Result<Option<Bytes>, ClientError> {
        match &mut self.framing {
            Framing::Known { left } => {
                let len = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(stream.input.len());
                *left -= len as u64;
                Ok((len > 0).then(|| stream.input.split_to(len).freeze()))
            }
            Framing::Chunked(chunked) => chunked
                .decode(&mut stream.input)
                .map_err(|_| ClientError::BadBody),
        }
    }
}

/// Room for one read: many slow clients must not cost much memory, and a fast one not many reads.
const ROOM_BYTES_MIN: usize = 16 << 10;
const ROOM_BYTES_MAX: usize = 64 << 10;
/// Of a body that nobody wanted; past it the connection is closed instead.
const SKIP_BYTES_MAX: u64 = 256 << 10;
const SKIP_TIME_MAX: Duration = Duration::from_secs(5);
