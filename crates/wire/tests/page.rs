//! Claim and recall: exactly one side wins, and an entry that is used again is never mistaken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
};

use wire::page::{ENTRY_WORDS, Page};

fn words(entries: usize) -> Vec<AtomicU64> {
    (0..entries * ENTRY_WORDS).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn a_claimed_request_can_not_be_recalled() {
    let words = words(2);
    let page = Page::new(&words);
    page.send(1, 42);
    assert!(!page.claimed(1, 42) && page.untouched(1, 42));
    assert!(page.claim(1, 42, 1000, 7));
    assert!(page.claimed(1, 42) && !page.untouched(1, 42));
    assert!(!page.recall(1, 42));
    assert_eq!(
        (page.started_ns(1, 42), page.thread(1, 42)),
        (Some(1000), Some(7))
    );
    page.free(1);
    assert_eq!(page.started_ns(1, 42), None);
}

#[test]
fn a_recalled_request_can_not_be_claimed_even_when_its_entry_is_used_again() {
    let words = words(1);
    let page = Page::new(&words);
    page.send(0, 1);
    assert!(page.recall(0, 1));
    assert!(!page.claim(0, 1, 5, 1));
    page.send(0, 2);
    assert!(!page.claim(0, 1, 5, 1), "the old stream is not the new one");
    assert!(page.claim(0, 2, 5, 1));
    assert!(!page.claim(0, 2, 6, 2), "nobody claims twice");
}

#[test]
fn an_entry_beyond_the_page_is_nobody_s() {
    let words = words(1);
    let page = Page::new(&words);
    page.send(1, 1);
    assert!(!page.claim(1, 1, 5, 1));
    assert!(!page.recall(1, 1));
    assert_eq!(Page::new(&words[..3]).entries(), 0);
}

#[test]
fn of_a_claim_and_a_recall_at_the_same_time_exactly_one_wins() {
    let words: Arc<[AtomicU64]> = words(1).into();
    let turn = Arc::new(AtomicU32::new(0));
    let worker = {
        let (words, turn) = (Arc::clone(&words), Arc::clone(&turn));
        thread::spawn(move || {
            let mut won = Vec::new();
            for stream in 1..=1_000 {
                while turn.load(Ordering::Acquire) < stream {
                    thread::yield_now();
                }
                won.push(Page::new(&words).claim(0, stream, 1, 1));
                turn.fetch_add(1_000_000, Ordering::AcqRel);
                while turn.load(Ordering::Acquire) >= 1_000_000 {
                    thread::yield_now();
                }
            }
            won
        })
    };
    let mut recalled = Vec::new();
    for stream in 1..=1_000 {
        let page = Page::new(&words);
        page.send(0, stream);
        turn.store(stream, Ordering::Release);
        recalled.push(page.recall(0, stream));
        while turn.load(Ordering::Acquire) < 1_000_000 {
            thread::yield_now();
        }
        turn.store(stream, Ordering::Release);
    }
    for (claimed, recalled) in worker.join().unwrap().into_iter().zip(recalled) {
        assert!(claimed != recalled);
    }
}
