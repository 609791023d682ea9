//! WebSockets through the whole hop: a client that speaks bytes, a worker that speaks frames.

mod autobahn;
mod bridge;
mod endings;

use std::{sync::Arc, time::Duration};

use logs::{Outcome, Record};
use message::{client_error::ClientError, downstream::Downstream, request::Request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
};
use websocket::frames::{Frame, masked, parse, unpack};

use super::{
    client::Client,
    rig::{PATIENCE, Rig, Settings, all_at_once, end, until},
};
use crate::app::{app_request::AppRequest, mount::Mount};

/// The client's end of a WebSocket.
struct Peer {
    socket: DuplexStream,
    input: Vec<u8>,
    served: JoinHandle<(Client, Record, Result<(), ClientError>)>,
}

impl Rig {
    /// Opens a WebSocket whose buffers in between hold `buffer` bytes.
    fn open(&self, path: &str, buffer: usize, fields: &[(&str, &str)]) -> Peer {
        let (ours, theirs) = tokio::io::duplex(buffer);
        let mut client = Client::websocket(path, theirs, fields);
        let request = Request {
            host: "example.org".to_owned(),
            path: client.head().target.clone(),
            request_id: "id".to_owned(),
            ..Request::default()
        };
        let (app, context) = (Arc::clone(&self.app), Arc::clone(&self.context));
        let served = tokio::spawn(async move {
            let mut record = Record::new(logs::Remote::Unix);
            let asked = AppRequest {
                request: &request,
                mount: Mount::default(),
                listener: &context.config.listeners[0],
                drain: &context.drain,
            };
            let outcome = if app.takes_websockets() {
                app.open_websocket(&mut client, &asked, &mut record).await
            } else {
                app.open_bridge(&mut client, &asked, &mut record).await
            };
            let outcome = end(&mut client, &mut record, outcome).await;
            (client, record, outcome)
        });
        Peer {
            socket: ours,
            input: Vec::new(),
            served,
        }
    }

    fn echo(&self, path: &str) -> Peer {
        self.open(path, 1 << 20, &[])
    }

    fn closes(&self) -> Vec<(u16, String)> {
        self.seen.closes.lock().expect("lock").clone()
    }

    async fn closed(&self) -> (u16, String) {
        until(|| !self.closes().is_empty()).await;
        self.closes()[0].clone()
    }
}

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("open");
    }

    /// The next frame; `None` at the end.
    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, used)) = parse(&self.input) {
                self.input.drain(..used);
                return Some(frame);
            }
            let mut piece = [0; 16 << 10];
            let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut piece));
            let read = read.await.expect("patience is over").unwrap_or(0);
            if read == 0 {
                assert!(self.input.is_empty(), "half a frame");
                return None;
            }
            self.input.extend_from_slice(&piece[..read]);
        }
    }

    /// The next message: text or not, and its bytes.
    async fn message(&mut self) -> (bool, Vec<u8>) {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await.expect("a message");
            assert!(matches!(frame.opcode, 0..=2), "{frame:?}");
            assert_eq!(frame.opcode == 0, !frames.is_empty());
            let fin = frame.fin;
            frames.push(frame);
            if fin {
                return (frames[0].opcode == 1, unpack(&frames));
            }
        }
    }

    /// Expects a close frame: its code, 0 for none, and its reason.
    async fn close(&mut self) -> (u16, String) {
        let frame = self.frame().await.expect("a close");
        assert_eq!(frame.opcode, 8, "{frame:?}");
        match frame.payload.split_first_chunk::<2>() {
            Some((code, reason)) => (
                u16::from_be_bytes(*code),
                String::from_utf8(reason.to_vec()).expect("UTF-8"),
            ),
            None => (0, String::new()),
        }
    }

    /// How it was told in the log.
    async fn told(self) -> (Client, Record) {
        drop(self.socket);
        let served = tokio::time::timeout(PATIENCE, self.served);
        let (client, record, _) = served.await.expect("patience is over").expect("no panic");
        (client, record)
    }
}

#[tokio::test]
async fn messages_go_both_ways_and_the_line_tells_who_served_them() {
    let rig = Rig::new(&Settings::default());
    rig.worker(3);
    let mut peer = rig.echo("/echo");
    peer.send(&masked(0x81, "héllo".as_bytes())).await;
    assert_eq!(peer.message().await, (true, "héllo".into()));
    peer.send(&masked(0x82, &[0; 3])).await;
    assert_eq!(peer.message().await, (false, vec![0; 3]));
    peer.send(&masked(0x88, b"\x03\xe8bye")).await;
    assert_eq!(peer.close().await, (1000, String::new()));
    assert_eq!(peer.frame().await, None);
    assert_eq!(rig.closed().await, (1000, "bye".to_owned()));
    let (client, record) = peer.told().await;
    assert_eq!((client.status(), client.ended, client.cut), (101, true, false));
    assert_eq!(
        (record.status, record.worker, record.outcome),
        (Some(101), Some(3), Some(Outcome::Ok))
    );
    let head = client.answer.expect("head");
    assert_eq!(
        head.fields.get("sec-websocket-accept"),
        Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..])
    );
}

