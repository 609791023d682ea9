//! Bodies in slabs: who gets which memory, and what is in it.

use std::os::unix::fs::FileExt;

use super::{
    client::Client,
    rig::{Rig, Settings, until},
};

/// Sends a body of so many times this byte; the inode of the slab that it was in, and `None` when it was in none.
async fn upload(rig: &Rig, path: &str, byte: u8, len: usize) -> Option<u64> {
    let before = rig.seen.lent.lock().expect("lock").len();
    let pieces: Vec<_> = vec![byte; len].chunks(300_000).map(<[u8]>::to_vec).collect();
    for mut client in [
        Client::new("POST", path).with_sized_body(pieces.clone()),
        Client::new("POST", path).with_body(pieces),
    ] {
        rig.send(&mut client).await.0.expect("answered");
        assert_eq!(client.text(), format!("{len} {}", u64::from(byte) * len as u64));
    }
    let lent = rig.seen.lent.lock().expect("lock");
    match &lent[before..] {
        [] => None,
        [(sized, _), (unsized_, _)] => {
            if !path.ends_with("kept") && !path.ends_with("forked") {
                assert_eq!(sized, unsized_);
            }
            Some(*unsized_)
        }
        more => panic!("{more:?}"),
    }
}

#[tokio::test]
async fn a_slab_is_used_again_when_its_worker_has_given_it_back() {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let first = upload(&rig, "/echo", 7, 1_000_000).await;
    assert!(first.is_some());
    // What the last body has left behind is not seen.
    for len in [70_000, 300_000, 4 << 20] {
        assert_eq!(upload(&rig, "/echo", 1, len).await, first);
    }
    assert_eq!(upload(&rig, "/echo", 1, 65_536).await, None);
    assert_eq!(upload(&rig, "/echo", 1, (4 << 20) + 1).await, None);
}

#[tokio::test]
async fn what_a_worker_may_still_read_is_never_written_again() {
    let mut rig = Rig::new(&Settings::default());
    rig.worker(1);
    let kept = upload(&rig, "/echo-kept", 7, 1_000_000).await;
    let forked = upload(&rig, "/echo-forked", 8, 1_000_000).await;
    let mut client = Client::new("POST", "/die").with_sized_body([vec![9; 100_000]]);
    rig.send(&mut client).await.0.expect("answered");
    assert_eq!(client.status(), 502);
    rig.report().await;
    rig.worker(2);
    let next = upload(&rig, "/echo", 1, 1_000_000).await;
    let lent = rig.seen.lent.lock().expect("lock");
    let mut seen: Vec<u64> = lent.iter().map(|(inode, _)| *inode).collect();
    assert_eq!((seen.len(), Some(seen[1]), Some(seen[3])), (7, kept, forked));
    // Each was in a slab of its own, but for the last two.
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 6);
    assert_eq!(Some(lent[6].0), next);
    for (_, file) in &lent[..2] {
        let mut bytes = vec![0; 1_000_000];
        let file = file.as_ref().expect("kept");
        file.read_exact_at(&mut bytes, 0).expect("whole");
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
}

#[tokio::test]
async fn bodies_beyond_the_memory_that_they_share_go_to_a_file() {
    let rig = Rig::new(&Settings {
        memory_bytes: 64 << 10,
        shared_bytes: 2 << 20,
        ..Settings::default()
    });
    rig.worker(1);
    let slab = upload(&rig, "/echo", 1, 1 << 20).await;
    assert!(slab.is_some());
    assert_eq!(upload(&rig, "/echo", 1, 3 << 20).await, None);
    // A body that waits for its client holds what it has got, and a second one finds no more.
    let mut slow = Client::new("POST", "/echo").with_sized_body([vec![1; 1_500_000], vec![2]]);
    slow.sends = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let (read, sends) = (slow.bytes_read.clone(), slow.sends.clone());
    let quick = async {
        until(|| read.load(std::sync::atomic::Ordering::SeqCst) >= 1_500_000).await;
        assert_eq!(upload(&rig, "/echo", 1, 1_000_000).await, None);
        sends.add_permits(tokio::sync::Semaphore::MAX_PERMITS >> 1);
    };
    let ((outcome, _), ()) = tokio::join!(rig.send(&mut slow), quick);
    outcome.expect("answered");
    assert_eq!(slow.text(), "1500001 1500002");
}
