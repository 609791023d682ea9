//! How long a connection lives.

use std::time::Duration;

use config::{AccessLog as LogConfig, Format, To};
use logs::AccessLog;
use tokio::{io::AsyncWriteExt, time::Instant};

use super::{OK, OK_CLOSE, Stage, limits, one_answer, rest};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let raw = b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET GET /3 HTTP/1.0\r\n\r\n";
    for piece in 1..raw.len() {
        let stage = Stage::new();
        let (mut client, task) = stage.connect(limits());
        for piece in raw.chunks(piece) {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(rest(&mut client).await, format!("{OK}{OK}{OK_CLOSE}"));
        task.await.unwrap();
        let seen = stage.seen.lock().unwrap();
        let targets: Vec<&[u8]> = seen.iter().map(|seen| &seen.head.target[..]).collect();
        assert_eq!(targets, [b"/1", b"/2", b"/3"]);
        assert_eq!(
            (&seen[0].body[..], &seen[1].body[..]),
            (&b"abc"[..], &b"GET "[..])
        );
    }
}

#[tokio::test]
async fn a_connection_ends_after_its_last_request() {
    let mut few = limits();
    few.requests_max = 2;
    let (mut client, task) = Stage::new().connect(few);
    client.write_all(&GET.repeat(3)).await.unwrap();
    assert_eq!(rest(&mut client).await, format!("{OK}{OK_CLOSE}"));
    drop(client);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_without_a_word() {
    let (mut client, task) = Stage::new().connect(limits());
    client.write_all(GET).await.unwrap();
    assert_eq!(one_answer(&mut client).await, OK);
    let start = Instant::now();
    client.write_all(b"\r\n").await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(start.elapsed().as_secs(), 60);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_an_idle_connection_send_one_more_request() {
    let stage = Stage::new();
    let (mut client, task) = stage.connect(limits());
    client.write_all(GET).await.unwrap();
    assert_eq!(one_answer(&mut client).await, OK);
    stage.drain.start(Duration::from_secs(5));
    tokio::time::sleep(Duration::from_secs(3)).await;
    client.write_all(GET).await.unwrap();
    assert_eq!(rest(&mut client).await, OK_CLOSE);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_an_idle_connection_when_its_patience_ends() {
    let stage = Stage::new();
    let (mut client, task) = stage.connect(limits());
    client.write_all(GET).await.unwrap();
    assert_eq!(one_answer(&mut client).await, OK);
    stage.drain.start(Duration::from_secs(5));
    let start = Instant::now();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(start.elapsed().as_secs(), 5);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_request_was_running_when_idle_ones_were_to_leave_does_not_wait_behind_it() {
    let stage = Stage::new();
    let (mut client, task) = stage.connect(limits());
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
        .await
        .unwrap();
    // The head is read before the drain begins, so the answer does not say that it is the last.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.drain.start(Duration::from_secs(5));
    stage.drain.leave_idle();
    client.write_all(b"bc").await.unwrap();
    let start = Instant::now();
    assert_eq!(rest(&mut client).await, OK);
    assert!(start.elapsed() < Duration::from_secs(1));
    task.await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_it_waits() {
    let stage = Stage::new();
    let (mut client, task) = stage.connect(limits());
    client
        .write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    // The head is not held back while nobody knows when the body comes.
    assert!(one_answer(&mut client).await.contains("chunked"));
    client.write_all(GET).await.unwrap();
    drop(client);
    task.await.unwrap();
}

#[tokio::test]
async fn each_request_has_one_line_refused_heads_included() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let config = LogConfig {
        to: To::File(path.clone()),
        format: Format::Combined,
        buffer_bytes_max: 1 << 20,
    };
    let log = AccessLog::new(&config, None).unwrap();
    let stage = Stage::with_log(log.clone());
    assert_eq!(stage.exchange(b"").await, "");
    assert_eq!(stage.exchange(b"\r\n\r\n").await, "");
    stage.exchange(&GET.repeat(2)).await;
    stage.exchange(b"GET /no-host HTTP/1.1\r\n\r\n").await;
    stage.exchange(b"GET /a b HTTP/1.1\r\n\r\n").await;
    stage.exchange(b"GET /left-in-the-head HTTP/1.1\r\nHo").await;
    stage
        .exchange(b"POST /left-in-the-body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        .await;
    assert!(log.close(Duration::from_secs(10)));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split('"').skip(1).take(2).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(
        lines,
        [
            "GET / HTTP/1.1| 200 0 ".to_owned(),
            "GET / HTTP/1.1| 200 0 ".to_owned(),
            "GET /no-host HTTP/1.1| 400 2 ".to_owned(),
            lines[3].clone(),
            lines[4].clone(),
            "POST /left-in-the-body HTTP/1.1| 499 0 ".to_owned(),
        ],
        "{text}"
    );
    assert!(
        lines[3].starts_with("GET /a b HTTP/1.1") && lines[3].contains("| 400 2"),
        "{text}"
    );
    assert!(
        lines[4].starts_with("GET /left-in-the-head HTTP/1.1") && lines[4].contains("| 499 "),
        "{text}"
    );
}
