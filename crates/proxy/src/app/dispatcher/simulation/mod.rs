//! The dispatcher against simulated workers: seeded, in steps of simulated time.

mod evented;
mod hostile;
mod world;

use super::{Failure, Refusal, Rules};

use self::world::{MS, STEP_NS, World};

fn rules(window: usize) -> Rules {
    Rules {
        queue_length_max: 100,
        queue_timeout_ns: 500 * MS,
        request_timeout_ns: 200 * MS,
        window,
        evented: false,
    }
}

#[test]
fn whatever_happens_each_request_has_one_end_and_runs_as_often_as_it_may() {
    for seed in 0..24 {
        let window = 1 + seed as usize % 4;
        let mut world = World::new(seed, rules(window), 1 + seed as usize % 5);
        let quick = seed % 2 == 0;
        for _ in 0..6000 {
            world.step();
            let mut random = world.random.fork();
            for _ in 0..random.u32(0..3) {
                let service_ns = match random.u32(0..1000) {
                    0 => 400 * MS,
                    1..20 => random.u64(0..50 * MS),
                    _ if quick => random.u64(5_000..100_000),
                    _ => random.u64(5_000..3 * MS),
                };
                let _ = world.arrive(service_ns, random.bool());
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
                58 => {
                    world.dispatcher.set_down(true);
                    world.act();
                }
                59..70 => world.dispatcher.set_down(false),
                _ => {}
            }
        }
        world.dispatcher.set_down(false);
        world.boot();
        world.run(2000 * MS);
        world.check_all_over(seed);
        // What is in flight can come back to a full queue, nothing else.
        let bound = world.rules.queue_length_max + 6 * (window + 64);
        assert!(
            world.waiting_max <= bound,
            "seed {seed}: {} waited",
            world.waiting_max
        );
    }
}

#[test]
fn overload_is_refused_at_once_and_the_queue_keeps_its_length() {
    let mut world = World::new(1, rules(1), 2);
    let mut refused = 0;
    for _ in 0..2000 {
        world.step();
        for _ in 0..3 {
            refused += u32::from(world.arrive(10 * MS, true) == Err(Refusal::Full));
        }
    }
    assert!(refused > 1000);
    assert_eq!(world.waiting_max, world.rules.queue_length_max);
    world.run(2000 * MS);
    world.check_all_over(1);
}

#[test]
fn requests_start_in_the_order_they_came_when_nothing_is_prefetched() {
    let mut world = World::new(2, rules(2), 3);
    for _ in 0..3000 {
        world.step();
        if world.random.u32(0..40) == 0 {
            let service_ns = world.random.u64(3 * MS..9 * MS);
            let _ = world.arrive(service_ns, false);
        }
    }
    world.run(1000 * MS);
    world.check_all_over(2);
    let ordered = world
        .started
        .is_sorted_by_key(|&number| world.fates[number].arrived_ns);
    assert!(ordered && world.started.len() > 50, "{:?}", world.started);
}

#[test]
fn tiny_requests_are_prefetched_and_a_slow_neighbour_does_not_hold_them() {
    let mut world = World::new(3, rules(1), 2);
    let mut deepest = 0;
    for turn in 0..50_000 {
        world.step();
        // Both workers are busy to the last step, with bursts.
        if turn % 8 == 0 {
            for _ in 0..16 {
                let _ = world.arrive(10_000, true);
            }
        }
        if turn % 20_000 == 19_999 {
            let _ = world.arrive(100 * MS, true);
        }
        for worker in world.workers.iter().flatten() {
            deepest = deepest.max(worker.inbox.len());
        }
    }
    world.run(1000 * MS);
    world.check_all_over(3);
    assert!(deepest >= 8, "no prefetch: {deepest}");
    let p99_ns = world.latency_ns(99, |fate| fate.service_ns == 10_000);
    assert!(p99_ns < 40 * MS, "p99 {} us", p99_ns / 1000);
    // Nobody sat out the 100 ms behind the slow one: it was taken back.
    let slowest_ns = world.latency_ns(100, |fate| fate.service_ns == 10_000 && fate.failed.is_none());
    assert!(slowest_ns < 90 * MS, "slowest {} us", slowest_ns / 1000);
}

