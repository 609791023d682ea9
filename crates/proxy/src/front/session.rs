//! One HTTP/1 request and the answer to it.

mod duplex;

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use config::Limits;
use message::chunked::write_chunk_size;
use message::{
    answer::Answer,
    client_error::ClientError,
    connection::Connection,
    downstream::{BodyPiece, Downstream},
    fields::Fields,
    head::{Head, Version},
};
use tokio::{select, time::Instant};

use super::{
    body::RequestBody,
    parse::Parsed,
    reply::{ReplyFraming, write_head, write_informational, write_switch},
};
use crate::listener::{crowd::Guest, stream::ClientStream};
use crate::patience::within;

/// One HTTP/1 request and the answer to it.
#[derive(Debug)]
pub(crate) struct Http1Session<'a> {
    stream: &'a mut ClientStream,
    connection: &'a Connection,
    write_timeout: Duration,
    head: Head,
    body: RequestBody,
    reply: Reply,
    bytes_out: u64,
    keep_alive: bool,
    /// Something failed from which the connection cannot recover.
    broken: bool,
    /// Bytes read for the WebSocket that the connection has become.
    raw_in: u64,
    /// Of the head that made it one, those still to be written: they count as little as those of other heads.
    switch_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    NotBegun,
    Body(ReplyFraming),
    /// The connection has become a WebSocket.
    Switched,
    Done,
}

/// What is to become of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request may come.
    Keep,
    /// Nothing more will be read.
    Close,
    /// The client may still be sending: a close now would be a reset, and could cost it the answer.
    Linger,
    /// The answer is not whole, and no farewell may make it look so.
    Cut,
}

impl<'a> Http1Session<'a> {
    /// A request whose head has been taken off `stream`. `last`: no other request is wanted on this connection.
    pub(crate) fn new(
        stream: &'a mut ClientStream,
        connection: &'a Connection,
        limits: &Limits,
        parsed: Parsed,
        last: bool,
    ) -> Self {
        Self {
            stream,
            connection,
            write_timeout: limits.body_timeout,
            body: RequestBody::new(parsed.head.body, parsed.expect_continue, limits),
            head: parsed.head,
            reply: Reply::NotBegun,
            bytes_out: 0,
            keep_alive: parsed.keep_alive && !last,
            broken: false,
            raw_in: 0,
            switch_bytes: 0,
        }
    }

    /// The request has been answered, or never will be.
    pub(crate) async fn finish(mut self, guest: &Guest) -> After {
        match self.reply {
            Reply::Done if !self.broken => {}
            // The client may still be sending what it had on the way when it was closed.
            Reply::Switched if !self.broken => return After::Linger,
            Reply::Done | Reply::Switched | Reply::Body(_) | Reply::NotBegun => return After::Cut,
        }
        if self.keep_alive && (self.body.is_done() || self.skip(guest).await) {
            After::Keep
        } else if self.body.is_done() && self.stream.input.is_empty() {
            After::Close
        } else {
            After::Linger
        }
    }

    /// Reads past what is left of the body, unless somebody else needs the place more.
    async fn skip(&mut self, guest: &Guest) -> bool {
        guest.rest(Instant::now());
        select! {
            biased;
            skipped = self.body.skip(self.stream) => {
                guest.work();
                skipped
            }
            () = guest.asked_to_leave() => false,
        }
    }

