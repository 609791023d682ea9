//! An HTTP/1 connection: one request after another.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Buf;
use config::Limits;
use logs::{Outcome, Protocol, Record, Remote};
use message::{
    connection::Connection,
    downstream::Downstream,
    head::{METHODS, Version},
};
use message::{refusal::Refusal, request_line::RequestLine};
use tokio::{select, time::Instant};

use super::{
    handler::Handler,
    parse::{Parsed, look_at_fields, parse},
    reply::{ReplyFraming, write_head},
    scan::Scan,
    session::{After, Http1Session},
};
use crate::listener::{crowd::Guest, stream::ClientStream};
use crate::patience::{until, within};

/// Serves a connection to its end. `refuse`: nothing is served here, every request is refused in this way.
pub(crate) async fn converse<H: Handler>(
    handler: &H,
    mut stream: Box<ClientStream>,
    connection: &Arc<Connection>,
    limits: &Limits,
    refuse: Option<Refusal>,
    guest: &Guest,
) {
    let remote = connection.peer.map_or(Remote::Unix, Remote::from);
    let mut served: u32 = 0;
    // One for all waits between requests: to listen for a drain costs more than to wait for a byte.
    let mut draining = pin!(handler.drain().draining());
    let mut told = false;
    loop {
        let draining = async {
            if !told {
                draining.as_mut().await;
                told = true;
            }
            handler.drain().patience()
        };
        if !first_byte(&mut stream, limits.idle_timeout, draining, guest).await {
            return close(&mut stream).await;
        }
        let mut record = handler.open(remote);
        if let Some(tls) = &connection.tls {
            record.tls = Some(logs::Tls {
                version: tls.version,
                cipher: tls.cipher,
            });
            record.scheme = logs::Scheme::Https;
        }
        let parsed = match read_head(&mut stream, limits, refuse).await {
            Ok(parsed) => parsed,
            Err(HeadFailure::Gone) => {
                describe(&mut record, &stream.input);
                return;
            }
            Err(HeadFailure::Refused(refusal)) => {
                describe(&mut record, &stream.input);
                refuse_head(handler, &mut stream, limits, &mut record, refusal).await;
                record.finish();
                return linger(&mut stream, guest).await;
            }
        };

        served = served.saturating_add(1);
        let last = served >= limits.requests_max || handler.drain().is_draining();
        let mut session = Http1Session::new(&mut stream, connection, limits, parsed, last);
        handler.answer(&mut session, &mut record).await;
        let body_was_read = session.bytes_in() > 0;
        record.bytes_in = session.bytes_in();
        record.bytes_out = session.bytes_out();
        record.finish();
        match session.finish(guest).await {
            After::Keep => stream.shrink(body_was_read),
            After::Close => return close(&mut stream).await,
            After::Linger => return linger(&mut stream, guest).await,
            After::Cut => return,
        }
    }
}

enum HeadFailure {
    Gone,
    Refused(Refusal),
}

/// Waits for a request to begin; `false`: none will. Empty lines before a request are skipped (RFC 9112 §2.2).
///
/// A drain does not close an idle connection at once: the client may be sending a request at this very moment, and
/// would see it fail. It has the patience that `draining` resolves with for a last one.
async fn first_byte(
    stream: &mut ClientStream,
    idle: Duration,
    draining: impl Future<Output = Duration>,
    guest: &Guest,
) -> bool {
    if skip_empty_lines(stream) {
        return true;
    }
    let now = Instant::now();
    guest.rest(now);
    let mut deadline = now + idle;
    let mut draining = pin!(draining);
    let mut told = false;
    loop {
        select! {
            biased;
            filled = until(deadline, stream.fill(HEAD_READ_BYTES)) => {
                if !matches!(filled, Ok(Ok(1..))) {
                    return false;
                }
                if skip_empty_lines(stream) {
                    guest.work();
                    return true;
                }
                // Empty lines without end are always ready, and what is ready is never too late for `until`.
                if Instant::now() >= deadline {
                    return false;
                }
            }
            // Somebody else needs the place more.
            () = guest.asked_to_leave() => return false,
            patience = &mut draining, if !told => {
                told = true;
                deadline = deadline.min(Instant::now() + patience);
            }
        }
    }
}

/// Has a request begun?
fn skip_empty_lines(stream: &mut ClientStream) -> bool {
    while stream.input.starts_with(b"\r\n") {
        stream.input.advance(2);
    }
    !stream.input.is_empty() && &stream.input[..] != b"\r"
}

