//! What is ready together leaves together.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::http2::{body, request, secure};

/// A client's socket that counts the TLS records which come in.
struct Counting {
    stream: TcpStream,
    records: Arc<AtomicUsize>,
    head: Vec<u8>,
    left: usize,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        for &byte in &buf.filled()[before..] {
            if self.left > 0 {
                self.left -= 1;
                continue;
            }
            self.head.push(byte);
            if let [_, _, _, high, low] = self.head[..] {
                self.left = usize::from(high) << 8 | usize::from(low);
                self.head.clear();
                self.records.fetch_add(1, Ordering::Relaxed);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn answers_that_are_ready_together_share_their_records() {
    const ANSWERS: usize = 10;
    let text = "x".repeat(1200);
    let (house, client) = secure("", &format!("[[site]]\nrespond = \"{text}\"\n"));
    let records = Arc::new(AtomicUsize::new(0));
    let stream = Counting {
        stream: TcpStream::connect(house.address).await.unwrap(),
        records: Arc::clone(&records),
        head: Vec::new(),
        left: 0,
    };
    let name = ServerName::try_from("example.org").unwrap();
    let stream = TlsConnector::from(client).connect(name, stream).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    // After the first answer both sides have said all that they say once.
    let (first, _) = send.send_request(request(http::Method::GET, "/"), true).unwrap();
    assert_eq!(body(first.await.unwrap()).await.unwrap(), text.as_bytes());
    let before = records.load(Ordering::Relaxed);
    // The client sends nothing before it waits, and then all of them at once.
    let answers: Vec<_> = (0..ANSWERS)
        .map(|_| {
            send.send_request(request(http::Method::GET, "/"), true)
                .unwrap()
                .0
        })
        .collect();
    for answer in answers {
        assert_eq!(body(answer.await.unwrap()).await.unwrap(), text.as_bytes());
    }
    let records = records.load(Ordering::Relaxed) - before;
    assert!(
        records <= ANSWERS / 2,
        "{records} records with {ANSWERS} answers of a kilobyte"
    );
    house.lines(ANSWERS + 1).await;
}
