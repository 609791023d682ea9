//! Each way in which a WebSocket ends.

use super::*;

fn short_pings() -> Settings {
    let mut settings = Settings::default();
    settings.keepalive.interval = Duration::from_millis(30);
    settings.keepalive.timeout = Duration::from_millis(100);
    settings
}

#[tokio::test]
async fn the_application_closes_after_its_last_words() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.echo("/echo");
    peer.send(&masked(0x81, b"close")).await;
    assert_eq!(peer.message().await.1, b"last words");
    assert_eq!(peer.close().await, (4001, "enough".to_owned()));
    // What was still on its way is no matter, until the client's own close comes.
    peer.send(&masked(0x81, b"late")).await;
    peer.send(&masked(0x88, b"\x0f\xa1")).await;
    assert_eq!(peer.frame().await, None);
    let (client, record) = peer.told().await;
    assert_eq!(
        (client.ended, client.cut, record.outcome),
        (true, false, Some(Outcome::Ok))
    );
    assert_eq!(rig.closes(), []);
}

#[tokio::test]
async fn a_client_that_vanishes_is_a_1006() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.echo("/echo");
    peer.send(&masked(0x81, b"hello")).await;
    peer.message().await;
    let (_, record) = peer.told().await;
    assert_eq!(record.outcome, Some(Outcome::ClientGone));
    assert_eq!(rig.closed().await, (1006, String::new()));
    assert_eq!(rig.seen.cancelled.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_close_without_a_code_is_a_1005() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.echo("/echo");
    peer.send(&masked(0x88, b"")).await;
    assert_eq!(peer.close().await, (0, String::new()));
    assert_eq!(rig.closed().await, (1005, String::new()));
}

#[tokio::test]
async fn a_failing_application_is_a_1011() {
    for (word, outcome) in [
        ("raise", Outcome::AppFailed),
        ("die", Outcome::WorkerDied),
        ("break", Outcome::AppFailed),
    ] {
        let rig = Rig::new(&Settings::default());
        rig.worker(1);
        let mut peer = rig.echo("/echo");
        peer.send(&masked(0x81, word.as_bytes())).await;
        assert_eq!(peer.close().await.0, 1011, "{word}");
        peer.send(&masked(0x88, b"\x03\xf3")).await;
        let (client, record) = peer.told().await;
        assert_eq!((client.cut, record.outcome), (false, Some(outcome)), "{word}");
    }
}

#[tokio::test]
async fn a_reload_says_1012_to_both_sides_and_frees_the_worker() {
    let mut rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.echo("/echo");
    peer.send(&masked(0x81, b"hello")).await;
    peer.message().await;
    rig.app.unlink(1);
    assert_eq!(peer.close().await, (1012, String::new()));
    assert_eq!(rig.closed().await, (1012, String::new()));
    // The worker is free although the client has not said its last word.
    assert_eq!(rig.report().await, wire::control::FromProxy::LinkIdle { link: 1 });
    peer.send(&masked(0x88, b"\x03\xf4")).await;
    let (client, record) = peer.told().await;
    assert_eq!(
        (client.ended, client.cut, record.outcome),
        (true, false, Some(Outcome::Ok))
    );
}

#[tokio::test]
async fn a_drain_says_1012_to_both_sides() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.echo("/echo");
    peer.send(&masked(0x81, b"hello")).await;
    peer.message().await;
    rig.context.drain.start(Duration::from_secs(1));
    assert_eq!(peer.close().await, (1012, String::new()));
    assert_eq!(rig.closed().await, (1012, String::new()));
    peer.send(&masked(0x88, b"\x03\xf4")).await;
    assert_eq!(peer.frame().await, None);
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_given_up_when_it_does_not_answer() {
    let rig = Rig::new(&short_pings());
    rig.worker(1);
    let mut peer = rig.echo("/echo");
    for _ in 0..3 {
        assert_eq!(peer.frame().await.expect("a ping").opcode, 9);
        peer.send(&masked(0x8a, b"")).await;
    }
    assert_eq!(peer.frame().await.expect("a ping").opcode, 9);
    assert_eq!(peer.frame().await, None, "cut");
    assert_eq!(rig.closed().await, (1006, String::new()));
    let (client, record) = peer.told().await;
    assert_eq!((client.cut, record.outcome), (true, Some(Outcome::ClientTimeout)));
}

