//! The whole hop, from a client in memory to a worker in a thread and back.

mod client;
mod evented;
mod protocols;
mod rig;
mod slabs;
mod trays;
mod websocket;
mod websocket_worker;
pub(crate) mod worker;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use logs::Outcome;
use message::{answer::AnswerLength, client_error::ClientError};
use wire::control::FromProxy;

use self::{
    client::Client,
    rig::{Rig, Settings, all_at_once, until},
};

#[tokio::test]
async fn a_request_is_answered_and_the_record_tells_by_whom() {
    let rig = Rig::new(&Settings::default());
    rig.worker(3);
    let (client, record) = rig.get("/hello").await;
    assert_eq!(
        (client.status(), client.text().as_str(), client.ended),
        (200, "hello", true)
    );
    assert_eq!(client.answer.expect("head").length, AnswerLength::Known(5));
    assert_eq!(
        (record.worker, record.pid, record.app.as_deref()),
        (Some(3), Some(4711), Some("web"))
    );
    assert!(record.queue_us.is_some() && record.app_us.is_some());
}

#[tokio::test]
async fn the_worker_sees_the_clean_head() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let (client, _) = rig.get("/head").await;
    let text = client.text();
    assert!(
        text.starts_with("11 /head \"\" \"example.org\" host=example.org;x-custom=1;"),
        "{text}"
    );
    assert!(
        !text.contains("secret") && !text.contains("6.6.6.6") && !text.contains("connection="),
        "{text}"
    );
    assert!(
        text.contains("x-request-id=id;") && text.contains("x-forwarded-proto=http;"),
        "{text}"
    );
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    for len in [0, 1, 65_535, 65_536, 65_537, 200_000, 262_144, 262_145, 3_000_000] {
        let pieces = vec![7u8; len]
            .chunks(40_000)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>();
        let mut client = Client::new("POST", "/echo").with_body(pieces);
        rig.send(&mut client).await.0.expect("answered");
        assert_eq!(client.text(), format!("{len} {}", 7 * len));
    }
}

#[tokio::test]
async fn many_requests_at_once_each_get_their_own_answer() {
    let rig = Rig::new(&Settings {
        queue_length_max: 1000,
        ..Settings::default()
    });
    rig.worker(1);
    rig.worker(2);
    let requests = (0..500usize).map(|n| {
        let rig = &rig;
        async move {
            let mut client = Client::new("POST", "/echo").with_body([vec![1; n * 300]]);
            rig.send(&mut client).await.0.expect("answered");
            assert_eq!(client.text(), format!("{} {}", n * 300, n * 300));
        }
    });
    all_at_once(requests).await;
    assert_eq!(rig.ran().len(), 500);
}

#[tokio::test]
async fn a_fast_worker_is_done_long_before_its_slow_client() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let len = 5_000_000;
    let mut client = Client::new("GET", &format!("/stream/{len}")).hungry_for(1);
    let appetite = Arc::clone(&client.appetite);
    let slow = async {
        rig.send(&mut client).await.0.expect("answered");
        client
    };
    let other = async {
        // The only worker is free again although the client has taken next to nothing.
        let (client, _) = rig.get("/hello").await;
        assert_eq!(client.status(), 200);
        appetite.add_permits(1_000_000);
    };
    let (client, ()) = tokio::join!(slow, other);
    assert_eq!((client.out.len(), client.ended), (len, true));
    assert!(client.out.iter().all(|&byte| byte == b'x'));
}

#[tokio::test]
async fn a_worker_waits_when_more_waits_for_a_client_than_may() {
    let rig = Rig::new(&Settings {
        response_bytes_max: 1 << 20,
        ..Settings::default()
    });
    rig.worker(1);
    let mut client = Client::new("GET", "/stream/20000000").hungry_for(0);
    let appetite = Arc::clone(&client.appetite);
    let slow = rig.send(&mut client);
    let watch = async {
        until(|| rig.seen.stopped.load(Ordering::SeqCst) > 2).await;
        let stopped = rig.seen.stopped.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(
            rig.seen.stopped.load(Ordering::SeqCst) <= stopped + 10,
            "it goes on without end"
        );
        appetite.add_permits(1_000_000);
    };
    let ((outcome, _), ()) = tokio::join!(slow, watch);
    assert_eq!(outcome, Ok(()));
    assert_eq!((client.out.len(), client.ended), (20_000_000, true));
}

