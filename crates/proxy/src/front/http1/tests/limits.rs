//! Clients that are too slow or want too much.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, time::Instant};

use super::{OK, Stage, limits, one_answer, rest};

/// Sends a byte every second until the connection is closed; returns what came back and after how many seconds.
async fn dribble(start: &[u8], piece: &[u8]) -> (String, u64) {
    let (client, task) = Stage::new().connect(limits());
    let begun = Instant::now();
    let (mut reader, mut writer) = client.into_split();
    writer.write_all(start).await.unwrap();
    let piece = piece.to_vec();
    let sender = tokio::spawn(async move {
        while writer.write_all(&piece).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut bytes = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut bytes).await;
    let elapsed = begun.elapsed().as_secs();
    drop(reader);
    task.await.unwrap();
    sender.abort();
    (super::plain(&bytes), elapsed)
}

#[tokio::test(start_paused = true)]
async fn a_head_is_one_deadline_however_busy_its_client_is() {
    let (answer, seconds) = dribble(b"GET / HTTP/1.1\r\n", b"X: y\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(seconds, 10);
}

#[tokio::test(start_paused = true)]
async fn a_body_below_the_minimum_rate_is_given_up() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let (answer, seconds) = dribble(head, b"0123456789").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!((20..23).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_given_up() {
    let (mut client, task) = Stage::new().connect(limits());
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        .await
        .unwrap();
    let start = Instant::now();
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(start.elapsed().as_secs(), 20);
    drop(client);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut() {
    for target in ["/large", "/file"] {
        let (mut client, task) = Stage::new().connect(limits());
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let start = Instant::now();
        task.await.unwrap();
        assert!((19..=21).contains(&start.elapsed().as_secs()), "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn heads_have_limits() {
    let mut many = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    many.extend_from_slice(&b"A: b\r\n".repeat(100));
    many.extend_from_slice(b"\r\n");
    assert!(Stage::new().exchange(&many).await.starts_with("HTTP/1.1 431 "));
    let fit = [
        &b"GET / HTTP/1.1\r\nHost: a\r\n"[..],
        &b"A: b\r\n".repeat(99),
        b"\r\n",
    ]
    .concat();
    assert_eq!(Stage::new().exchange(&fit).await, OK);
    let large = [&b"GET / HTTP/1.1\r\nHost: a\r\nX: "[..], &[b'x'; 40_000]].concat();
    assert!(Stage::new().exchange(&large).await.starts_with("HTTP/1.1 431 "));
    let long = [&b"GET /"[..], &[b'x'; 9_000]].concat();
    assert!(Stage::new().exchange(&long).await.starts_with("HTTP/1.1 414 "));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_to_go_on_only_when_its_body_is_wanted() {
    let (mut client, task) = Stage::new().connect(limits());
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(one_answer(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"abc").await.unwrap();
    assert_eq!(one_answer(&mut client).await, OK);
    client
        .write_all(b"POST /unread HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut client).await.contains("Connection: close"));
    drop(client);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_past_the_limit_is_refused_before_it_is_read() {
    let (mut client, task) = Stage::new().connect(limits());
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n")
        .await
        .unwrap();
    let answer = one_answer(&mut client).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("Connection: close"),
        "{answer}"
    );
    drop(client);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_chunk_past_the_limit_is_refused_as_soon_as_its_size_is_known() {
    for size in ["10000000", "7ffffffffffffff", "fff\r\n{}\r\n10000000"] {
        let (client, task) = Stage::new().connect(limits());
        let (mut reader, mut writer) = client.into_split();
        let size = size.replace("{}", &"x".repeat(0xfff));
        let raw = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n");
        writer.write_all(raw.as_bytes()).await.unwrap();
        let mut status = [0; 13];
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut status)
            .await
            .unwrap();
        assert_eq!(&status, b"HTTP/1.1 413 ", "{size:.20}");
        drop((reader, writer));
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_past_the_limit_is_refused_and_the_answer_can_be_read() {
    let (client, task) = Stage::new().connect(limits());
    let (mut reader, mut writer) = client.into_split();
    let sender = tokio::spawn(async move {
        let mut raw = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..40 {
            raw.extend_from_slice(b"10000\r\n");
            raw.extend_from_slice(&[b'x'; 0x10000]);
            raw.extend_from_slice(b"\r\n");
        }
        // All of it is taken, so that the answer is not lost to a reset.
        writer.write_all(&raw).await
    });
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut bytes)
        .await
        .unwrap();
    assert!(super::plain(&bytes).starts_with("HTTP/1.1 413 "));
    sender.await.unwrap().unwrap();
    task.await.unwrap();
}
