//! The connection loop with a handler of the tests' own, over real sockets and a clock that jumps.

mod answers;
mod corpora;
mod lifetime;
mod limits;

use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use config::Limits;
use logs::{AccessLog, OpenRecord, Record, Remote};
use message::{
    answer::{Answer, AnswerLength},
    client_error::ClientError,
    connection::Connection,
    downstream::Downstream,
    head::Head,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
};

use super::converse;
use crate::{
    drain::Drain,
    front::{handler::Handler, session::Http1Session},
    listener::{crowd::Guest, stream::ClientStream},
};

/// Remembers what it was asked, and answers by the target.
struct Stage {
    drain: Drain,
    log: AccessLog,
    seen: Mutex<Vec<Seen>>,
    file: Arc<File>,
}

#[derive(Debug, Clone)]
struct Seen {
    head: Head,
    body: Vec<u8>,
    keep_alive: bool,
}

impl Stage {
    fn new() -> Arc<Self> {
        Self::with_log(AccessLog::off())
    }

    fn with_log(log: AccessLog) -> Arc<Self> {
        let file = tempfile::tempfile().unwrap();
        for piece in 0..FILE_BYTES / 1000 {
            file.write_all_at(&[b'a' + (piece % 26) as u8; 1000], piece * 1000)
                .unwrap();
        }
        Arc::new(Self {
            drain: Drain::new(),
            log,
            seen: Mutex::default(),
            file: Arc::new(file),
        })
    }

    /// A connection to this stage: the client's end, and the loop that serves the other one.
    fn connect(self: &Arc<Self>, limits: Limits) -> (UnixStream, JoinHandle<()>) {
        let (client, server) = UnixStream::pair().unwrap();
        let stream = Box::new(ClientStream::of_pair(server));
        let stage = Arc::clone(self);
        let task = tokio::spawn(async move {
            let connection = Arc::new(Connection {
                listener: 0,
                peer: None,
                local: None,
                tls: None,
            });
            converse(&*stage, stream, &connection, &limits, None, &Guest::alone()).await;
        });
        (client, task)
    }

    /// Sends `raw`, closes the client's side, and returns all that comes back, without the Date and Server fields.
    async fn exchange(self: &Arc<Self>, raw: &[u8]) -> String {
        let (mut client, task) = self.connect(limits());
        client.write_all(raw).await.unwrap();
        client.shutdown().await.unwrap();
        let text = rest(&mut client).await;
        task.await.unwrap();
        text
    }

    async fn act(&self, session: &mut Http1Session<'_>, record: &mut Record) -> Result<(), ClientError> {
        let target = session.head().target.clone();
        let mut answer = Answer::new(200);
        record.set_request(session.head().method.as_bytes(), &target);
        record.protocol = Some(logs::Protocol::Http11);
        session.limit_body(1 << 20);
        match &target[..] {
            b"/unread" => {
                session.send_head(&answer).await?;
                session.end().await
            }
            b"/stream" => {
                answer.length = AnswerLength::Unknown;
                session.send_head(&answer).await?;
                session.send_body(Bytes::from_static(b"one")).await?;
                session.send_body(Bytes::new()).await?;
                session.send_body(Bytes::from(vec![b'x'; 20_000])).await?;
                session.end().await
            }
            b"/file" | b"/file-in-chunks" => {
                answer.length = if target == b"/file" {
                    AnswerLength::Known(FILE_BYTES)
                } else {
                    AnswerLength::Unknown
                };
                session.send_head(&answer).await?;
                session.send_file(&self.file, 0, FILE_BYTES).await?;
                session.end().await
            }
            b"/large" => {
                answer.length = AnswerLength::Known(LARGE_BYTES as u64);
                session.send_head(&answer).await?;
                session.send_body(Bytes::from(vec![b'y'; LARGE_BYTES])).await?;
                session.end().await
            }
            b"/short" => {
                answer.length = AnswerLength::Known(5);
                session.send_head(&answer).await?;
                session.send_body(Bytes::from_static(b"abc")).await?;
                session.end().await
            }
            b"/wait" => {
                answer.length = AnswerLength::Unknown;
                session.send_head(&answer).await?;
                session.gone().await;
                Err(ClientError::Gone)
            }
            _ => {
                let mut body = Vec::new();
                while let Some(piece) = session.read_body().await? {
                    body.extend_from_slice(&piece);
                }
                session.send_head(&answer).await?;
                session.end().await?;
                self.seen.lock().unwrap().push(Seen {
                    head: session.head().clone(),
                    body,
                    keep_alive: session.keeps_alive(),
                });
                Ok(())
            }
        }
    }
}

impl Handler for Stage {
    fn drain(&self) -> &Drain {
        &self.drain
    }

    fn open(&self, peer: Remote) -> OpenRecord {
        self.log.open(peer)
    }

    fn refusal(&self, status: u16) -> (Answer, Bytes) {
        let mut answer = Answer::new(status);
        answer.length = AnswerLength::Known(2);
        (answer, Bytes::from_static(b"no"))
    }

    async fn answer(&self, session: &mut Http1Session<'_>, record: &mut Record) {
        let status = match self.act(session, record).await {
            Ok(()) => 200,
            Err(ClientError::Gone) => 499,
            Err(ClientError::TooSlow) => 408,
            Err(ClientError::BodyTooLarge(_)) => 413,
            Err(ClientError::BadBody) => 400,
        };
        if status > 399 && status != 499 && !session.answered() {
            // A client that is gone or too slow to take this is noticed when the connection is looked at.
            let _ = session.send_head(&Answer::new(status)).await;
            let _ = session.end().await;
        }
        record.status = Some(status);
    }
}

fn limits() -> Limits {
    Limits {
        connections_max: 10,
        target_bytes_max: 8 << 10,
        head_bytes_max: 32 << 10,
        headers_max: 100,
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        body_timeout: Duration::from_secs(20),
        body_rate_min: 100,
        requests_max: 1000,
    }
}

/// All that comes until the connection ends, without the fields that every answer has.
async fn rest(client: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = client.read_to_end(&mut bytes).await;
    plain(&bytes)
}

/// One answer without a body.
async fn one_answer(client: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte).await.unwrap() == 0 {
            break;
        }
        bytes.push(byte[0]);
    }
    plain(&bytes)
}

fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("Date: ") && *line != "Server: appliance\r\n")
        .collect()
}

const FILE_BYTES: u64 = 1_500_000;
const LARGE_BYTES: usize = 4 << 20;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const OK_CLOSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
