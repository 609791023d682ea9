//! A client whose answers carry the fields of a route, whoever answers.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use crate::{
    answer::Answer,
    connection::Connection,
    downstream::{BodyPiece, ClientError, Downstream},
    duplex::Duplex,
    fields::Fields,
    head::Head,
};

/// A [`Downstream`] that sets the `headers` of a route on the final answer, pages of failures included, and remembers its
/// status for the record.
pub(crate) struct Dressed<'a, D> {
    pub(crate) inner: &'a mut D,
    pub(crate) headers: &'a [(String, String)],
    /// Where the status of an answer goes once it is begun.
    pub(crate) status: &'a AtomicU16,
}

/// Sets fields; an empty value removes the field.
pub(crate) fn set_headers(fields: &mut Fields, headers: &[(String, String)]) {
    for (name, value) in headers {
        if value.is_empty() {
            fields.remove(name);
        } else {
            fields.set(name, value);
        }
    }
}

impl<D: Downstream> Downstream for Dressed<'_, D> {
    fn head(&self) -> &Head {
        self.inner.head()
    }

    fn connection(&self) -> &Connection {
        self.inner.connection()
    }

    fn limit_body(&mut self, bytes_max: u64) {
        self.inner.limit_body(bytes_max);
    }

    fn read_body(&mut self) -> impl Future<Output = Result<Option<Bytes>, ClientError>> + Send {
        self.inner.read_body()
    }

    fn read_body_into(
        &mut self,
        room: &mut [u8],
    ) -> impl Future<Output = Result<BodyPiece, ClientError>> + Send {
        self.inner.read_body_into(room)
    }

    fn send_informational(
        &mut self,
        answer: &Answer,
    ) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.inner.send_informational(answer)
    }

    async fn send_head(&mut self, answer: &Answer) -> Result<(), ClientError> {
        self.status.store(answer.status, Ordering::Relaxed);
        if self.headers.is_empty() {
            return self.inner.send_head(answer).await;
        }
        let mut answer = answer.clone();
        set_headers(&mut answer.fields, self.headers);
        self.inner.send_head(&answer).await
    }

    fn send_body(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.inner.send_body(bytes)
    }

    fn send_file(
        &mut self,
        file: &Arc<File>,
        offset: u64,
        len: u64,
    ) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.inner.send_file(file, offset, len)
    }

    fn end(&mut self) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.inner.end()
    }

    fn end_with(&mut self, trailers: &Fields) -> impl Future<Output = Result<(), ClientError>> + Send {
        self.inner.end_with(trailers)
    }

    fn gone(&mut self) -> impl Future<Output = ()> + Send {
        self.inner.gone()
    }

    fn answered(&self) -> bool {
        self.inner.answered()
    }

    fn bytes_in(&self) -> u64 {
        self.inner.bytes_in()
    }

    fn bytes_out(&self) -> u64 {
        self.inner.bytes_out()
    }
}

impl<D: Downstream> Duplex for Dressed<'_, D> {
    fn input(&mut self) -> &mut BytesMut {
        self.inner.input()
    }

    fn output(&mut self) -> &mut BytesMut {
        self.inner.output()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ClientError>> {
        self.inner.poll_fill(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.inner.poll_flush(cx)
    }

    fn cut(&mut self) {
        self.inner.cut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_replace_and_remove() {
        let mut fields = Fields::default();
        fields.push("content-type", "text/html");
        fields.push("x-frame-options", "DENY");
        fields.push("X-Frame-Options", "DENY");
        let headers = [
            ("X-Frame-Options", ""),
            ("Content-Type", "text/plain"),
            ("X-New", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        set_headers(&mut fields, &headers);
        assert_eq!(fields.as_http1(), b"Content-Type: text/plain\r\nX-New: 1\r\n");
    }
}