#[test]
fn a_worker_is_not_called_silent_because_a_client_left_early() {
    let mut world = World::new(11, rules(4), 1);
    let asked = |world: &World| {
        world
            .workers
            .iter()
            .flatten()
            .map(|worker| worker.inbox.len())
            .sum::<usize>()
    };
    for _ in 0..4 {
        let _ = world.arrive(MS, true);
    }
    world.leave(0);
    let _ = world.arrive(MS, true);
    // Those it has not begun, the one that was taken back among them.
    assert_eq!(asked(&world), 5);
    world.run(100 * MS);
    world.check_all_over(11);
}

#[test]
fn a_silent_worker_loses_its_unstarted_request_to_a_free_one() {
    let mut world = World::new(4, rules(1), 2);
    for worker in world.workers.iter_mut().flatten().take(1) {
        worker.stopped_until_ns = u64::MAX;
    }
    for _ in 0..20 {
        world.arrive(MS, false).expect("room");
        world.run(10 * MS);
    }
    assert!(world.latency_ns(100, |_| true) < 5 * MS);
    world.check_all_over(4);
}

/// One worker stands still for good, and the other one has more than enough to do.
fn beside_one_that_stands_still(seed: u64, service_ns: u64) -> World {
    let rules = Rules {
        queue_timeout_ns: 60_000 * MS,
        request_timeout_ns: 60_000 * MS,
        ..rules(2)
    };
    let mut world = World::new(seed, rules, 2);
    world.workers[0].as_mut().expect("one").stopped_until_ns = u64::MAX;
    for _ in 0..50 {
        world.arrive(service_ns, false).expect("room");
        world.step();
    }
    world
}

#[test]
fn a_request_that_was_taken_back_often_does_not_stay_with_the_silent_worker() {
    for seed in 0..20 {
        let service_ns = MS / 2 + seed * MS / 3;
        let mut world = beside_one_that_stands_still(seed, service_ns);
        world.run(30 * service_ns + 500 * MS);
        world.check_all_over(seed);
    }
}

#[test]
fn the_oldest_request_is_not_given_to_the_silent_worker_again_and_again_while_others_pass_it() {
    for seed in 0..10 {
        let service_ns = 2 * MS + seed * MS;
        let mut world = beside_one_that_stands_still(seed, service_ns);
        // The load does not end.
        for turn in 0..50_000_u64 {
            if turn % (service_ns / 2 / STEP_NS) == 0 {
                let _ = world.arrive(service_ns, false);
            }
            world.step();
        }
        let late = 1000 * MS;
        let oldest = world
            .fates
            .iter()
            .position(|fate| !fate.over())
            .expect("some wait");
        let waited_ns = world.now_ns - world.fates[oldest].arrived_ns;
        assert!(
            waited_ns < late,
            "seed {seed}: {oldest} waits for {} ms",
            waited_ns / MS
        );
    }
}

#[test]
fn a_request_bounces_seldom_between_workers_that_are_slow_to_begin() {
    let mut world = World::new(12, rules(2), 2);
    for worker in world.workers.iter_mut().flatten() {
        worker.stopped_until_ns = 150 * MS;
    }
    world.arrive(MS, false).expect("room");
    world.run(200 * MS);
    world.check_all_over(12);
}

#[test]
fn a_worker_that_takes_nothing_is_reported_as_stuck() {
    let mut world = World::new(5, rules(1), 1);
    world.workers[0].as_mut().expect("one").stopped_until_ns = u64::MAX;
    for _ in 0..200 {
        let number = world.arrive(MS, false).expect("room");
        world.run(5 * MS);
        world.leave(number);
        if world.workers[0].is_none() {
            return;
        }
    }
    panic!("not noticed");
}

