//! A client in memory.

use std::{
    collections::VecDeque,
    fs::File,
    os::unix::fs::FileExt,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use message::{
    answer::Answer,
    client_error::ClientError,
    connection::Connection,
    downstream::{BodyPiece, Downstream},
    duplex::Duplex,
    fields::Fields,
    head::{BodyLength, Head, Version},
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, DuplexStream},
    sync::{Notify, Semaphore},
};

pub(super) struct Client {
    head: Head,
    connection: Connection,
    body: VecDeque<Bytes>,
    /// One permit for each piece of its body that it sends.
    pub(super) sends: Arc<Semaphore>,
    /// What comes instead of the end of its body.
    pub(super) fails: Option<ClientError>,
    pub(super) bytes_read: Arc<AtomicUsize>,
    pub(super) informational: Vec<Answer>,
    pub(super) answer: Option<Answer>,
    pub(super) trailers: Option<Fields>,
    pub(super) out: Vec<u8>,
    pub(super) ended: bool,
    /// One permit for each piece of the answer's body that it takes.
    pub(super) appetite: Arc<Semaphore>,
    pub(super) leaves: Arc<Notify>,
    /// The connection of a WebSocket.
    socket: Option<DuplexStream>,
    input: BytesMut,
    output: BytesMut,
    /// How often something was written to it.
    pub(super) writes: usize,
    /// It was cut.
    pub(super) cut: bool,
}

impl Client {
    pub(super) fn new(method: &str, target: &str) -> Self {
        let mut fields = Fields::default();
        fields.push("Host", "example.org");
        fields.push("X-Custom", "1");
        fields.push("Connection", "keep-alive, X-Hop");
        fields.push("X-Hop", "secret");
        fields.push("X-Forwarded-For", "6.6.6.6");
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
                peer: None,
                local: None,
                tls: None,
            },
            body: VecDeque::new(),
            sends: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            fails: None,
            bytes_read: Arc::default(),
            informational: Vec::new(),
            answer: None,
            trailers: None,
            out: Vec::new(),
            ended: false,
            appetite: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            leaves: Arc::new(Notify::new()),
            socket: None,
            input: BytesMut::new(),
            output: BytesMut::new(),
            writes: 0,
            cut: false,
        }
    }

    /// Asks for a WebSocket; what is said on it goes through `socket`.
    pub(super) fn websocket(target: &str, socket: DuplexStream, fields: &[(&str, &str)]) -> Self {
        let mut client = Self::new("GET", target);
        client.head.fields.set("Connection", "Upgrade");
        client.head.fields.push("Upgrade", "websocket");
        client.head.fields.push("Sec-WebSocket-Version", "13");
        client
            .head
            .fields
            .push("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in fields {
            client.head.fields.set(name, value);
        }
        client.socket = Some(socket);
        client
    }

    pub(super) fn with_body(mut self, pieces: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.body = pieces.into_iter().map(Bytes::from).collect();
        self.head.body = BodyLength::Unknown;
        self
    }

    /// The same, and says how long it is.
    pub(super) fn with_sized_body(mut self, pieces: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self = self.with_body(pieces);
        self.head.body = BodyLength::Known(self.body.iter().map(|piece| piece.len() as u64).sum());
        self
    }

    pub(super) fn with_field(mut self, name: &str, value: &str) -> Self {
        self.head.fields.push(name, value);
        self
    }

    pub(super) fn hungry_for(mut self, pieces: usize) -> Self {
        self.appetite = Arc::new(Semaphore::new(pieces));
        self
    }

    pub(super) fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| answer.status)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    async fn swallow(&self) -> Result<(), ClientError> {
        tokio::select! {
            biased;
            permit = self.appetite.acquire() => permit.map_err(|_| ClientError::Gone)?.forget(),
            () = self.leaves.notified() => return Err(ClientError::Gone),
        }
        Ok(())
    }
}

impl Downstream for Client {
    fn head(&self) -> &Head {
        &self.head
    }

    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn limit_body(&mut self, _bytes_max: u64) {}

    async fn read_body(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.sends
            .acquire()
            .await
            .map_err(|_| ClientError::Gone)?
            .forget();
        match self.body.pop_front() {
            Some(piece) => {
                self.bytes_read.fetch_add(piece.len(), Ordering::SeqCst);
                Ok(Some(piece))
            }
            None => self.fails.map_or(Ok(None), Err),
        }
    }

    async fn read_body_into(&mut self, room: &mut [u8]) -> Result<BodyPiece, ClientError> {
        Ok(match self.read_body().await? {
            Some(mut piece) if self.head.body != BodyLength::Unknown => {
                let len = piece.len().min(room.len());
                room[..len].copy_from_slice(&piece.split_to(len));
                let left = piece.len();
                if left > 0 {
                    self.body.push_front(piece);
                    self.sends.add_permits(1);
                    self.bytes_read.fetch_sub(left, Ordering::SeqCst);
                }
                BodyPiece::Read(len)
            }
            Some(piece) => BodyPiece::Bytes(piece),
            None => BodyPiece::End,
        })
    }

    async fn send_informational(&mut self, answer: &Answer) -> Result<(), ClientError> {
        assert!(self.answer.is_none(), "an informational response behind the head");
        self.informational.push(answer.clone());
        Ok(())
    }

    async fn send_head(&mut self, answer: &Answer) -> Result<(), ClientError> {
        assert!(self.answer.is_none(), "two heads");
        self.answer = Some(answer.clone());
        Ok(())
    }

    async fn send_body(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        assert!(self.answer.is_some() && !self.ended);
        self.swallow().await?;
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    async fn send_file(&mut self, file: &Arc<File>, offset: u64, len: u64) -> Result<(), ClientError> {
        assert!(self.answer.is_some() && !self.ended);
        self.swallow().await?;
        let start = self.out.len();
        self.out.resize(start + len as usize, 0);
        file.read_exact_at(&mut self.out[start..], offset)
            .map_err(|_| ClientError::Gone)
    }

    async fn end(&mut self) -> Result<(), ClientError> {
        self.ended = true;
        self.socket = None;
        Ok(())
    }

    async fn end_with(&mut self, trailers: &Fields) -> Result<(), ClientError> {
        self.trailers = Some(trailers.clone());
        self.end().await
    }

    async fn gone(&mut self) {
        self.leaves.notified().await;
    }

    fn answered(&self) -> bool {
        self.answer.is_some()
    }

    fn bytes_in(&self) -> u64 {
        0
    }

    fn bytes_out(&self) -> u64 {
        self.out.len() as u64
    }
}

impl Duplex for Client {
    fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ClientError>> {
        let socket = self.socket.as_mut().expect("a WebSocket");
        let mut piece = [0; 16 << 10];
        let read = pin!(socket.read(&mut piece)).poll(cx);
        let read = ready!(read).map_err(|_| ClientError::Gone)?;
        self.input.extend_from_slice(&piece[..read]);
        Poll::Ready(Ok(read))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let socket = self.socket.as_mut().expect("a WebSocket");
        while !self.output.is_empty() {
            match ready!(Pin::new(&mut *socket).poll_write(cx, &self.output)) {
                Ok(written @ 1..) => {
                    self.writes += 1;
                    self.output.advance(written);
                }
                _ => return Poll::Ready(Err(ClientError::Gone)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn cut(&mut self) {
        self.cut = true;
        self.socket = None;
    }
}