#[tokio::test]
async fn a_client_that_the_worker_does_not_listen_to_is_not_called_silent() {
    let rig = Rig::new(&short_pings());
    rig.worker(1);
    let mut peer = rig.open("/stuck", 1 << 20, &[]);
    peer.send(&masked(0x82, &vec![1; 400_000])).await;
    let window = wire::frame::WINDOW as usize;
    // What is left of it is too little for a message.
    let full = window - wire::frame::MESSAGE_COST as usize;
    until(|| rig.seen.ungranted.load(std::sync::atomic::Ordering::SeqCst) >= full).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!peer.served.is_finished());
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_and_not_kept() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    // Nothing is taken of the answers: the buffer in between holds next to none.
    let mut peer = rig.open("/echo", 4096, &[]);
    let (mut reader, mut writer) = tokio::io::split(peer.socket);
    let flood = async {
        for n in 0..20_000u32 {
            writer
                .write_all(&masked(0x89, &n.to_be_bytes()))
                .await
                .expect("open");
        }
    };
    tokio::time::timeout(PATIENCE, flood)
        .await
        .expect("it does not wait for the answers");
    writer.write_all(&masked(0x88, b"\x03\xe8")).await.expect("open");
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.expect("open");
    let mut last = None;
    let (mut rest, mut pongs) = (&all[..], 0);
    while let Some((frame, used)) = parse(rest) {
        rest = &rest[used..];
        pongs += u32::from(frame.opcode == 10);
        last = Some(frame.opcode);
    }
    assert!(pongs > 0 && pongs < 20_000 && last == Some(8), "{pongs} {last:?}");
    let (client, _, _) = (&mut peer.served).await.expect("no panic");
    assert!(client.ended);
}

#[tokio::test]
async fn a_broken_rule_is_told_to_both_sides() {
    let settings = Settings {
        websocket: Some(config::WebSocket {
            message_bytes_max: 1000,
            compression: true,
        }),
        ..Settings::default()
    };
    for (bytes, code) in [
        (b"\x81\x02hi".to_vec(), 1002),
        (masked(0x81, b"\xff"), 1007),
        (masked(0x82, &[0; 1001]), 1009),
    ] {
        let rig = Rig::new(&settings);
        rig.worker(1);
        let mut peer = rig.echo("/echo");
        peer.send(&bytes).await;
        assert_eq!(peer.close().await.0, code);
        assert_eq!(peer.frame().await, None);
        assert_eq!(rig.closed().await.0, code);
        assert_eq!(peer.told().await.1.outcome, Some(Outcome::Refused));
    }
}

#[tokio::test]
async fn empty_messages_cost_their_client_time() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.open("/quiet", 1 << 20, &[]);
    let empty = masked(0x82, b"").repeat(3000);
    peer.send(&empty).await;
    let seen = || rig.seen.messages.lock().expect("lock").len();
    until(|| seen() >= 1024).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(seen(), 1024);
    until(|| seen() == 3000).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_a_close_is_cut() {
    let rig = Rig::new(&Settings::default());
    rig.context.drain.start(Duration::from_secs(1));
    rig.worker(1);
    let peer = rig.open("/echo", 1000, &[]);
    let (client, record, _) = peer.served.await.expect("no panic");
    assert_eq!(
        (client.ended, client.cut, record.outcome),
        (false, true, Some(Outcome::Ok))
    );
    drop(peer.socket);
}

#[tokio::test]
async fn the_deadline_of_a_request_is_that_of_the_acceptance() {
    let rig = Rig::new(&Settings {
        evented: true,
        threads: 4,
        request_timeout: Duration::from_millis(100),
        ..Settings::default()
    });
    rig.worker(1);
    let mut peer = rig.echo("/echo");
    peer.send(&masked(0x81, b"early")).await;
    assert_eq!(peer.message().await.1, b"early");
    let (client, record) = rig.echo("/silent").told().await;
    assert_eq!((client.status(), record.outcome), (504, Some(Outcome::Timeout)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    peer.send(&masked(0x81, b"late")).await;
    assert_eq!(peer.message().await.1, b"late");
}

#[tokio::test]
async fn an_application_that_does_not_hear_the_close_is_ended_after_a_while() {
    let rig = Rig::new(&Settings {
        evented: true,
        request_timeout: Duration::from_millis(100),
        ..Settings::default()
    });
    rig.worker(1);
    let mut peer = rig.echo("/deaf");
    peer.send(&masked(0x88, b"\x03\xe8")).await;
    assert_eq!(peer.close().await.0, 1000);
    until(|| rig.seen.overdue.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
}
