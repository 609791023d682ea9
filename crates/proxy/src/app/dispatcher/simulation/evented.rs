//! Workers with an event loop: many requests at once, answers that go on.

use crate::app::dispatcher::{Failure, Rules};

use super::{
    rules,
    world::{MS, World},
};

fn evented(window: usize) -> Rules {
    Rules {
        evented: true,
        ..rules(window)
    }
}

#[test]
fn each_request_has_one_end_whatever_loops_and_clients_do() {
    for seed in 100..124 {
        let window = 4 + seed as usize % 60;
        let mut world = World::new(seed, evented(window), 1 + seed as usize % 4);
        for _ in 0..6000 {
            world.step();
            let mut random = world.random.fork();
            for _ in 0..random.u32(0..3) {
                let service_ns = match random.u32(0..1000) {
                    0..3 => 400 * MS,
                    3..40 => random.u64(0..150 * MS),
                    _ => random.u64(5_000..3 * MS),
                };
                let arrived = match random.u32(0..100) {
                    0..2 => world.arrive_streaming(service_ns, random.u64(0..800 * MS)),
                    _ => world.arrive(service_ns, random.bool()),
                };
                if let Ok(number) = arrived {
                    world.fates[number].deaf = random.u32(0..20) == 0;
                }
            }
            let number = random.usize(0..world.fates.len().max(1));
            match random.u32(0..2000) {
                0..40 if number < world.fates.len() => {
                    world.leave(world.fates.len() - 1 - number % 8.min(world.fates.len()))
                }
                40..44 => world.kill(random.usize(0..world.workers.len())),
                44..50 if world.workers.iter().flatten().count() < 6 => world.boot(),
                50..53 => {
                    let index = random.usize(0..world.workers.len());
                    if let Some(worker) = &mut world.workers[index]
                        && !worker.gone
                    {
                        worker.gone = true;
                        world.dispatcher.unlink(index, world.now_ns);
                        world.act();
                    }
                }
                53..58 => {
                    let index = random.usize(0..world.workers.len());
                    if let Some(worker) = &mut world.workers[index] {
                        worker.stopped_until_ns = world.now_ns + random.u64(0..80 * MS);
                    }
                }
                _ => {}
            }
        }
        world.boot();
        world.run(2000 * MS);
        world.check_all_over(seed);
    }
}

#[test]
fn a_worker_gets_as_many_as_it_runs_and_never_more() {
    let mut world = World::new(20, evented(8), 2);
    for _ in 0..20_000 {
        world.step();
        for _ in 0..2 {
            let _ = world.arrive(10_000, true);
        }
        for worker in world.workers.iter().flatten() {
            assert!(worker.inbox.len() + worker.running.len() <= 8);
        }
    }
    world.run(1000 * MS);
    world.check_all_over(20);
}

#[test]
fn an_answer_that_has_begun_lasts_as_long_as_its_client() {
    let mut world = World::new(21, evented(8), 1);
    let stream = world.arrive_streaming(100 * MS, 10_000 * MS).expect("room");
    world.run(3000 * MS);
    assert!(world.fates[stream].answered_ns.is_some() && !world.fates[stream].over());
    assert!(world.overdue.is_empty() && world.workers[0].is_some());
    assert_eq!(
        world.dispatcher.tick(world.now_ns),
        None,
        "a quiet stream is nothing to wake up for"
    );
    world.leave(stream);
    world.run(MS);
    world.check_all_over(21);
}

#[test]
fn an_overdue_request_fails_and_its_worker_and_neighbours_go_on() {
    let mut world = World::new(22, evented(8), 1);
    let stream = world.arrive_streaming(MS, 1000 * MS).expect("room");
    let overdue = world.arrive(10_000 * MS, true).expect("room");
    world.run(250 * MS);
    assert_eq!(world.fates[overdue].failed, Some(Failure::Timeout));
    assert_eq!(world.overdue, [overdue]);
    assert!(world.workers[0].is_some(), "the worker stays");
    let next = world.arrive(MS, true).expect("room");
    world.run(1000 * MS);
    assert!(world.fates[next].ended_ns.is_some() && world.fates[stream].ended_ns.is_some());
    world.check_all_over(22);
}

