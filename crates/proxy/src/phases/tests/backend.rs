//! A server behind the proxy that answers by the path and remembers what it got.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};
use websocket::handshake;

/// A server that remembers what it got.
#[derive(Clone, Default)]
pub(super) struct Backend {
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// One request as it came over the wire.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: String,
    /// Counts the connections of this backend.
    pub(super) connection: usize,
}

impl Seen {
    pub(super) fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap()
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Backend {
    pub(super) async fn tcp() -> (Self, SocketAddr) {
        let backend = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = backend.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().serve(stream, connection));
            }
        });
        (backend, address)
    }

    pub(super) fn unix(path: &Path) -> Self {
        let backend = Self::default();
        let listener = UnixListener::bind(path).unwrap();
        let serving = backend.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().serve(stream, connection));
            }
        });
        backend
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin, connection: usize) {
        let mut input = Vec::new();
        while let Some(head) = until(&mut stream, &mut input, b"\r\n\r\n").await {
            let lower = head.to_ascii_lowercase();
            if head.contains(" /back/asks ") && lower.contains("expect: 100-continue") {
                let word = b"HTTP/1.1 100 Continue\r\n\r\n";
                if stream.write_all(word).await.is_err() {
                    return;
                }
            }
            let body = if let Some(rest) = lower.split("content-length: ").nth(1) {
                let length = rest.split("\r\n").next().unwrap().parse().unwrap();
                take(&mut stream, &mut input, length).await
            } else if lower.contains("transfer-encoding: chunked") {
                until(&mut stream, &mut input, b"0\r\n\r\n").await
            } else {
                Some(String::new())
            };
            let Some(body) = body else { return };
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let seen = Seen {
                head,
                body,
                connection,
            };
            self.seen.lock().unwrap().push(seen.clone());
            let answer: &str = match path.as_str() {
                "/silent" => std::future::pending().await,
                "/cut" | "/back/cut" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
                "/chunked" => {
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
                }
                "/upgrade" | "/says-no-more" => &accept(&seen),
                "/hints" | "/back/hints" => {
                    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: close\r\n\r\n\
                     HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                }
                "/upgrade-to-nothing" => "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
                "/upgrade-to-another" => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
                "/upgrade-without-proof" => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
                "/forbidden" => "HTTP/1.1 403 Forbidden\r\nX-Why: origin\r\nContent-Length: 2\r\n\r\nno",
                "/other-version" => {
                    "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 8\r\nContent-Length: 2\r\n\r\nno"
                }
                "/hops" => {
                    "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nServer: theirs\r\n\
                     Content-Length: 2\r\n\r\nok"
                }
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
            match path.as_str() {
                "/cut" | "/back/cut" => return,
                "/upgrade" => return echo(stream, input).await,
                "/says-no-more" => return stream.write_all(b"bye").await.unwrap(),
                _ => {}
            }
        }
    }
}

/// The head that makes a WebSocket of the connection.
fn accept(seen: &Seen) -> String {
    let proof = handshake::accept(seen.field("sec-websocket-key").unwrap_or_default());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Accept: {proof}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

/// Sends everything back, as another protocol would.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, mut input: Vec<u8>) {
    loop {
        stream.write_all(&input).await.unwrap();
        input.clear();
        if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

async fn until(stream: &mut (impl AsyncRead + Unpin), input: &mut Vec<u8>, mark: &[u8]) -> Option<String> {
    loop {
        if let Some(at) = memchr::memmem::find(input, mark) {
            return take(stream, input, at + mark.len()).await;
        }
        if stream.read_buf(input).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

async fn take(stream: &mut (impl AsyncRead + Unpin), input: &mut Vec<u8>, length: usize) -> Option<String> {
    while input.len() < length {
        if stream.read_buf(input).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    let rest = input.split_off(length);
    Some(String::from_utf8(std::mem::replace(input, rest)).unwrap())
}
