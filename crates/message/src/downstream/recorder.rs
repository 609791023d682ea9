//! A client in memory for tests: sends what it is given, keeps what it gets.

use std::{
    collections::VecDeque,
    fs::File,
    os::unix::fs::FileExt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use super::Downstream;
use crate::client_error::ClientError;
use crate::{
    answer::Answer,
    connection::Connection,
    duplex::Duplex,
    fields::Fields,
    head::{BodyLength, Head, Version},
};

/// One request and what came back.
#[derive(Debug)]
pub struct Recorder {
    /// What it asks.
    pub head: Head,
    /// How it came.
    pub connection: Connection,
    /// Pieces of the request body still to be read.
    pub body_in: VecDeque<Bytes>,
    /// Largest body allowed, once limited.
    pub limit: Option<u64>,
    /// Informational responses, in order.
    pub informational: Vec<Answer>,
    /// Head of the answer.
    pub answer: Option<Answer>,
    /// Trailers of the answer.
    pub trailers: Option<Fields>,
    /// Body of the answer so far.
    pub body_out: Vec<u8>,
    /// Was the answer ended?
    pub ended: bool,
    /// Takes this many body bytes and then leaves.
    pub leaves_after: Option<u64>,
    /// Takes this many body bytes and then waits for ever.
    pub stalls_after: Option<u64>,
    bytes_in: u64,
    raw: [BytesMut; 2],
}

impl Recorder {
    /// A client at 192.0.2.7 that asks for `target` of `example.org` by HTTP/1.1.
    pub fn new(method: &str, target: &str, lines: &[(&str, &str)]) -> Self {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name, value);
        }
        Self {
            head: Head {
                method: method.to_owned(),
                target: target.as_bytes().to_vec(),
                version: Version::Http11,
                host: b"example.org".to_vec(),
                fields,
                body: BodyLength::Known(0),
            },
            connection: Connection {
                listener: 0,
                peer: "192.0.2.7:4711".parse().ok(),
                local: "192.0.2.1:80".parse().ok(),
                tls: None,
            },
            body_in: VecDeque::new(),
            limit: None,
            informational: Vec::new(),
            answer: None,
            trailers: None,
            body_out: Vec::new(),
            ended: false,
            leaves_after: None,
            stalls_after: None,
            bytes_in: 0,
            raw: Default::default(),
        }
    }

    /// Status of the answer, 0 without one.
    pub fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| answer.status)
    }

    /// A field of the answer.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.answer
            .as_ref()
            .and_then(|answer| answer.fields.get(name))
            .map(|value| std::str::from_utf8(value).expect("fields of tests are text"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body_out).expect("bodies of tests are text")
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        assert!(self.answer.is_some(), "a body without a head");
        assert!(!self.ended, "a body after the end");
        if self.head.method == "HEAD" {
            return Ok(());
        }
        let limit = self.leaves_after.or(self.stalls_after).unwrap_or(u64::MAX);
        let room = limit - self.body_out.len() as u64;
        if (bytes.len() as u64) > room {
            self.body_out.extend_from_slice(&bytes[..room as usize]);
            if self.leaves_after.is_none() {
                std::future::pending::<()>().await;
            }
            return Err(ClientError::Gone);
        }
        self.body_out.extend_from_slice(bytes);
        Ok(())
    }
}

impl Downstream for Recorder {
    fn head(&self) -> &Head {
        &self.head
    }

    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn limit_body(&mut self, bytes_max: u64) {
        self.limit = Some(bytes_max);
    }

    async fn read_body(&mut self) -> Result<Option<Bytes>, ClientError> {
        let Some(piece) = self.body_in.pop_front() else {
            return Ok(None);
        };
        self.bytes_in += piece.len() as u64;
        match self.limit {
            Some(limit) if self.bytes_in > limit => Err(ClientError::BodyTooLarge(limit)),
            _ => Ok(Some(piece)),
        }
    }

    async fn send_informational(&mut self, answer: &Answer) -> Result<(), ClientError> {
        assert!(self.answer.is_none(), "an informational response behind the head");
        self.informational.push(answer.clone());
        Ok(())
    }

    async fn send_head(&mut self, answer: &Answer) -> Result<(), ClientError> {
        assert!(self.answer.is_none(), "a second head");
        self.answer = Some(answer.clone());
        Ok(())
    }

    async fn send_body(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        self.take(&bytes).await
    }

    async fn send_file(&mut self, file: &Arc<File>, offset: u64, len: u64) -> Result<(), ClientError> {
        let mut buffer = vec![0; len as usize];
        let mut read = 0;
        while read < buffer.len() {
            match file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) | Err(_) => break,
                Ok(more) => read += more,
            }
        }
        self.take(&buffer[..read]).await?;
        // As the real ones do when a file is shorter than it was.
        if read < buffer.len() {
            Err(ClientError::Gone)
        } else {
            Ok(())
        }
    }

    async fn end(&mut self) -> Result<(), ClientError> {
        assert!(self.answer.is_some(), "an end without a head");
        self.ended = true;
        Ok(())
    }

    async fn end_with(&mut self, trailers: &Fields) -> Result<(), ClientError> {
        self.trailers = Some(trailers.clone());
        self.end().await
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }

    fn answered(&self) -> bool {
        self.answer.is_some()
    }

    fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    fn bytes_out(&self) -> u64 {
        self.body_out.len() as u64
    }
}

/// Nothing comes, and everything is taken.
impl Duplex for Recorder {
    fn input(&mut self) -> &mut BytesMut {
        &mut self.raw[0]
    }

    fn output(&mut self) -> &mut BytesMut {
        &mut self.raw[1]
    }

    fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<usize, ClientError>> {
        Poll::Pending
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.raw[1].clear();
        Poll::Ready(Ok(()))
    }

    fn cut(&mut self) {}
}