    /// Writes what waits, then `body` and `tail`, holding the client to the write timeout.
    async fn write(&mut self, body: &[u8], tail: &'static [u8]) -> Result<(), ClientError> {
        if body.len() <= COALESCE_BYTES_MAX {
            self.stream.output.extend_from_slice(body);
            self.stream.output.extend_from_slice(tail);
            let result = self.flush().await;
            if result.is_ok() {
                self.bytes_out += body.len() as u64;
            }
            return result;
        }
        let mut at = 0;
        while at < body.len() {
            match within(self.write_timeout, self.stream.write_once(&body[at..], tail)).await {
                Ok(Ok(written)) => {
                    self.bytes_out += written.min(body.len() - at) as u64;
                    at += written;
                }
                Ok(Err(_)) => return Err(self.fail(ClientError::Gone)),
                Err(_) => return Err(self.fail(ClientError::TooSlow)),
            }
        }
        self.stream.output.extend_from_slice(&tail[at - body.len()..]);
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        while !self.stream.output.is_empty() {
            match within(self.write_timeout, self.stream.write_once(&[], &[])).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Err(self.fail(ClientError::Gone)),
                Err(_) => return Err(self.fail(ClientError::TooSlow)),
            }
        }
        match within(self.write_timeout, self.stream.flush_transport()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.fail(ClientError::Gone)),
            Err(_) => Err(self.fail(ClientError::TooSlow)),
        }
    }

    fn fail(&mut self, error: ClientError) -> ClientError {
        self.broken = true;
        if error == ClientError::TooSlow {
            // What the kernel still holds for this client is not to wait for it any longer.
            self.stream.reset_on_close();
        }
        error
    }

    /// Sends `len` bytes of `file`, framed already. The first piece leaves together with the head; the rest goes from
    /// the page cache to the socket where no TLS is in between. Reading from the disk blocks this thread as it does
    /// in nginx without threads: pieces are small, and what is served often is in memory.
    async fn send_pieces(&mut self, file: &File, mut offset: u64, len: u64) -> Result<(), ClientError> {
        let end = offset.saturating_add(len);
        while offset < end {
            let room = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let sent = if let Some(socket) = self
                .stream
                .plain_socket()
                .filter(|_| self.stream.output.is_empty())
            {
                let sent = within(
                    self.write_timeout,
                    socket.send_file(file.as_fd(), offset, room.min(SENDFILE_BYTES)),
                )
                .await;
                match sent {
                    Ok(Ok(0)) => return Err(self.shrunk()),
                    Ok(Ok(sent)) => sent,
                    Ok(Err(error))
                        if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) =>
                    {
                        // A file system that knows no sendfile.
                        self.buffer_piece(file, offset, room)?
                    }
                    Ok(Err(_)) => return Err(self.fail(ClientError::Gone)),
                    Err(_) => return Err(self.fail(ClientError::TooSlow)),
                }
            } else {
                let sent = self.buffer_piece(file, offset, room)?;
                self.flush().await?;
                sent
            };
            offset += sent as u64;
            self.bytes_out += sent as u64;
            // A fast client of a large file shares the thread with the others.
            if offset < end {
                tokio::task::consume_budget().await;
            }
        }
        self.flush().await
    }

    /// Appends a piece of the file to what waits to be written.
    fn buffer_piece(&mut self, file: &File, offset: u64, room: usize) -> Result<usize, ClientError> {
        let output = &mut self.stream.output;
        let start = output.len();
        output.resize(start + room.min(PIECE_BYTES), 0);
        let read = loop {
            match file.read_at(&mut output[start..], offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        output.truncate(start + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err(self.shrunk()),
            Ok(read) => Ok(read),
            Err(error) => {
                tracing::warn!(%error, "file can not be read while it is being sent");
                Err(self.fail(ClientError::Gone))
            }
        }
    }

    /// The file has become shorter: the answer is cut, so that the client can tell.
    fn shrunk(&mut self) -> ClientError {
        tracing::warn!("file became shorter while it was being sent");
        self.fail(ClientError::Gone)
    }
}

#[cfg(test)]
impl Http1Session<'_> {
    /// What the client was told.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.keep_alive
    }
}