#[tokio::test]
async fn what_a_worker_has_said_reaches_the_client_while_it_goes_on() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut client = Client::new("GET", "/drip");
    client.appetite = Arc::new(tokio::sync::Semaphore::new(1));
    let (appetite, leaves) = (Arc::clone(&client.appetite), Arc::clone(&client.leaves));
    let request = rig.send(&mut client);
    let reader = async {
        // The piece was taken although the answer has no end yet.
        until(|| appetite.available_permits() == 0).await;
        leaves.notify_one();
    };
    let ((outcome, _), ()) = tokio::join!(request, reader);
    assert_eq!(outcome, Err(ClientError::Gone));
    assert_eq!((client.text().as_str(), client.ended), ("first", false));
    until(|| rig.seen.cancelled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_file_is_sent_in_its_place() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let (client, _) = rig.get("/file").await;
    assert_eq!((client.text().as_str(), client.ended), ("<<456789ab>>", true));
}

#[tokio::test]
async fn failures_have_their_status_and_their_outcome() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    for (path, status, outcome) in [
        ("/exception", 500, Outcome::AppFailed),
        ("/bad", 502, Outcome::AppFailed),
    ] {
        let (client, record) = rig.get(path).await;
        assert_eq!(
            (client.status(), client.ended, record.outcome),
            (status, true, Some(outcome)),
            "{path}"
        );
    }
    let (client, record) = rig.get("/short").await;
    assert_eq!(
        (client.text().as_str(), client.ended),
        ("short", false),
        "cut, so that the client can tell"
    );
    assert_eq!(record.outcome, Some(Outcome::AppFailed));
    let (client, _) = rig.get("/long").await;
    assert_eq!((client.text().as_str(), client.ended), ("long", true));
}

#[tokio::test]
async fn a_death_is_a_502_unless_the_request_may_run_again() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut post = Client::new("POST", "/die");
    let (_, record) = rig.send(&mut post).await;
    assert_eq!((post.status(), record.outcome), (502, Some(Outcome::WorkerDied)));
    assert_eq!(rig.ran().len(), 1);
    rig.worker(2);
    rig.worker(3);
    let (client, _) = rig.get("/die").await;
    assert_eq!(client.status(), 502);
    assert_eq!(rig.ran().len(), 3, "tried once more, not for ever");
    rig.worker(4);
    let (client, record) = rig.get("/die-late").await;
    assert_eq!(
        (client.status(), client.ended, record.outcome),
        (200, false, Some(Outcome::WorkerDied))
    );
}

#[tokio::test]
async fn what_was_never_started_goes_to_the_next_worker_whatever_its_method() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut client = Client::new("POST", "/give-back").with_body([vec![1; 100_000]]);
    let request = rig.send(&mut client);
    let boot = async {
        until(|| rig.ran().len() == 1).await;
        rig.worker(2);
    };
    let ((outcome, record), ()) = tokio::join!(request, boot);
    assert_eq!((outcome, record.worker), (Ok(()), Some(2)));
    assert_eq!(client.status(), 200);
}

#[tokio::test]
async fn a_request_that_kills_every_worker_before_it_starts_is_given_up() {
    let rig = Rig::new(&Settings::default());
    for link in 0..20 {
        rig.worker(link);
    }
    let (client, record) = rig.get("/die-first").await;
    assert_eq!(
        (client.status(), record.outcome),
        (502, Some(Outcome::WorkerDied))
    );
}