#[tokio::test]
async fn the_fields_of_the_handshake_are_ours_and_the_others_the_applications() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let offers = [
        ("Sec-WebSocket-Protocol", "superchat, chat"),
        (
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        ),
    ];
    let peer = rig.open("/chat", 1000, &offers);
    let (client, _) = peer.told().await;
    let fields = client.answer.expect("head").fields;
    assert_eq!(
        fields.all("sec-websocket-accept").collect::<Vec<_>>(),
        [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
    );
    assert_eq!(fields.get("sec-websocket-protocol"), Some(&b"chat"[..]));
    assert_eq!(
        (fields.get("x-fine"), fields.get("connection")),
        (Some(&b"yes"[..]), None)
    );
    assert!(fields.get("sec-websocket-extensions").is_some());
}

#[tokio::test]
async fn what_is_not_accepted_is_an_ordinary_answer() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    for (path, fields, status, outcome) in [
        ("/deny", &[][..], 403, None),
        ("/deny-200", &[], 200, None),
        ("/raise", &[], 500, Some(Outcome::AppFailed)),
        ("/unasked", &[], 500, Some(Outcome::AppFailed)),
        (
            "/echo",
            &[("Sec-WebSocket-Version", "12")],
            426,
            Some(Outcome::Refused),
        ),
        (
            "/echo",
            &[("Sec-WebSocket-Key", "short")],
            400,
            Some(Outcome::Refused),
        ),
    ] {
        let (client, record) = rig.open(path, 1000, fields).told().await;
        assert_eq!((client.status(), client.ended), (status, true), "{path}");
        assert_eq!(record.outcome, outcome, "{path}");
        if status == 426 {
            let head = client.answer.expect("head");
            assert_eq!(head.fields.get("sec-websocket-version"), Some(&b"13"[..]));
        }
    }
    // What it believes to be accepted is taken back.
    assert_eq!(rig.closed().await.0, 1006);
}

#[tokio::test]
async fn a_client_that_gives_up_before_the_acceptance_is_cancelled() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let (ours, theirs) = tokio::io::duplex(10);
    let mut client = Client::websocket("/silent", theirs, &[]);
    let leaves = Arc::clone(&client.leaves);
    let request = Request {
        path: b"/silent".to_vec(),
        ..Request::default()
    };
    let mut record = Record::new(logs::Remote::Unix);
    let asked = rig.asked(&request);
    let serving = rig.app.open_websocket(&mut client, &asked, &mut record);
    let leaving = async {
        until(|| rig.ran() == ["/silent"]).await;
        leaves.notify_one();
    };
    let (outcome, ()) = tokio::join!(serving, leaving);
    assert_eq!(outcome, Err(ClientError::Gone.into()));
    until(|| rig.seen.cancelled.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
    drop(ours);
}

#[tokio::test]
async fn many_messages_of_one_reading_come_back_in_order_and_in_few_writes() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.echo("/echo");
    let all: Vec<u8> = (0..5000u32)
        .flat_map(|n| masked(0x81, n.to_string().as_bytes()))
        .collect();
    peer.send(&all).await;
    for n in 0..5000u32 {
        assert_eq!(peer.message().await, (true, n.to_string().into_bytes()));
    }
    let (client, _) = peer.told().await;
    assert!(client.writes < 100, "{} writes for 5000 messages", client.writes);
}

#[tokio::test]
async fn an_application_that_takes_nothing_stops_its_client_at_the_window() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.open("/stuck", 16 << 10, &[]);
    let writer = async {
        loop {
            peer.send(&masked(0x82, &[1; 10_000])).await;
        }
    };
    let window = wire::frame::WINDOW as usize;
    let ungranted = || rig.seen.ungranted.load(std::sync::atomic::Ordering::SeqCst);
    tokio::select! {
        () = writer => {}
        () = async {
            until(|| ungranted() == window).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        } => {}
    }
    assert_eq!(ungranted(), window);
}

#[tokio::test]
async fn tiny_messages_fill_the_window_before_their_bytes_do() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.open("/stuck", 16 << 10, &[]);
    let writer = async {
        loop {
            peer.send(&masked(0x82, b"x").repeat(100)).await;
        }
    };
    let (window, cost) = (
        wire::frame::WINDOW as usize,
        wire::frame::MESSAGE_COST as usize + 1,
    );
    let ungranted = || rig.seen.ungranted.load(std::sync::atomic::Ordering::SeqCst);
    tokio::select! {
        () = writer => {}
        () = async {
            until(|| ungranted() > window - cost).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        } => {}
    }
    assert_eq!(ungranted(), window / cost * cost);
}

#[tokio::test]
async fn tiny_messages_of_a_worker_all_reach_their_client() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.open("/tiny", 1000, &[]);
    for _ in 0..20_000 {
        assert_eq!(peer.message().await, (false, b"x".to_vec()));
    }
    // It had to wait for what was granted.
    assert!(rig.seen.stopped.load(std::sync::atomic::Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_client_that_takes_nothing_stops_its_worker_and_gets_all_of_it_later() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.open("/flood", 16 << 10, &[]);
    until(|| rig.seen.stopped.load(std::sync::atomic::Ordering::SeqCst) > 0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        rig.seen.stopped.load(std::sync::atomic::Ordering::SeqCst) < 4,
        "it goes on without end"
    );
    for _ in 0..64 {
        assert_eq!(peer.message().await, (false, vec![b'x'; 100_000]));
    }
}