impl Downstream for Http1Session<'_> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn connection(&self) -> &Connection {
        self.connection
    }

    fn limit_body(&mut self, bytes_max: u64) {
        self.body.limit(bytes_max);
    }

    async fn read_body(&mut self) -> Result<Option<Bytes>, ClientError> {
        let result = self.body.read(self.stream).await;
        // What follows a body that went wrong is not the next request.
        if result.is_err() {
            self.keep_alive = false;
        }
        result
    }

    async fn read_body_into(&mut self, room: &mut [u8]) -> Result<BodyPiece, ClientError> {
        let result = self.body.read_into(self.stream, room).await;
        if result.is_err() {
            self.keep_alive = false;
        }
        result
    }

    async fn send_informational(&mut self, answer: &Answer) -> Result<(), ClientError> {
        // HTTP/1.0 knows none: an old client would take it for the answer (RFC 9110 §15.2).
        if self.head.version != Version::Http11 || self.reply != Reply::NotBegun {
            return Ok(());
        }
        if answer.status == 100 {
            self.body.continued();
        }
        write_informational(&mut self.stream.output, answer);
        self.flush().await
    }

    async fn send_head(&mut self, answer: &Answer) -> Result<(), ClientError> {
        if answer.status == 101 {
            write_switch(&mut self.stream.output, answer);
            self.switch_bytes = self.stream.output.len();
            self.raw_in = self.stream.input.len() as u64;
            self.reply = Reply::Switched;
            return Ok(());
        }
        let framing = ReplyFraming::choose(answer, &self.head.method, self.head.version);
        self.keep_alive &= framing != ReplyFraming::UntilClose && self.body.can_be_skipped();
        self.body.answered();
        write_head(
            &mut self.stream.output,
            answer,
            framing,
            self.head.version,
            self.keep_alive,
        );
        if framing == ReplyFraming::UntilClose {
            // Until it is whole, whatever ends the connection (also the grace of a drain) must not look like its end.
            self.stream.reset_on_close();
        }
        self.reply = Reply::Body(framing);
        Ok(())
    }

    async fn send_body(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        match self.reply {
            Reply::Body(ReplyFraming::Sized { left }) => {
                // More than was promised would be read as the next answer.
                let len = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.write(&bytes[..len], b"").await?;
                self.reply = Reply::Body(ReplyFraming::Sized {
                    left: left - len as u64,
                });
                Ok(())
            }
            Reply::Body(ReplyFraming::Chunked) if !bytes.is_empty() => {
                write_chunk_size(&mut self.stream.output, bytes.len() as u64);
                self.write(&bytes, b"\r\n").await
            }
            Reply::Body(ReplyFraming::UntilClose) => self.write(&bytes, b"").await,
            Reply::Body(ReplyFraming::Empty | ReplyFraming::Chunked) => self.flush().await,
            Reply::NotBegun | Reply::Switched | Reply::Done => Ok(()),
        }
    }

    async fn send_file(&mut self, file: &Arc<File>, offset: u64, len: u64) -> Result<(), ClientError> {
        match self.reply {
            Reply::Body(ReplyFraming::Sized { left }) => {
                let len = len.min(left);
                self.send_pieces(file, offset, len).await?;
                self.reply = Reply::Body(ReplyFraming::Sized { left: left - len });
                Ok(())
            }
            Reply::Body(ReplyFraming::Chunked) if len > 0 => {
                write_chunk_size(&mut self.stream.output, len);
                self.send_pieces(file, offset, len).await?;
                self.stream.output.extend_from_slice(b"\r\n");
                self.flush().await
            }
            Reply::Body(ReplyFraming::UntilClose) => self.send_pieces(file, offset, len).await,
            Reply::Body(ReplyFraming::Empty | ReplyFraming::Chunked) => self.flush().await,
            Reply::NotBegun | Reply::Switched | Reply::Done => Ok(()),
        }
    }

    async fn end(&mut self) -> Result<(), ClientError> {
        match self.reply {
            Reply::Body(ReplyFraming::Sized { left: 1.. }) => {
                // The close tells the client that something is missing.
                self.flush().await?;
                self.broken = true;
                return Ok(());
            }
            Reply::Body(ReplyFraming::Chunked) => self.stream.output.extend_from_slice(b"0\r\n\r\n"),
            Reply::Body(ReplyFraming::UntilClose) => self.stream.close_in_order(),
            Reply::Body(_) => {}
            Reply::NotBegun | Reply::Switched | Reply::Done => return Ok(()),
        }
        self.reply = Reply::Done;
        self.flush().await
    }

    async fn end_with(&mut self, trailers: &Fields) -> Result<(), ClientError> {
        // Whoever does not ask for them may not expect anything behind the last chunk (RFC 9110 §6.5.1).
        if self.reply != Reply::Body(ReplyFraming::Chunked) || !takes_trailers(&self.head) {
            return self.end().await;
        }
        self.stream.output.extend_from_slice(b"0\r\n");
        trailers.write_http1(&mut self.stream.output);
        self.stream.output.extend_from_slice(b"\r\n");
        self.reply = Reply::Done;
        self.flush().await
    }

    async fn gone(&mut self) {
        // A head that was held back goes out: nobody knows how long the body will take.
        if self.stream.flush_output().await.is_err() {
            self.broken = true;
            return;
        }
        let mut room = AHEAD_READ_BYTES;
        if self.answered() {
            // An answer that pauses may do so for hours, and thousands may do so at once.
            self.stream.shrink(true);
            room = PAUSE_READ_BYTES;
        }
        while self.stream.input.len() < AHEAD_BYTES_MAX {
            if !matches!(self.stream.fill(room).await, Ok(1..)) {
                self.broken = true;
                return;
            }
        }
        std::future::pending().await
    }

    fn answered(&self) -> bool {
        self.reply != Reply::NotBegun
    }

    fn bytes_in(&self) -> u64 {
        self.body.bytes() + self.raw_in
    }

    fn bytes_out(&self) -> u64 {
        self.bytes_out
    }
}

/// Does the client say `TE: trailers`?
fn takes_trailers(head: &Head) -> bool {
    head.fields.all("te").any(|value| {
        value
            .split(|byte| *byte == b',')
            .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Bodies up to this size are copied behind the head, so that both are one TLS record and one plain write.
const COALESCE_BYTES_MAX: usize = 16 << 10;
/// Read from a file at once.
const PIECE_BYTES: usize = 64 << 10;
/// Given to one sendfile(2).
const SENDFILE_BYTES: usize = 512 << 10;
/// What a client may send ahead of its turn before we stop watching whether it is still there.
const AHEAD_BYTES_MAX: usize = 64 << 10;
const AHEAD_READ_BYTES: usize = 4 << 10;
/// The same for a client whose answer pauses: it is not expected to say anything.
const PAUSE_READ_BYTES: usize = 256;