#[tokio::test]
async fn an_overrun_is_a_504_and_a_report() {
    let mut rig = Rig::new(&Settings {
        request_timeout: Duration::from_millis(80),
        ..Settings::default()
    });
    rig.worker(1);
    let (client, record) = rig.get("/hang").await;
    assert_eq!((client.status(), record.outcome), (504, Some(Outcome::Timeout)));
    let FromProxy::Overrun {
        link,
        thread,
        request_id,
        method,
        target,
        elapsed_ms,
        ..
    } = rig.report().await
    else {
        panic!("no overrun");
    };
    assert_eq!((link, thread, request_id.as_str()), (1, 99, "id"));
    assert_eq!((method.as_str(), target.as_str()), ("GET", "/hang"));
    assert!(elapsed_ms >= 80);
    rig.app.unlink(1);
    assert_eq!(rig.report().await, FromProxy::LinkIdle { link: 1 });
}

#[tokio::test]
async fn overload_is_a_503_with_retry_after() {
    let rig = Rig::new(&Settings {
        queue_length_max: 1,
        queue_timeout: Duration::from_millis(50),
        ..Settings::default()
    });
    let (late, full) = tokio::join!(rig.get("/hello"), rig.get("/hello"));
    for (client, record) in [late, full] {
        assert_eq!((client.status(), record.outcome), (503, Some(Outcome::Overload)));
        let answer = client.answer.expect("head");
        assert!(answer.fields.get("retry-after").is_some());
    }
    rig.app.set_down(true);
    assert_eq!(rig.get("/hello").await.0.status(), 503);
    rig.app.set_down(false);
    rig.worker(1);
    assert_eq!(rig.get("/hello").await.0.status(), 200);
}

#[tokio::test]
async fn a_request_that_no_link_takes_asks_for_a_worker_once_until_there_is_one() {
    let mut rig = Rig::new(&Settings::default());
    let wanted = FromProxy::Wanted {
        app: "web".to_owned(),
    };
    for link in 1..=2 {
        let requests = async { tokio::join!(rig.get("/hello"), rig.get("/hello")) };
        let worker = async {
            tokio::task::yield_now().await;
            rig.worker(link);
        };
        let ((first, second), ()) = tokio::join!(requests, worker);
        assert_eq!((first.0.status(), second.0.status()), (200, 200));
        assert_eq!(rig.reports.try_recv().unwrap(), wanted);
        assert!(rig.reports.try_recv().is_err(), "it was said once");
        // A link that is left takes nothing any more, as one that is gone.
        rig.app.unlink(link);
        assert_eq!(rig.report().await, FromProxy::LinkIdle { link });
    }
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_never_run() {
    let rig = Rig::new(&Settings::default());
    let mut client = Client::new("GET", "/hello");
    client.leaves.notify_one();
    assert_eq!(rig.send(&mut client).await.0, Err(ClientError::Gone));
    rig.worker(1);
    rig.get("/other").await;
    assert_eq!(rig.ran(), ["/other"]);
}

#[tokio::test]
async fn an_unlinked_worker_ends_what_it_runs_and_is_told_idle() {
    let mut rig = Rig::new(&Settings::default());
    rig.worker(1);
    rig.get("/hello").await;
    rig.app.unlink(1);
    assert_eq!(rig.report().await, FromProxy::LinkIdle { link: 1 });
    rig.worker(2);
    assert_eq!(rig.get("/hello").await.1.worker, Some(2));
    rig.app.unlink(77);
    assert_eq!(rig.report().await, FromProxy::LinkIdle { link: 77 });
}

#[tokio::test]
async fn an_unclaimed_request_is_taken_to_a_free_worker() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut client = Client::new("POST", "/unclaimed");
    let leaves = Arc::clone(&client.leaves);
    let stuck = rig.send(&mut client);
    let other = async {
        // The first worker reads and never claims; the request after it finds it busy and goes to the second.
        rig.worker(2);
        let (client, record) = rig.get("/hello").await;
        leaves.notify_one();
        (client.status(), record.worker)
    };
    let ((outcome, _), answered) = tokio::join!(stuck, other);
    assert_eq!(outcome, Err(ClientError::Gone));
    assert_eq!(answered.0, 200);
}
