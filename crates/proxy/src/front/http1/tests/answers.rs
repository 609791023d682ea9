//! Answers as they are on the wire.

use std::os::unix::fs::FileExt;

use tokio::io::AsyncWriteExt;

use super::{FILE_BYTES, LARGE_BYTES, OK, Stage, limits, rest};

const NEXT: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn get(target: &str) -> String {
    let raw = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}");
    Stage::new().exchange(raw.as_bytes()).await
}

#[tokio::test]
async fn a_body_of_unknown_length_is_chunked_and_the_connection_goes_on() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = format!("3\r\none\r\n4e20\r\n{}\r\n0\r\n\r\n", "x".repeat(20_000));
    assert_eq!(get("/stream").await, format!("{head}{body}{OK}"));
}

#[tokio::test]
async fn http_1_0_is_told_the_length_by_the_close() {
    let got = Stage::new()
        .exchange(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await;
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    assert_eq!(got, format!("{head}one{}", "x".repeat(20_000)));
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    for (target, length) in [
        ("/file", format!("Content-Length: {FILE_BYTES}\r\n")),
        ("/stream", String::new()),
        ("/large", format!("Content-Length: {LARGE_BYTES}\r\n")),
    ] {
        let raw = format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}");
        let got = Stage::new().exchange(raw.as_bytes()).await;
        assert_eq!(got, format!("HTTP/1.1 200 OK\r\n{length}\r\n{OK}"));
    }
}

#[tokio::test]
async fn a_file_is_sent_whole_and_in_order() {
    let mut expected = vec![0; FILE_BYTES as usize];
    Stage::new().file.read_exact_at(&mut expected, 0).unwrap();
    let expected = String::from_utf8(expected).unwrap();
    let got = get("/file").await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {FILE_BYTES}\r\n\r\n");
    assert!(got == format!("{head}{expected}{OK}"), "{} bytes", got.len());
    let got = get("/file-in-chunks").await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = format!("{FILE_BYTES:x}\r\n{expected}\r\n0\r\n\r\n");
    assert!(got == format!("{head}{body}{OK}"), "{} bytes", got.len());
}

#[tokio::test]
async fn an_answer_that_lacks_something_is_cut_not_padded() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(get("/short").await, format!("{head}abc"));
    let stage = Stage::new();
    stage.file.set_len(500_000).unwrap();
    let raw = format!("GET /file HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}");
    let got = stage.exchange(raw.as_bytes()).await;
    assert!(
        got.len() > 500_000 && got.len() < 500_100 && !got.ends_with("\r\n"),
        "{}",
        got.len()
    );
}

#[tokio::test]
async fn a_large_answer_reaches_a_client_that_reads_slowly() {
    let (mut client, task) = Stage::new().connect(limits());
    client
        .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let got = rest(&mut client).await;
    assert_eq!(got.bytes().filter(|byte| *byte == b'y').count(), LARGE_BYTES);
    drop(client);
    task.await.unwrap();
}

#[tokio::test]
async fn a_short_body_that_nobody_read_is_read_past() {
    let body = "x".repeat(1000);
    let raw = format!("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{body}{NEXT}");
    assert_eq!(Stage::new().exchange(raw.as_bytes()).await, format!("{OK}{OK}"));
    let raw = "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nxxx";
    assert!(
        Stage::new()
            .exchange(raw.as_bytes())
            .await
            .contains("Connection: close")
    );
}