/// Reads the rest of a head whose first byte is there, and takes it off the stream. A refused one stays.
async fn read_head(
    stream: &mut ClientStream,
    limits: &Limits,
    refuse: Option<Refusal>,
) -> Result<Parsed, HeadFailure> {
    let mut scan = Scan::default();
    let mut deadline = None;
    let mut looked_at = 0;
    loop {
        if let Some(len) = scan
            .find_end(&stream.input, limits)
            .map_err(HeadFailure::Refused)?
        {
            let parsed = match refuse {
                Some(refusal) => Err(refusal),
                None => parse(&stream.input[..len], scan.fields()),
            }
            .map_err(HeadFailure::Refused)?;
            stream.input.advance(len);
            return Ok(parsed);
        }
        // What can never become a request is not waited for: `GET /x` without a version is all that some ask.
        let whole = scan.whole_lines();
        if looked_at == 0 && whole > 0 {
            let line = first_line(&stream.input, limits.target_bytes_max);
            RequestLine::parse(line).map_err(HeadFailure::Refused)?;
            looked_at = line.len() + b"\r\n".len();
        }
        if let Some(lines) = stream
            .input
            .get(looked_at..whole)
            .filter(|lines| !lines.is_empty())
        {
            look_at_fields(lines).map_err(HeadFailure::Refused)?;
            looked_at = whole;
        }
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + limits.head_timeout);
        match until(deadline, stream.fill(HEAD_READ_BYTES)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return Err(HeadFailure::Gone),
            Err(_) => {
                return Err(HeadFailure::Refused(Refusal::new(
                    408,
                    "head not complete within head_timeout",
                )));
            }
        }
    }
}

/// Tells the record what can be told of a head that did not pass.
fn describe(record: &mut Record, input: &[u8]) {
    let line = first_line(input, LOGGED_BYTES_MAX);
    match RequestLine::parse(line) {
        Ok(line) => {
            record.protocol = Some(match line.version {
                Version::Http10 => Protocol::Http10,
                Version::Http11 | Version::Http2 => Protocol::Http11,
            });
            record.set_request(line.method.as_bytes(), line.target);
        }
        Err(_) => record.set_request(b"", line),
    }
}

/// The first line as far as it was received, `bytes_max` of it.
fn first_line(input: &[u8], bytes_max: usize) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', input).unwrap_or(input.len());
    &input[..end.min(bytes_max)]
}

/// Answers a head that is refused; the caller ends the connection.
async fn refuse_head<H: Handler>(
    handler: &H,
    stream: &mut ClientStream,
    limits: &Limits,
    record: &mut Record,
    refusal: Refusal,
) {
    tracing::debug!(client = %record.client, status = refusal.status, why = refusal.why, "request head refused");
    let (mut answer, page) = handler.refusal(refusal.status);
    if refusal.status == 405 {
        answer.fields.push("Allow", METHODS);
    }
    let method = if stream.input.starts_with(b"HEAD ") {
        "HEAD"
    } else {
        ""
    };
    let framing = ReplyFraming::choose(&answer, method, Version::Http11);
    write_head(&mut stream.output, &answer, framing, Version::Http11, false);
    let body_bytes = if framing == ReplyFraming::Empty {
        0
    } else {
        page.len()
    };
    stream.output.extend_from_slice(&page[..body_bytes]);
    record.status = Some(refusal.status);
    record.outcome = Some(match within(limits.body_timeout, stream.flush_output()).await {
        Ok(Ok(())) => {
            record.bytes_out = body_bytes as u64;
            if refusal.status == 408 {
                Outcome::ClientTimeout
            } else {
                Outcome::Refused
            }
        }
        Ok(Err(_)) => Outcome::ClientGone,
        Err(_) => Outcome::ClientTimeout,
    });
}

/// Ends a connection on which nothing more is expected.
async fn close(stream: &mut ClientStream) {
    if stream.plain_socket().is_none() {
        // The client may be gone already.
        let _ = within(CLOSE_TIME_MAX, stream.shut_down_writing()).await;
    }
}

/// Ends a connection whose client may still be sending, and lets it read the answer: bytes that arrive after a close
/// make the kernel send a reset, and a reset makes the client's kernel forget what it has not read. Where
/// somebody else needs the place it leaves as an idle one does.
async fn linger(stream: &mut ClientStream, guest: &Guest) {
    let deadline = Instant::now() + LINGER_TIME_MAX;
    if !matches!(
        within(CLOSE_TIME_MAX, stream.shut_down_writing()).await,
        Ok(Ok(()))
    ) {
        return;
    }
    guest.rest(Instant::now());
    // A client that sends as fast as we read is never too late for `until`.
    while Instant::now() < deadline {
        stream.input.clear();
        select! {
            biased;
            () = guest.asked_to_leave() => return,
            filled = until(deadline, stream.fill(LINGER_READ_BYTES)) => {
                if !matches!(filled, Ok(Ok(1..))) {
                    return;
                }
            }
        }
    }
}

/// Room for one read of a head.
const HEAD_READ_BYTES: usize = 4 << 10;
/// Of a line that could not be understood.
const LOGGED_BYTES_MAX: usize = 2 << 10;
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);
const LINGER_TIME_MAX: Duration = Duration::from_secs(5);
const LINGER_READ_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests;
