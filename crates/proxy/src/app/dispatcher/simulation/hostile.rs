//! Workers in which somebody else's code runs: what they write on their page and say on their link hurts
//! their own requests only.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use wire::page::{ENTRY_WORDS, Page};

use crate::app::dispatcher::{Failure, Rules};

use super::{
    rules,
    world::{MS, STEP_NS, World},
};

/// Requests it remembers, to say something of them.
const REMEMBERED_MAX: usize = 200;

impl World {
    /// One more worker, of that kind.
    fn boot_hostile(&mut self) {
        self.boot();
        // A link that ended leaves its index to the next.
        for worker in self.workers.iter_mut().flatten() {
            worker.hostile |= worker.inbox.is_empty() && worker.running.is_empty();
        }
    }

    /// One step of such a worker: some words on the page, some on the link, true or not.
    pub(super) fn misbehave(&mut self, index: usize) {
        let mut random = self.random.fork();
        let now_ns = self.now_ns;
        for _ in 0..random.u32(0..4) {
            let Some(Some(worker)) = self.workers.get_mut(index) else {
                return;
            };
            while worker.inbox.len() > REMEMBERED_MAX {
                worker.inbox.pop_front();
            }
            let words = worker.page.len();
            let at = random.usize(0..worker.inbox.len().max(1));
            let Some(&(stream, entry, _)) = worker.inbox.get(at) else {
                return;
            };
            let odd = [0, 1, now_ns, now_ns + 3_600_000 * MS, u64::MAX, random.u64(..)];
            let odd = odd[random.usize(0..odd.len())];
            let word = usize::from(entry) * ENTRY_WORDS;
            match random.u32(0..9) {
                0 => worker.page[random.usize(0..words)].store(odd, Ordering::Relaxed),
                1 => worker.page[word].store(odd, Ordering::Relaxed),
                2 => worker.page[word].store(u64::from(stream) << 8 | random.u64(0..5), Ordering::Relaxed),
                3 => {
                    Page::new(&worker.page).claim(entry, stream, odd, random.u32(..));
                }
                // It began just now, whenever that is looked at.
                4 => worker.page[word + 1].store(now_ns, Ordering::Relaxed),
                5 => {
                    self.dispatcher.heard(index, now_ns);
                    let waited_for = self.dispatcher.stream(index, stream).copied();
                    self.dispatcher.answered(index, stream);
                    if let Some(number) = waited_for {
                        self.fates[number].answered_ns = Some(now_ns);
                    }
                }
                6 => {
                    worker.inbox.remove(at);
                    self.dispatcher.heard(index, now_ns);
                    let waited_for = self.dispatcher.stream(index, stream).copied();
                    self.dispatcher.ended(index, stream);
                    if let Some(number) = waited_for {
                        assert!(!self.fates[number].over(), "request {number} has two ends");
                        self.fates[number].ended_ns = Some(now_ns);
                    }
                }
                7 => {
                    self.dispatcher.not_started(index, stream);
                }
                _ => {
                    let never_given = random.u32(..);
                    if self.dispatcher.stream(index, never_given).is_none() {
                        self.dispatcher.answered(index, never_given);
                        self.dispatcher.not_started(index, never_given);
                        self.dispatcher.ended(index, never_given);
                    }
                }
            }
        }
        self.dispatcher.pump(now_ns);
        self.act();
    }
}

fn each_request_has_one_end(seed: u64, rules: Rules) {
    let mut world = World::new(seed, rules, 2);
    world.boot_hostile();
    for _ in 0..6000 {
        world.step();
        let mut random = world.random.fork();
        for _ in 0..random.u32(0..3) {
            let _ = world.arrive(random.u64(5_000..3 * MS), random.bool());
        }
        let number = random.usize(0..world.fates.len().max(1));
        match random.u32(0..2000) {
            0..40 if number < world.fates.len() => {
                world.leave(world.fates.len() - 1 - number % 8.min(world.fates.len()));
            }
            40..44 => world.kill(random.usize(0..world.workers.len())),
            44..50 if world.workers.iter().flatten().count() < 6 => world.boot(),
            50..56 if world.workers.iter().flatten().count() < 6 => world.boot_hostile(),
            _ => {}
        }
    }
    world.boot();
    world.run(3000 * MS);
    world.check_all_over(seed);
}

#[test]
fn each_request_has_one_end_whatever_they_write_and_say() {
    for seed in 200..212 {
        each_request_has_one_end(seed, rules(1 + seed as usize % 4));
    }
}

#[test]
fn each_request_of_an_evented_one_has_one_end_whatever_they_write_and_say() {
    for seed in 220..232 {
        let rules = Rules {
            evented: true,
            ..rules(4 + seed as usize % 60)
        };
        each_request_has_one_end(seed, rules);
    }
}

/// Writes this into the entry of the only request of the only worker, in each step until the request is over.
fn fails_in_time(write: impl Fn(&World, Page<'_>, u16, u32, &[AtomicU64])) {
    for evented in [false, true] {
        let rules = Rules { evented, ..rules(1) };
        let mut world = World::new(230, rules, 1);
        let number = world.arrive(MS, true).expect("room");
        let worker = world.workers[0].as_mut().expect("one");
        worker.stopped_until_ns = u64::MAX;
        let (stream, entry, _) = worker.inbox[0];
        let words = Arc::clone(&worker.page);
        let at = usize::from(entry) * ENTRY_WORDS;
        for _ in 0..(800 * MS / STEP_NS) {
            write(
                &world,
                Page::new(&words),
                entry,
                stream,
                &words[at..at + ENTRY_WORDS],
            );
            world.step();
        }
        let failed = world.fates[number].failed;
        assert!(
            matches!(failed, Some(Failure::Timeout | Failure::QueueTimeout)),
            "evented {evented}: {failed:?}"
        );
    }
}

#[test]
fn no_time_that_it_writes_keeps_a_request_from_its_deadline() {
    fails_in_time(|_, page, entry, stream, _| {
        page.claim(entry, stream, u64::MAX, 7);
    });
    fails_in_time(|_, page, entry, stream, _| {
        page.claim(entry, stream, 0, 7);
    });
    fails_in_time(|world, page, entry, stream, words| {
        page.claim(entry, stream, world.now_ns, 7);
        words[1].store(world.now_ns, Ordering::Relaxed);
    });
}

#[test]
fn no_state_that_it_writes_keeps_a_request_from_its_deadline() {
    for state in [0, 1, 2, 3, 4, u64::MAX] {
        fails_in_time(|_, _, _, _, words| words[0].store(state, Ordering::Relaxed));
        fails_in_time(|_, _, _, stream, words| {
            words[0].store(u64::from(stream) << 8 | state & 0xff, Ordering::Relaxed)
        });
    }
}
