//! What pingora sees of a client's bytes, however they arrive.

use std::time::Duration;

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::*;

fn limits() -> Limits {
    Limits {
        connections_max: 1,
        target_bytes_max: 1024,
        head_bytes_max: 1024,
        headers_max: 10,
        head_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(1),
        body_timeout: Duration::from_secs(5),
        body_rate_min: 0,
        requests_max: 1,
    }
}

fn fence(body: BodyLength) -> (UnixStream, Fence, Fault) {
    let (client, server) = UnixStream::pair().unwrap();
    let fault = Fault::default();
    let stream = Box::new(ClientStream::of_pair(server));
    let fence = Fence::new(stream, body, false, &limits(), Arc::clone(&fault));
    (client, fence, fault)
}

/// Writes the pieces one by one and reads what the fence lets through, to the end of the body.
async fn through(body: BodyLength, pieces: &[Vec<u8>], length: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut client, mut fence, _) = fence(body);
    let mut seen = Vec::new();
    let reading = async {
        while seen.len() < length {
            if fence.read_buf(&mut seen).await.unwrap() == 0 {
                break;
            }
        }
    };
    let writing = async {
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(reading, writing);
    // What belongs to the next request has arrived by now, or waits in the socket.
    let back = match fence.into_stream() {
        Some(mut stream) => {
            drop(client);
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            Some(rest)
        }
        None => None,
    };
    (seen, back)
}

fn split(bytes: &[u8], at: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut at: Vec<_> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

fn unchunk(mut text: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let end = memchr::memmem::find(text, b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&text[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            assert_eq!(&text[end..], b"\r\n\r\n");
            return data;
        }
        data.extend_from_slice(&text[end + 2..end + 2 + size]);
        text = &text[end + 2 + size + 2..];
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\n\r\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_known_body_ends_where_it_ends(body: Vec<u8>, at: Vec<prop::sample::Index>) {
        let wire = [&body[..], NEXT].concat();
        let length = BodyLength::Known(body.len() as u64);
        let (seen, rest) = block_on(through(length, &split(&wire, &at), body.len()));
        prop_assert_eq!(seen, body);
        prop_assert_eq!(rest.as_deref(), Some(NEXT));
    }

    #[test]
    fn chunks_are_written_anew_and_end_where_they_end(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..6),
        at: Vec<prop::sample::Index>,
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:X};why=not\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"000\r\nTrailer: dropped\r\n\r\n");
        wire.extend_from_slice(NEXT);
        let pieces = split(&wire, &at);
        let (seen, rest) = block_on(async {
            let (mut client, mut fence, _) = fence(BodyLength::Unknown);
            let mut seen = Vec::new();
            let reading = async {
                while !matches!(fence.body, Body::Known(0)) || !fence.chunks.is_empty() {
                    fence.read_buf(&mut seen).await.unwrap();
                }
            };
            let writing = async {
                for piece in &pieces {
                    client.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            tokio::join!(reading, writing);
            drop(client);
            let mut rest = Vec::new();
            fence.into_stream().unwrap().read_to_end(&mut rest).await.unwrap();
            (seen, rest)
        });
        prop_assert_eq!(unchunk(&seen), chunks.concat());
        prop_assert_eq!(&rest[..], NEXT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_in_the_body_is_a_fault() {
    let (_client, mut fence, fault) = fence(BodyLength::Known(3));
    let error = fence.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(fault.get(), Some(&ClientError::TooSlow));
    assert!(fence.into_stream().is_none());
}

#[tokio::test]
async fn broken_chunks_are_a_fault() {
    let (mut client, mut fence, fault) = fence(BodyLength::Unknown);
    client.write_all(b"5\r\nhello_\r\n").await.unwrap();
    let mut seen = Vec::new();
    fence.read_to_end(&mut seen).await.unwrap_err();
    assert_eq!(fault.get(), Some(&ClientError::BadBody));
}

#[tokio::test]
async fn after_the_request_only_a_close_is_seen() {
    let (mut client, mut fence, _) = fence(BodyLength::Known(0));
    client.write_all(NEXT).await.unwrap();
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(50), fence.read(&mut byte)).await;
    assert!(read.is_err(), "the next request was seen");
    drop(client);
    assert_eq!(fence.read(&mut byte).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_a_fault_in_every_write() {
    let (_client, mut fence, fault) = fence(BodyLength::Known(0));
    let begun = Instant::now();
    // The client's socket fills up with the body; what follows it waits for a flush that never ends.
    let filling = async {
        loop {
            fence.write_all(&[0; 8 << 10]).await?;
            fence.flush().await?;
        }
    };
    let filled: Result<io::Result<()>, _> = tokio::time::timeout(Duration::from_secs(60), filling).await;
    let error = filled.expect("a deadline").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(fault.get(), Some(&ClientError::TooSlow));
    // Nor does the farewell wait for it once more.
    let farewell = Shutdown::shutdown(&mut fence);
    tokio::time::timeout(Duration::from_secs(60), farewell)
        .await
        .expect("a deadline");
    assert_eq!(begun.elapsed().as_secs(), 5);
}