#[test]
fn a_loop_that_does_not_turn_costs_its_worker() {
    let mut world = World::new(23, evented(8), 1);
    let first = world.arrive(10_000 * MS, true).expect("room");
    world.run(MS);
    world.workers[0].as_mut().expect("one").stopped_until_ns = u64::MAX;
    world.run(5100 * MS);
    assert_eq!(world.fates[first].failed, Some(Failure::Timeout));
    assert!(world.workers[0].is_some(), "it still has time to say a word");
    world.run(200 * MS);
    assert!(world.workers[0].is_none(), "reported and replaced");
}

#[test]
fn a_stream_whose_application_does_not_hear_is_ended_some_time_after_its_client() {
    let mut world = World::new(24, evented(8), 1);
    let stream = world.arrive_streaming(MS, 100_000 * MS).expect("room");
    world.fates[stream].deaf = true;
    world.run(1000 * MS);
    world.leave(stream);
    world.run(190 * MS);
    assert_eq!(world.dispatcher.held().1, 1, "it has its time to clean up");
    world.run(30 * MS);
    assert!(world.overdue.is_empty(), "nobody waited for it");
    world.check_all_over(24);
}

#[test]
fn a_blocked_loop_loses_what_it_has_not_taken_to_an_idle_one() {
    let mut world = World::new(25, evented(8), 2);
    for worker in world.workers.iter_mut().flatten().take(1) {
        worker.stopped_until_ns = u64::MAX;
    }
    for _ in 0..20 {
        world.arrive(MS, false).expect("room");
        world.run(30 * MS);
    }
    assert!(world.latency_ns(100, |_| true) < 20 * MS);
    world.check_all_over(25);
}

#[test]
fn thousands_of_streams_on_one_link_have_their_entries() {
    let mut rules = evented(10_000);
    rules.queue_length_max = 20_000;
    let mut world = World::with_entries(26, rules, 1, 10_064);
    for _ in 0..10_000 {
        world.arrive_streaming(MS, 100_000 * MS).expect("room");
    }
    world.run(5 * MS);
    assert!(world.fates.iter().all(|fate| fate.answered_ns.is_some()));
    let late = world.arrive(MS, true).expect("queued");
    world.run(5 * MS);
    assert_eq!(world.fates[late].runs, 0, "the window is full");
    world.leave(17);
    world.run(5 * MS);
    assert!(world.fates[late].ended_ns.is_some());
}

#[test]
fn a_body_that_was_passed_on_is_not_sent_to_a_second_worker_once_the_first_has_started() {
    let mut world = World::new(27, evented(8), 1);
    let upload = world.arrive(100 * MS, true).expect("room");
    let id = world.fates[upload].id.expect("submitted");
    world.run(MS);
    assert!(world.dispatcher.runs(id));
    world.dispatcher.fed(id, world.now_ns);
    world.kill(0);
    assert_eq!(world.fates[upload].failed, Some(Failure::WorkerDied));
    // Given a piece, but never started: another one may have it.
    world.boot();
    world.workers[0].as_mut().expect("one").stopped_until_ns = u64::MAX;
    let upload = world.arrive(MS, false).expect("room");
    let id = world.fates[upload].id.expect("submitted");
    assert!(!world.dispatcher.runs(id));
    world.dispatcher.fed(id, world.now_ns);
    world.kill(0);
    world.boot();
    world.run(10 * MS);
    assert!(world.fates[upload].ended_ns.is_some());
}

#[test]
fn the_deadline_of_an_upload_begins_with_its_last_piece() {
    let mut world = World::new(28, evented(8), 1);
    let upload = world.arrive(10_000 * MS, true).expect("room");
    let id = world.fates[upload].id.expect("submitted");
    for _ in 0..10 {
        world.run(100 * MS);
        world.dispatcher.fed(id, world.now_ns);
    }
    assert!(!world.fates[upload].over());
    world.run(210 * MS);
    assert_eq!(world.fates[upload].failed, Some(Failure::Timeout));
}

#[test]
fn a_worker_full_of_what_it_should_have_ended_is_replaced() {
    let mut world = World::with_entries(29, evented(8), 1, 12);
    for _ in 0..12 {
        let number = world.arrive(100_000 * MS, true).expect("room");
        world.fates[number].immune = true;
    }
    world.run(250 * MS);
    assert_eq!(world.overdue.len(), 8);
    assert!(
        world.workers[0].is_none(),
        "the last four took all the entries there are"
    );
}
