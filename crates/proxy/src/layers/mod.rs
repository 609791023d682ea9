//! What happens to every answer of a route on its way to the client, whoever answers.
//!
//! There is one struct for all of it, so that a layer is a field here and a file beside this one, and what is
//! switched off costs nothing: whatever no layer has to do with goes through untouched.

mod content_field;
mod headers;

use std::{
    fs::File,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use logs::Record;
use message::{
    answer::Answer,
    client_error::ClientError,
    connection::Connection,
    downstream::{BodyPiece, Downstream},
    duplex::Duplex,
    fields::Fields,
    head::Head,
};

/// A client and the layers in front of it. They change the final answer, pages of failures included.
pub(crate) struct Layers<'a, D> {
    down: &'a mut D,
    /// Fields to set and to remove.
    headers: &'a [(String, String)],
    /// Of the final answer, once it is begun.
    status: Option<u16>,
}

impl<'a, D: Downstream> Layers<'a, D> {
    /// Nothing is changed yet.
    pub(crate) fn new(down: &'a mut D) -> Self {
        Self {
            down,
            headers: &[],
            status: None,
        }
    }

    /// The final answer gets these fields; an empty value removes one.
    pub(crate) fn set_headers(&mut self, headers: &'a [(String, String)]) {
        self.headers = headers;
    }

    /// What the record says of all that went through.
    pub(crate) fn tell(&self, record: &mut Record) {
        record.bytes_in = self.down.bytes_in();
        record.bytes_out = self.down.bytes_out();
        if self.status.is_some() {
            record.status = self.status;
        }
    }
}

impl<D: Downstream> Downstream for Layers<'_, D> {
    fn head(&self) -> &Head {
        self.down.head()
    }

    fn connection(&self) -> &Connection {
        self.down.connection()
    }

    fn limit_body(&mut self, bytes_max: u64) {
        self.down.limit_body(bytes_max);
    }

    fn read_body(&mut self) -> impl Future<Output = Result<Option<Bytes>, ClientError>> + Send {
        self.down.read_body()
    }

    fn read_body_into(
        &mut self,
        room: &mut [u8],
    ) -> impl Future<Output = Result<BodyPiece, ClientError>> + Send {
        self.down.read_body_into(room)
    }

    fn send_informational(
        &mut self,
        answer: &Answer,
    ) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.down.send_informational(answer)
    }

    async fn send_head(&mut self, answer: &Answer) -> Result<(), ClientError> {
        self.status = Some(answer.status);
        if self.headers.is_empty() {
            return self.down.send_head(answer).await;
        }
        let mut answer = answer.clone();
        headers::set(&mut answer, self.headers);
        self.down.send_head(&answer).await
    }

    fn send_body(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.down.send_body(bytes)
    }

    fn send_file(
        &mut self,
        file: &Arc<File>,
        offset: u64,
        len: u64,
    ) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.down.send_file(file, offset, len)
    }

    fn end(&mut self) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.down.end()
    }

    fn end_with(&mut self, trailers: &Fields) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.down.end_with(trailers)
    }

    fn gone(&mut self) -> impl Future<Output = ()> + Send {
        self.down.gone()
    }

    fn answered(&self) -> bool {
        self.down.answered()
    }

    fn bytes_in(&self) -> u64 {
        self.down.bytes_in()
    }

    fn bytes_out(&self) -> u64 {
        self.down.bytes_out()
    }
}

impl<D: Downstream> Duplex for Layers<'_, D> {
    fn input(&mut self) -> &mut BytesMut {
        self.down.input()
    }

    fn output(&mut self) -> &mut BytesMut {
        self.down.output()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ClientError>> {
        self.down.poll_fill(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.down.poll_flush(cx)
    }

    fn cut(&mut self) {
        self.down.cut();
    }
}
