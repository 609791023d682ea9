//! What apps with an event loop have beyond the others: bodies that follow, answers that go on, hints and trailers.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use logs::Outcome;
use message::client_error::ClientError;
use tokio::sync::Semaphore;
use wire::{
    control::FromProxy,
    frame::{INLINE_BODY_MAX, WINDOW},
};

use super::{
    client::Client,
    rig::{Rig, Settings, until},
};

fn evented() -> Settings {
    Settings {
        evented: true,
        request_buffering: false,
        threads: 100,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_body_goes_up_piece_by_piece_within_the_credit() {
    let rig = Rig::new(&evented());
    rig.worker(1);
    for (pieces, len) in [(1, 1), (3, 100), (50, 100_000), (40, 300_000)] {
        let mut client = Client::new("POST", "/upload").with_body(vec![vec![3; len]; pieces]);
        rig.send(&mut client).await.0.expect("answered");
        let bytes = pieces * len;
        // What is there at once and fits goes with the request, which then tells its length.
        let length = if bytes <= INLINE_BODY_MAX {
            bytes as i64
        } else {
            -1
        };
        assert_eq!(client.text(), format!("{bytes} {} {length}", 3 * bytes));
    }
    let mut empty = Client::new("POST", "/upload").with_body([]);
    rig.send(&mut empty).await.0.expect("answered");
    assert_eq!(empty.text(), "0 0 0");
}

#[tokio::test]
async fn the_worker_has_the_first_piece_while_the_client_holds_the_second_back() {
    let rig = Rig::new(&evented());
    rig.worker(1);
    let mut client = Client::new("POST", "/duplex").with_body([b"one".to_vec(), b"two".to_vec()]);
    client.sends = Arc::new(Semaphore::new(1));
    client.appetite = Arc::new(Semaphore::new(1));
    let (sends, appetite) = (Arc::clone(&client.sends), Arc::clone(&client.appetite));
    let talk = async {
        // The first piece is back at the client before the second leaves it.
        until(|| appetite.available_permits() == 0).await;
        assert_eq!(rig.seen.fed.load(Ordering::SeqCst), 3);
        appetite.add_permits(10);
        sends.add_permits(10);
    };
    let ((outcome, _), ()) = tokio::join!(rig.send(&mut client), talk);
    assert_eq!(
        (outcome, client.text().as_str(), client.ended),
        (Ok(()), "onetwo", true)
    );
}

#[tokio::test]
async fn a_worker_that_writes_much_before_it_reads_is_no_deadlock() {
    let rig = Rig::new(&evented());
    rig.worker(1);
    let len = 3_000_000;
    let mut client = Client::new("POST", &format!("/write-first/{len}")).with_body(vec![vec![1; 50_000]; 40]);
    rig.send(&mut client).await.0.expect("answered");
    assert!(client.ended && client.text().ends_with(" -1"));
    assert_eq!(client.out.len(), len + "2000000 2000000 -1".len());
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_body_ends_the_request() {
    let rig = Rig::new(&evented());
    rig.worker(1);
    let mut client = Client::new("POST", "/early").with_body(vec![vec![1; 1000]; 5]);
    client.sends = Arc::new(Semaphore::new(1));
    rig.send(&mut client).await.0.expect("answered");
    assert_eq!((client.text().as_str(), client.ended), ("no thanks", true));
    assert_eq!(rig.get("/hello").await.0.status(), 200);
    assert_eq!(rig.seen.cancelled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_not_read_before_the_application_asks_for_its_body() {
    let rig = Rig::new(&evented());
    let mut client = Client::new("POST", "/upload")
        .with_body([vec![1; 10]])
        .with_field("Expect", "100-continue");
    let bytes_read = Arc::clone(&client.bytes_read);
    let boot = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(bytes_read.load(Ordering::SeqCst), 0);
        rig.worker(1);
    };
    let ((outcome, _), ()) = tokio::join!(rig.send(&mut client), boot);
    assert_eq!((outcome, client.text().as_str()), (Ok(()), "10 10 -1"));
    let mut early = Client::new("POST", "/early")
        .with_body([vec![1; 10]])
        .with_field("Expect", "100-continue");
    early.sends = Arc::new(Semaphore::new(0));
    rig.send(&mut early).await.0.expect("answered");
    assert_eq!(early.text(), "no thanks");
}

#[tokio::test]
async fn a_body_is_read_no_further_than_the_window_while_nobody_takes_it() {
    let rig = Rig::new(&evented());
    let mut client = Client::new("POST", "/unread").with_body(vec![vec![1; 100_000]; 30]);
    let (bytes_read, leaves) = (Arc::clone(&client.bytes_read), Arc::clone(&client.leaves));
    let watch = async {
        until(|| bytes_read.load(Ordering::SeqCst) >= WINDOW as usize).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(
            bytes_read.load(Ordering::SeqCst),
            400_000,
            "it waits in the queue"
        );
        rig.worker(1);
        let most = INLINE_BODY_MAX + WINDOW as usize;
        until(|| rig.seen.fed.load(Ordering::SeqCst) == most).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(bytes_read.load(Ordering::SeqCst) <= most + WINDOW as usize + 100_000);
        // A client whose body nobody takes is still heard leaving.
        leaves.notify_one();
    };
    let ((outcome, _), ()) = tokio::join!(rig.send(&mut client), watch);
    assert_eq!(outcome, Err(ClientError::Gone));
    until(|| rig.seen.cancelled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_client_that_fails_while_it_sends_cancels_its_request() {
    for error in [
        ClientError::Gone,
        ClientError::TooSlow,
        ClientError::BodyTooLarge(5),
        ClientError::BadBody,
    ] {
        let rig = Rig::new(&evented());
        rig.worker(1);
        let mut client = Client::new("POST", "/upload").with_body([vec![1; 10]]);
        client.fails = Some(error);
        client.sends = Arc::new(Semaphore::new(1));
        let sends = Arc::clone(&client.sends);
        let fail = async {
            until(|| rig.seen.fed.load(Ordering::SeqCst) == 10).await;
            sends.add_permits(1);
        };
        let ((outcome, _), ()) = tokio::join!(rig.send(&mut client), fail);
        assert_eq!(outcome, Err(error));
        assert!(client.answer.is_none());
        until(|| rig.seen.cancelled.load(Ordering::SeqCst) == 1).await;
    }
}

#[tokio::test]
async fn a_body_that_was_passed_on_can_not_be_passed_on_again() {
    let rig = Rig::new(&evented());
    rig.worker(1);
    rig.worker(2);
    let mut client = Client::new("PUT", "/die-fed").with_body([vec![1; 10], vec![1; 10]]);
    client.sends = Arc::new(Semaphore::new(1));
    let sends = Arc::clone(&client.sends);
    let send = async {
        until(|| rig.seen.fed.load(Ordering::SeqCst) == 10).await;
        sends.add_permits(1);
    };
    let ((outcome, record), ()) = tokio::join!(rig.send(&mut client), send);
    assert_eq!((outcome, client.status()), (Ok(()), 502));
    assert_eq!((record.outcome, rig.ran().len()), (Some(Outcome::WorkerDied), 1));
}

#[tokio::test]
async fn a_request_given_back_takes_its_body_to_the_next_worker() {
    let rig = Rig::new(&evented());
    rig.worker(1);
    let mut client = Client::new("POST", "/give-back").with_body([vec![2; 100_000], vec![2; 50_000]]);
    let boot = async {
        until(|| rig.ran().len() == 1).await;
        rig.worker(2);
    };
    let ((outcome, record), ()) = tokio::join!(rig.send(&mut client), boot);
    assert_eq!((outcome, record.worker), (Ok(()), Some(2)));
    assert_eq!(client.text(), "150000 300000 -1");
}

#[tokio::test]
async fn an_overdue_request_is_a_504_and_ends_alone() {
    let mut rig = Rig::new(&Settings {
        request_timeout: Duration::from_millis(80),
        ..evented()
    });
    rig.worker(1);
    let mut streaming = Client::new("GET", "/drip");
    let leaves = Arc::clone(&streaming.leaves);
    let others = async {
        let (client, record) = rig.get("/hang").await;
        assert_eq!((client.status(), record.outcome), (504, Some(Outcome::Timeout)));
        until(|| rig.seen.overdue.load(Ordering::SeqCst) == 1).await;
        // The same worker goes on, and so does what it had begun.
        assert_eq!(rig.get("/hello").await.1.worker, Some(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        leaves.notify_one();
    };
    let ((outcome, _), ()) = tokio::join!(rig.send(&mut streaming), others);
    assert_eq!(
        (outcome, streaming.text().as_str()),
        (Err(ClientError::Gone), "first")
    );
    assert!(rig.reports.try_recv().is_err(), "nothing to replace");
    rig.app.unlink(1);
    assert_eq!(rig.report().await, FromProxy::LinkIdle { link: 1 });
}

#[tokio::test]
async fn hints_come_before_the_answer_and_trailers_behind_it() {
    let rig = Rig::new(&evented());
    rig.worker(1);
    let (client, _) = rig.get("/hints").await;
    assert_eq!((client.informational.len(), client.text().as_str()), (1, "hello"));
    assert_eq!(client.informational[0].status, 103);
    assert_eq!(
        client.informational[0].fields.get("link"),
        Some(&b"</style.css>; rel=preload"[..])
    );
    let (client, _) = rig.get("/trailers").await;
    assert_eq!((client.text().as_str(), client.ended), ("hello", true));
    // What belongs into a head is not among them.
    assert_eq!(client.trailers.expect("some").as_http1(), b"X-Sum: 5\r\n");
}
