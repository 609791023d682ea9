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
use message::{
    answer::Answer,
    client_error::ClientError,
    connection::Connection,
    downstream::{BodyPiece, Downstream},
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
fn set_headers(answer: &mut Answer, headers: &[(String, String)]) {
    for (name, value) in headers {
        if answer.is_page && is_of_content(name) {
            continue;
        }
        if name.eq_ignore_ascii_case("server") {
            answer.names_server = false;
        }
        if value.is_empty() {
            answer.fields.remove(name);
        } else {
            answer.fields.set(name, value);
        }
    }
}

/// Does this field say something about what the route is there for? On a page of our own it would be wrong: a
/// 404 that is `immutable` stays in caches, those in front of a site included (RFC 9213), a page that is
/// called `text/css` cannot be read, and one that has a Location leads nowhere. Policies are for pages too.
fn is_of_content(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let ends = |suffix: &str| {
        let at = name.len().checked_sub(suffix.len());
        at.and_then(|at| name.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    OF_CONTENT.iter().any(|other| name.eq_ignore_ascii_case(other))
        || ends("cache-control")
        || starts("content-") && !starts("content-security-policy")
}

/// Besides Content-*, and Cache-Control with what is made of it for some caches, as CDN-Cache-Control is.
const OF_CONTENT: &[&str] = &[
    "age",
    "edge-control",
    "etag",
    "expires",
    "last-modified",
    "location",
    "surrogate-control",
    "x-accel-expires",
];

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
        set_headers(&mut answer, self.headers);
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
        let mut answer = Answer::new(200);
        answer.fields.push("content-type", "text/html");
        answer.fields.push("x-frame-options", "DENY");
        answer.fields.push("X-Frame-Options", "DENY");
        let headers = [
            ("X-Frame-Options", ""),
            ("Content-Type", "text/plain"),
            ("X-New", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        set_headers(&mut answer, &headers);
        assert_eq!(
            answer.fields.as_http1(),
            b"Content-Type: text/plain\r\nX-New: 1\r\n"
        );
        assert!(answer.names_server);
    }

    #[test]
    fn a_page_of_our_own_gets_what_is_policy_and_not_what_is_content() {
        let headers = [
            ("Cache-Control", "immutable"),
            ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
            ("ETag", "\"1\""),
            ("Last-Modified", ""),
            ("CDN-Cache-Control", "max-age=9"),
            ("cloudflare-cdn-cache-control", "max-age=9"),
            ("Surrogate-Control", "max-age=9"),
            ("X-Accel-Expires", "9"),
            ("Age", "1"),
            ("Location", "/elsewhere"),
            ("Content-Type", "text/css"),
            ("content-disposition", "attachment"),
            ("Content-Security-Policy", "default-src 'self'"),
            ("Content-Security-Policy-Report-Only", "default-src 'none'"),
            ("Strict-Transport-Security", "max-age=1"),
            ("Access-Control-Allow-Origin", "*"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut page = Answer::new(404);
        page.is_page = true;
        page.fields.push("content-type", "text/html");
        set_headers(&mut page, &headers);
        let names: Vec<_> = page
            .fields
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name))
            .collect();
        let kept = [
            "content-type",
            "Content-Security-Policy",
            "Content-Security-Policy-Report-Only",
            "Strict-Transport-Security",
            "Access-Control-Allow-Origin",
        ];
        assert_eq!(names, kept);
        let mut answer = Answer::new(404);
        set_headers(&mut answer, &headers);
        assert_eq!(
            answer.fields.get("cache-control"),
            Some(&b"immutable"[..]),
            "an answer of the app keeps all"
        );
    }

    #[test]
    fn server_is_replaced_and_removed() {
        for (value, expected) in [("theirs", Some(&b"theirs"[..])), ("", None)] {
            let mut answer = Answer::new(200);
            set_headers(&mut answer, &[("SERVER".to_owned(), value.to_owned())]);
            assert_eq!(
                (answer.names_server, answer.fields.get("server")),
                (false, expected)
            );
        }
    }
}