#[test]
fn a_request_past_its_deadline_fails_and_its_worker_is_reported() {
    let mut world = World::new(6, rules(1), 1);
    let stuck = world.arrive(10_000 * MS, true).expect("room");
    let behind = world.arrive(MS, true).expect("room");
    world.run(250 * MS);
    assert_eq!(world.fates[stuck].failed, Some(Failure::Timeout));
    assert!(world.workers[0].is_none(), "reported and replaced");
    assert!(!world.fates[behind].over(), "it waits for the next worker");
    world.boot();
    world.run(10 * MS);
    assert!(world.fates[behind].answered_ns.is_some());
}

#[test]
fn a_request_that_waits_too_long_fails() {
    let mut world = World::new(7, rules(1), 0);
    let number = world.arrive(MS, true).expect("room");
    world.run(490 * MS);
    assert!(!world.fates[number].over());
    world.run(20 * MS);
    assert_eq!(world.fates[number].failed, Some(Failure::QueueTimeout));
}

#[test]
fn a_dead_worker_s_requests_go_elsewhere_only_if_they_may() {
    let mut world = World::new(8, rules(1), 1);
    let post = world.arrive(100 * MS, false).expect("room");
    world.run(MS);
    world.kill(0);
    assert_eq!(world.fates[post].failed, Some(Failure::WorkerDied));
    world.boot();
    let get = world.arrive(100 * MS, true).expect("room");
    world.run(MS);
    world.kill(0);
    assert_eq!(world.fates[get].failed, None);
    world.boot();
    world.run(MS);
    assert_eq!(world.fates[get].runs, 2);
    world.kill(0);
    assert_eq!(
        world.fates[get].failed,
        Some(Failure::WorkerDied),
        "once is enough"
    );
}

#[test]
fn a_request_that_is_to_run_alone_does_not_wait_for_that_for_ever() {
    let patient = Rules {
        queue_timeout_ns: 10_000 * MS,
        request_timeout_ns: 10_000 * MS,
        ..rules(2)
    };
    let mut world = World::new(12, patient, 2);
    let long = world.arrive(5_000 * MS, true).expect("room");
    let other = world.arrive(5_000 * MS, true).expect("room");
    world.run(MS);
    world.kill(0);
    // One of them runs on; the other one shares its worker after a moment.
    world.run(200 * MS);
    assert_eq!(world.fates[long].runs + world.fates[other].runs, 2);
    world.run(150 * MS);
    assert_eq!(world.fates[long].runs + world.fates[other].runs, 3);
    // Alone on a worker it keeps that for a moment.
    world.kill(1);
    world.boot();
    world.run(20 * MS);
    let next = world.arrive(MS, true).expect("room");
    world.run(500 * MS);
    assert_eq!(world.fates[next].runs, 0);
    world.run(700 * MS);
    assert!(world.fates[next].answered_ns.is_some());
}

#[test]
fn a_link_that_is_left_ends_what_runs_and_says_when_it_is_idle() {
    let mut world = World::new(9, rules(1), 1);
    let running = world.arrive(20 * MS, false).expect("room");
    world.run(MS);
    world.dispatcher.unlink(0, world.now_ns);
    world.act();
    let next = world.arrive(MS, false).expect("room");
    world.run(10 * MS);
    assert!(world.workers[0].is_some() && world.fates[next].runs == 0);
    world.run(20 * MS);
    assert!(world.fates[running].answered_ns.is_some());
    assert!(world.workers[0].is_none(), "idle was said");
}

#[test]
fn a_queue_nobody_serves_does_not_grow_by_those_who_come_and_go() {
    let mut world = World::new(10, rules(1), 0);
    for _ in 0..10_000 {
        let number = world.arrive(MS, false).expect("room");
        world.leave(number);
    }
    assert!(world.dispatcher.queue.len() < 200);
}
