//! WebSockets of applications that speak the protocol themselves; the application is the test.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
};

use super::*;

/// Answers the key of [`Client::websocket`].
const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-App: yes\r\n\r\n";

fn settings() -> Settings {
    Settings {
        websocket: None,
        threads: 4,
        ..Settings::default()
    }
}

impl Rig {
    /// The application's end of the socket that it was given.
    async fn application(&self) -> UnixStream {
        until(|| !self.seen.bridges.lock().expect("lock").is_empty()).await;
        let application = self.seen.bridges.lock().expect("lock").remove(0);
        application.set_nonblocking(true).expect("non-blocking");
        application
    }
}

async fn read(mut application: &UnixStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut at = 0;
    while at < len {
        match application.read(&mut bytes[at..]) {
            Ok(0) => break,
            Ok(read) => at += read,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    bytes.truncate(at);
    bytes
}

/// A frame as an application sends it.
fn clear(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len => {
            frame.push(126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn bytes_go_both_ways_and_both_close_frames_are_the_end() {
    let rig = Rig::new(&settings());
    rig.worker(3);
    let mut peer = rig.open("/bridge", 1 << 20, &[]);
    let mut application = rig.application().await;
    // What comes in one piece with the head is not lost.
    application
        .write_all(&[HEAD, &clear(0x81, b"first")].concat())
        .expect("written");
    assert_eq!(peer.message().await, (true, b"first".to_vec()));
    let sent = [
        masked(0x82, &[7; 100]),
        masked(0x89, b"ping"),
        masked(0x88, b"\x03\xe8"),
    ]
    .concat();
    peer.send(&sent).await;
    assert_eq!(read(&application, sent.len()).await, sent);
    application.write_all(&clear(0x88, b"\x03\xe8")).expect("written");
    assert_eq!(peer.close().await.0, 1000);
    assert_eq!(peer.frame().await, None);
    assert_eq!(read(&application, 1).await, b"");
    let (client, record) = peer.told().await;
    assert_eq!((client.status(), client.ended, client.cut), (101, true, false));
    assert_eq!(
        (record.status, record.worker, record.outcome),
        (Some(101), Some(3), Some(Outcome::Ok))
    );
    assert_eq!(
        client.answer.expect("head").fields.get("x-app"),
        Some(&b"yes"[..])
    );
    // The request still ran when its client had enough.
    until(|| rig.seen.cancelled.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn an_application_that_leaves_its_socket_alone_answers_as_ever() {
    let rig = Rig::new(&settings());
    rig.worker(1);
    for (path, status, outcome) in [
        ("/bridge-answer", 200, None),
        ("/bridge-never", 200, None),
        ("/bridge-raise", 500, Some(Outcome::AppFailed)),
        ("/bridge-lie", 502, Some(Outcome::AppFailed)),
    ] {
        let (client, record) = rig.open(path, 1000, &[]).told().await;
        assert_eq!((client.status(), record.outcome), (status, outcome), "{path}");
    }
    // No handshake is no reason for a socket, nor for another answer.
    for fields in [[("Sec-WebSocket-Version", "8")], [("Sec-WebSocket-Key", "short")]] {
        let (client, _) = rig.open("/hello", 1000, &fields).told().await;
        assert_eq!((client.status(), client.text().as_str()), (200, "hello"));
    }
}

#[tokio::test]
async fn what_is_no_acceptance_is_a_502() {
    let rig = Rig::new(&settings());
    rig.worker(1);
    let forged = String::from_utf8_lossy(HEAD).replace("s3pP", "xxxx");
    for said in [b"hello".as_slice(), forged.as_bytes(), b"HTTP/1.1 200 OK\r\n\r\n"] {
        let peer = rig.open("/bridge", 1000, &[]);
        let mut application = rig.application().await;
        application.write_all(said).expect("written");
        let served = tokio::time::timeout(PATIENCE, peer.served);
        let (client, record, _) = served.await.expect("patience is over").expect("no panic");
        assert_eq!((client.status(), record.outcome), (502, Some(Outcome::AppFailed)));
    }
    let peer = rig.open("/bridge", 1000, &[]);
    let mut application = rig.application().await;
    application.write_all(&HEAD[..50]).expect("written");
    drop(application);
    let served = tokio::time::timeout(PATIENCE, peer.served);
    let (client, _, _) = served.await.expect("patience is over").expect("no panic");
    assert_eq!(client.status(), 502);
}

#[tokio::test]
async fn a_worker_that_breaks_the_rules_loses_its_link_and_nothing_else() {
    for path in ["/bridge-file", "/bridge-datagram", "/bridge-twice"] {
        let rig = Rig::new(&settings());
        rig.worker(1);
        let served = tokio::time::timeout(PATIENCE, rig.open(path, 1000, &[]).served);
        let (client, record, _) = served.await.expect("patience is over").expect("no panic");
        assert_eq!(
            (client.status(), record.outcome),
            (502, Some(Outcome::WorkerDied)),
            "{path}"
        );
        rig.worker(2);
        assert_eq!(rig.get("/hello").await.0.status(), 200, "{path}");
    }
    let rig = Rig::new(&settings());
    rig.worker(1);
    let (client, record) = rig.get("/bridge-unasked").await;
    assert_eq!((client.status(), record.outcome), (502, Some(Outcome::AppFailed)));
    rig.worker(2);
    assert_eq!(rig.get("/hello").await.0.status(), 200);
}

#[tokio::test]
async fn the_deadline_of_a_request_ends_with_its_head() {
    let mut rig = Rig::new(&Settings {
        request_timeout: Duration::from_millis(100),
        ..settings()
    });
    rig.worker(1);
    let mut peer = rig.open("/bridge", 1 << 20, &[]);
    let mut application = rig.application().await;
    application.write_all(HEAD).expect("written");
    tokio::time::sleep(Duration::from_millis(500)).await;
    application
        .write_all(&clear(0x81, b"still here"))
        .expect("written");
    assert_eq!(peer.message().await, (true, b"still here".to_vec()));
    assert!(rig.reports.try_recv().is_err(), "nothing is reported");
    drop(peer);

    // One that never says anything is as late as any other.
    let late = rig.open("/bridge", 1 << 20, &[]);
    let served = tokio::time::timeout(PATIENCE, late.served);
    let (client, _, _) = served.await.expect("patience is over").expect("no panic");
    assert_eq!(client.status(), 504);
    assert!(matches!(
        rig.report().await,
        wire::control::FromProxy::Overrun { .. }
    ));
}

#[tokio::test]
async fn at_a_drain_the_client_is_told_between_two_frames() {
    let rig = Rig::new(&settings());
    rig.worker(1);
    let mut peer = rig.open("/bridge", 1 << 20, &[]);
    let mut application = rig.application().await;
    let frame = clear(0x82, &[1; 300]);
    application
        .write_all(&[HEAD, &frame[..100]].concat())
        .expect("written");
    let mut first = [0; 100];
    peer.socket.read_exact(&mut first).await.expect("half a frame");
    peer.input.extend_from_slice(&first);
    rig.context.drain.start(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(50)).await;
    application.write_all(&frame[100..]).expect("written");
    assert_eq!(peer.message().await, (false, vec![1; 300]));
    assert_eq!(peer.close().await.0, 1012);
    // The client's answer tells the application.
    let answer = masked(0x88, b"\x03\xf4");
    peer.send(&answer).await;
    assert_eq!(read(&application, 100).await, answer);
    assert_eq!(peer.frame().await, None);
    let (client, record) = peer.told().await;
    assert!(client.ended && !client.cut);
    assert_eq!(record.outcome, Some(Outcome::Ok));
}

#[tokio::test]
async fn a_silent_client_is_pinged_between_frames_and_given_up() {
    let mut settings = settings();
    settings.keepalive.interval = Duration::from_millis(30);
    settings.keepalive.timeout = Duration::from_millis(200);
    let rig = Rig::new(&settings);
    rig.worker(1);
    let mut peer = rig.open("/bridge", 1 << 20, &[]);
    let mut application = rig.application().await;
    application.write_all(HEAD).expect("written");
    let ping = peer.frame().await.expect("a ping");
    assert!(matches!(ping, Frame { opcode: 9, .. }), "{ping:?}");
    assert_eq!(peer.frame().await, None);
    let (client, record) = peer.told().await;
    assert_eq!((client.cut, record.outcome), (true, Some(Outcome::ClientTimeout)));
    assert_eq!(read(&application, 1).await, b"");
}

#[tokio::test]
async fn a_client_that_leaves_is_the_end_of_what_its_application_reads_and_no_error_of_what_it_writes() {
    let rig = Rig::new(&settings());
    rig.worker(1);
    let peer = rig.open("/bridge", 1 << 20, &[]);
    let mut application = rig.application().await;
    application.write_all(HEAD).expect("written");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (_, record) = peer.told().await;
    assert_eq!(record.outcome, Some(Outcome::ClientGone));
    assert_eq!(read(&application, 1).await, b"");
    for _ in 0..20 {
        application
            .write_all(&clear(0x81, b"too late"))
            .expect("goes nowhere");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_worker_that_dies_closes_with_1011() {
    let rig = Rig::new(&settings());
    rig.worker(1);
    let mut peer = rig.open("/bridge", 1 << 20, &[]);
    let mut application = rig.application().await;
    application.write_all(HEAD).expect("written");
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Its descriptors close one after the other.
    drop(application);
    let (_, record) = rig.send(&mut Client::new("POST", "/die")).await;
    assert_eq!(record.outcome, Some(Outcome::WorkerDied));
    assert_eq!(peer.close().await.0, 1011);
    let (_, record) = peer.told().await;
    assert_eq!(record.outcome, Some(Outcome::WorkerDied));
}

#[tokio::test]
async fn a_slow_client_stops_its_application_and_a_slow_application_its_client() {
    let rig = Rig::new(&settings());
    rig.worker(1);
    let mut peer = rig.open("/bridge", 16 << 10, &[]);
    let mut application = rig.application().await;
    application.write_all(HEAD).expect("written");
    let block = clear(0x82, &[5; 60_000]);
    let mut written = 0;
    for _ in 0..200 {
        match application.write(&block[written % block.len()..]) {
            Ok(len) => written += len,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    assert!(written < 2 << 20, "{written} bytes are on their way");
    // All of it comes, in order.
    let mut taken = 0;
    while taken < written {
        let mut piece = [0; 5000];
        let read = peer.socket.read(&mut piece).await.expect("open");
        for byte in &piece[..read] {
            assert_eq!(*byte, block[taken % block.len()], "byte {taken}");
            taken += 1;
        }
    }
    let large = masked(0x82, &[1; 4 << 20]);
    let stopped = tokio::time::timeout(Duration::from_millis(500), peer.send(&large));
    assert!(
        stopped.await.is_err(),
        "a client of an application that reads nothing is stopped"
    );
}

#[tokio::test]
async fn a_worker_whose_threads_are_held_by_websockets_is_not_stuck() {
    let mut rig = Rig::new(&Settings {
        threads: 1,
        queue_timeout: Duration::from_millis(50),
        request_timeout: Duration::from_millis(200),
        ..settings()
    });
    rig.worker(1);
    // Short requests are sent ahead to a worker that is busy.
    for _ in 0..50 {
        assert_eq!(rig.get("/hello").await.0.status(), 200);
    }
    let mut peer = rig.open("/bridge", 1 << 20, &[]);
    let mut application = rig.application().await;
    application
        .write_all(&[HEAD, &clear(0x81, b"open")].concat())
        .expect("written");
    assert_eq!(peer.message().await, (true, b"open".to_vec()));
    let late = |path: &'static str| {
        let rig = &rig;
        async move { assert_eq!(rig.get(path).await.0.status(), 503) }
    };
    all_at_once((0..20).map(|_| late("/unclaimed"))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    late("/unclaimed").await;
    assert!(rig.reports.try_recv().is_err(), "nothing is reported");
    application.write_all(&clear(0x81, b"still")).expect("written");
    assert_eq!(peer.message().await, (true, b"still".to_vec()));
}

#[tokio::test]
async fn the_answer_to_a_close_may_come_behind_the_end_of_the_request() {
    let rig = Rig::new(&settings());
    rig.worker(1);
    let mut peer = rig.open("/bridge-quick", 1 << 20, &[]);
    let mut application = rig.application().await;
    application.write_all(HEAD).expect("written");
    let close = masked(0x88, b"\x03\xe8");
    peer.send(&close).await;
    assert_eq!(read(&application, close.len()).await, close);
    // As Chromium does over HTTP/2.
    peer.socket.shutdown().await.expect("shut down");
    tokio::time::sleep(Duration::from_millis(350)).await;
    application.write_all(&clear(0x88, b"\x03\xe8")).expect("written");
    assert_eq!(peer.close().await.0, 1000);
    assert_eq!(peer.frame().await, None);
    let (_, record) = peer.told().await;
    assert_eq!(record.outcome, Some(Outcome::Ok));
}
