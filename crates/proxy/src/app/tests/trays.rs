//! Answers on trays: what of them arrives, and when a tray goes back.

use std::{sync::Arc, time::Duration};

use logs::Outcome;
use message::client_error::ClientError;
use tokio::sync::mpsc::unbounded_channel;
use wire::{control::FromProxy, frame::TRAYS_MAX};

use super::{
    client::Client,
    rig::{Rig, Settings, all_at_once, until},
};

/// Numbers of the trays that the worker has back, in order.
fn returned(rig: &Rig) -> Vec<u32> {
    rig.seen.returned.lock().expect("lock").clone()
}

/// Is the answer so many times this byte?
fn is_all(client: &Client, len: usize, byte: u8) -> bool {
    client.out.len() == len && client.out.iter().all(|other| *other == byte)
}

#[tokio::test]
async fn a_tray_goes_back_when_the_client_has_all_of_it_and_is_used_again() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    for (round, len) in [1 << 20, 70_000, 1, 0, 1 << 20].into_iter().enumerate() {
        let (client, record) = rig.get(&format!("/tray/{len}/{}", round + 1)).await;
        assert!(is_all(&client, len, round as u8 + 1), "{round}");
        assert!(client.ended);
        assert_eq!(record.worker, Some(1));
        until(|| returned(&rig).len() == round + 1).await;
    }
    assert_eq!(returned(&rig), [0; 5]);
}

#[tokio::test]
async fn a_tray_that_a_slow_client_needs_stays_away_and_others_are_used() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut slow = Client::new("GET", "/tray/1000000/7").hungry_for(0);
    let appetite = Arc::clone(&slow.appetite);
    let quick = async {
        until(|| rig.ran().len() == 1).await;
        for byte in 1..4 {
            let (client, _) = rig.get(&format!("/tray/1000000/{byte}")).await;
            assert!(is_all(&client, 1_000_000, byte));
            until(|| returned(&rig).len() == usize::from(byte)).await;
        }
        assert_eq!(returned(&rig), [1, 1, 1]);
        appetite.add_permits(1);
    };
    let ((outcome, _), ()) = tokio::join!(rig.send(&mut slow), quick);
    assert_eq!(outcome, Ok(()));
    assert!(is_all(&slow, 1_000_000, 7));
    until(|| returned(&rig) == [1, 1, 1, 0]).await;
}

#[tokio::test]
async fn a_tray_goes_back_when_its_bytes_went_to_the_disk_or_nobody_wants_them() {
    let rig = Rig::new(&Settings {
        memory_bytes: 0,
        shared_bytes: 0,
        ..Settings::default()
    });
    rig.worker(1);
    let mut slow = Client::new("GET", "/tray/1000000/7").hungry_for(0);
    let appetite = Arc::clone(&slow.appetite);
    let watch = async {
        // The client has taken nothing yet.
        until(|| returned(&rig) == [0]).await;
        let (client, _) = rig.get("/tray/1000000/8").await;
        assert!(is_all(&client, 1_000_000, 8));
        appetite.add_permits(1);
    };
    let ((outcome, _), ()) = tokio::join!(rig.send(&mut slow), watch);
    assert_eq!(outcome, Ok(()));
    assert!(is_all(&slow, 1_000_000, 7));

    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut gone = Client::new("GET", "/tray/1000000/7").hungry_for(0);
    let leaves = Arc::clone(&gone.leaves);
    let watch = async {
        until(|| rig.ran().len() == 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(returned(&rig).is_empty());
        leaves.notify_one();
    };
    let ((outcome, _), ()) = tokio::join!(rig.send(&mut gone), watch);
    assert_eq!(outcome, Err(ClientError::Gone));
    until(|| returned(&rig) == [0]).await;
}

#[tokio::test]
async fn what_a_dead_worker_has_laid_out_is_still_sent() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut slow = Client::new("GET", "/tray/1000000/7/die").hungry_for(0);
    let appetite = Arc::clone(&slow.appetite);
    let watch = async {
        until(|| rig.ran().len() == 1).await;
        // Its end of the memory is gone long before the client takes anything.
        tokio::time::sleep(Duration::from_millis(100)).await;
        appetite.add_permits(1);
    };
    let ((outcome, record), ()) = tokio::join!(rig.send(&mut slow), watch);
    assert_eq!((outcome, record.outcome), (Ok(()), Some(Outcome::WorkerDied)));
    assert!(is_all(&slow, 1_000_000, 7) && !slow.ended);
}

#[tokio::test]
async fn each_of_many_answers_at_once_has_a_tray_of_its_own() {
    let rig = Rig::new(&Settings {
        threads: TRAYS_MAX as usize,
        ..Settings::default()
    });
    rig.worker(1);
    let requests = (0..TRAYS_MAX as u8).map(|byte| {
        let rig = &rig;
        async move {
            let (client, _) = rig.get(&format!("/tray/1000000/{byte}")).await;
            assert!(is_all(&client, 1_000_000, byte));
        }
    });
    all_at_once(requests).await;
    until(|| returned(&rig).len() == TRAYS_MAX as usize).await;
}

#[tokio::test]
async fn a_worker_that_breaks_the_rules_of_trays_loses_its_link() {
    for fault in [
        "unsealed",
        "short",
        "no-memory",
        "too-long",
        "too-many",
        "new-again",
        "unheard-of",
        "lent",
    ] {
        let mut rig = Rig::new(&Settings::default());
        rig.worker(1);
        let mut reports = std::mem::replace(&mut rig.reports, unbounded_channel().1);
        let mut client = Client::new("POST", &format!("/tray-{fault}")).hungry_for(0);
        let appetite = Arc::clone(&client.appetite);
        let watch = async {
            let report = reports.recv().await;
            appetite.add_permits(100);
            report
        };
        let ((outcome, record), report) = tokio::join!(rig.send(&mut client), watch);
        assert_eq!(outcome, Ok(()));
        assert!(
            matches!(report, Some(FromProxy::LinkBroken { link: 1, .. })),
            "{fault}: {report:?}"
        );
        assert_eq!(record.outcome, Some(Outcome::WorkerDied), "{fault}");
        // The head may have been read together with what is wrong.
        assert!(client.status() == 502 || !client.ended, "{fault}");
    }
}

#[tokio::test]
async fn what_comes_behind_the_end_of_an_answer_is_dropped_and_its_worker_goes_on() {
    let mut rig = Rig::new(&Settings::default());
    rig.worker(1);
    for round in 1..=3 {
        let (client, record) = rig.get("/late").await;
        assert_eq!(
            (client.out.as_slice(), client.ended, record.outcome),
            (&b"hello"[..], true, None)
        );
        // Of the tray, too, of which nobody will read anything.
        until(|| returned(&rig).len() == 2 * round - 1).await;
        let (client, record) = rig.get("/tray/70000/5").await;
        assert!(is_all(&client, 70_000, 5));
        assert_eq!(record.worker, Some(1));
        until(|| returned(&rig).len() == 2 * round).await;
    }
    assert!(rig.reports.try_recv().is_err(), "the link is as it was");
}
