//! The body of a request, taken off the connection.

use std::time::Duration;

use bytes::Bytes;
use config::Limits;
use message::chunked::Chunked;
use message::{client_error::ClientError, downstream::BodyPiece, head::BodyLength};
use tokio::{io::AsyncReadExt, time::Instant};

use super::pace::Pace;
use crate::listener::stream::ClientStream;
use crate::patience::{until, within};

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
                BodyLength::Unknown => Framing::Chunked(Chunked::of_request()),
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

    /// Does it keep to its limit, with what is known to come: all that is left, or the rest of a chunk?
    fn check(&self) -> Result<(), ClientError> {
        let announced = match self.framing {
            Framing::Known { left } => left,
            Framing::Chunked(chunked) => chunked.announced(),
        };
        if self.bytes.saturating_add(announced) > self.bytes_max {
            return Err(ClientError::BodyTooLarge(self.bytes_max));
        }
        Ok(())
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

    /// The head of the answer is on its way: nothing may follow it that is none of the answer's, `100
    /// Continue` least of all. A client sends its body all the same, or does not (RFC 9110 §10.1.1).
    pub(crate) fn answered(&mut self) {
        self.expects_continue = false;
    }

    /// The client has been told to send it.
    pub(crate) fn continued(&mut self) {
        self.expects_continue = false;
    }

    /// Next piece, `None` at the end. Safe to drop.
    pub(crate) async fn read(&mut self, stream: &mut ClientStream) -> Result<Option<Bytes>, ClientError> {
        self.check()?;
        loop {
            if let Some(data) = self.take(stream)? {
                self.bytes += data.len() as u64;
                self.check()?;
                return Ok(Some(data));
            }
            if self.is_done() {
                return Ok(None);
            }
            self.check()?;
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

    /// The same; what is still to be received goes to the beginning of `room` where nothing has to be taken off it. Safe to drop.
    pub(crate) async fn read_into(
        &mut self,
        stream: &mut ClientStream,
        room: &mut [u8],
    ) -> Result<BodyPiece, ClientError> {
        let left = match self.framing {
            Framing::Known { left } if left > 0 && self.bytes.saturating_add(left) <= self.bytes_max => left,
            _ => 0,
        };
        if left == 0 || self.expects_continue || !stream.input.is_empty() || !stream.output.is_empty() {
            let piece = self.read(stream).await?;
            return Ok(piece.map_or(BodyPiece::End, BodyPiece::Bytes));
        }
        let len = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let deadline = self.pace.wait(Instant::now());
        let read = match until(deadline, stream.read(&mut room[..len])).await {
            Ok(Ok(read @ 1..)) => read,
            Ok(Ok(0) | Err(_)) => return Err(ClientError::Gone),
            Err(_) => return Err(ClientError::TooSlow),
        };
        self.framing = Framing::Known {
            left: left - read as u64,
        };
        self.bytes += read as u64;
        self.pace
            .arrived(read, Instant::now())
            .map_err(|_| ClientError::TooSlow)?;
        Ok(BodyPiece::Read(read))
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

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::UnixStream};

    use super::*;

    const LIMITS: Limits = Limits {
        connections_max: 1,
        target_bytes_max: 1,
        head_bytes_max: 1,
        headers_max: 1,
        head_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
        body_timeout: Duration::from_secs(20),
        body_rate_min: 0,
        requests_max: 1,
    };

    #[tokio::test]
    async fn a_body_of_known_length_is_read_to_where_it_is_wanted_and_no_further() {
        let (ours, mut client) = UnixStream::pair().expect("socketpair");
        let mut stream = ClientStream::of_pair(ours);
        // Some of it came with the head, and the next request is right behind it.
        stream.input.extend_from_slice(b"ab");
        client.write_all(b"cdefgGET").await.expect("written");
        let mut body = RequestBody::new(BodyLength::Known(7), false, &LIMITS);
        let mut room = [0; 4];
        let first = body.read_into(&mut stream, &mut room).await;
        assert_eq!(first, Ok(BodyPiece::Bytes(Bytes::from_static(b"ab"))));
        assert_eq!(
            body.read_into(&mut stream, &mut room).await,
            Ok(BodyPiece::Read(4))
        );
        assert_eq!(&room, b"cdef");
        assert_eq!(
            body.read_into(&mut stream, &mut room).await,
            Ok(BodyPiece::Read(1))
        );
        assert_eq!(&room, b"gdef");
        assert_eq!(body.read_into(&mut stream, &mut room).await, Ok(BodyPiece::End));
        assert_eq!((body.is_done(), body.bytes(), stream.input.len()), (true, 7, 0));
        assert_eq!(stream.fill(16).await.expect("more"), 3);
    }

    #[tokio::test]
    async fn a_client_that_waits_to_be_asked_is_asked_first() {
        let (ours, mut client) = UnixStream::pair().expect("socketpair");
        let mut stream = ClientStream::of_pair(ours);
        let mut body = RequestBody::new(BodyLength::Known(2), true, &LIMITS);
        let answers = async {
            let mut word = [0; 25];
            client.read_exact(&mut word).await.expect("word");
            client.write_all(b"ab").await.expect("written");
            word
        };
        let mut room = [0; 4];
        let (piece, word) = tokio::join!(body.read_into(&mut stream, &mut room), answers);
        assert_eq!(piece, Ok(BodyPiece::Bytes(Bytes::from_static(b"ab"))));
        assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[tokio::test]
    async fn what_is_read_elsewhere_counts_against_the_limit() {
        let (ours, mut client) = UnixStream::pair().expect("socketpair");
        let mut stream = ClientStream::of_pair(ours);
        client.write_all(b"abcdef").await.expect("written");
        let mut body = RequestBody::new(BodyLength::Known(6), false, &LIMITS);
        let mut room = [0; 4];
        assert_eq!(
            body.read_into(&mut stream, &mut room).await,
            Ok(BodyPiece::Read(4))
        );
        assert_eq!(&room, b"abcd");
        body.limit(5);
        let refused = body.read_into(&mut stream, &mut room).await;
        assert_eq!(refused, Err(ClientError::BodyTooLarge(5)));
        // A client that leaves half-way.
        let mut body = RequestBody::new(BodyLength::Known(6), false, &LIMITS);
        assert_eq!(
            body.read_into(&mut stream, &mut room).await,
            Ok(BodyPiece::Read(2))
        );
        drop(client);
        assert_eq!(
            body.read_into(&mut stream, &mut room).await,
            Err(ClientError::Gone)
        );
    }
}
