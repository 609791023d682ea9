//! The connection behind a head of status 101.

use std::{
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use message::{client_error::ClientError, duplex::Duplex};

use super::Http1Session;

impl Duplex for Http1Session<'_> {
    fn input(&mut self) -> &mut BytesMut {
        &mut self.stream.input
    }

    fn output(&mut self) -> &mut BytesMut {
        &mut self.stream.output
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ClientError>> {
        // Safe to drop, so it may be begun anew each time.
        let filled = pin!(self.stream.fill(DUPLEX_READ_BYTES)).poll(cx);
        match ready!(filled) {
            Ok(read) => {
                self.raw_in += read as u64;
                Poll::Ready(Ok(read))
            }
            Err(_) => Poll::Ready(Err(self.fail(ClientError::Gone))),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let before = self.stream.output.len();
        let flushed = pin!(self.stream.flush_output()).poll(cx);
        let written = before - self.stream.output.len();
        let of_head = written.min(self.switch_bytes);
        self.switch_bytes -= of_head;
        self.bytes_out += (written - of_head) as u64;
        flushed.map(|flushed| flushed.map_err(|_| self.fail(ClientError::Gone)))
    }

    fn cut(&mut self) {
        self.fail(ClientError::TooSlow);
    }
}

/// Read from a WebSocket at once.
const DUPLEX_READ_BYTES: usize = 16 << 10;
