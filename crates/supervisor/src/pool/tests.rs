use super::*;

const BOOT: Duration = Duration::from_secs(30);

fn pool(slots: usize, now: Instant) -> Pool {
    let mut pool = Pool::new(slots, BOOT, now);
    pool.source(Source::Here);
    pool
}

#[test]
fn every_slot_is_forked_once_when_the_zygote_is_here() {
    let now = Instant::now();
    let mut pool = Pool::new(2, BOOT, now);
    assert_eq!(pool.tick(now), []);
    pool.source(Source::Here);
    assert_eq!(
        pool.tick(now),
        [Action::Fork { slot: 0 }, Action::Fork { slot: 1 }]
    );
    assert_eq!(pool.tick(now), []);
}

#[test]
fn a_worker_that_dies_young_is_replaced_after_a_growing_wait() {
    let mut now = Instant::now();
    let mut pool = pool(1, now);
    for wait_ms in [100, 200, 400, 800, 1000, 1000, 1000] {
        assert_eq!(pool.tick(now), [Action::Fork { slot: 0 }]);
        pool.ready(0);
        let wait = Duration::from_millis(wait_ms);
        assert_eq!(pool.died(0, now), Some(wait));
        assert_eq!(pool.tick(now + wait - Duration::from_millis(1)), []);
        now += wait;
    }
    assert!(!pool.down(), "they were ready, the next one is too");
}

#[test]
fn an_app_whose_workers_are_never_ready_is_down_and_tried_again_for_ever() {
    let mut now = Instant::now();
    let mut pool = pool(1, now);
    for death in 1..100 {
        assert_eq!(pool.tick(now), [Action::Fork { slot: 0 }], "{death}");
        let wait = pool.died(0, now).expect("it is replaced");
        assert!(wait <= Duration::from_secs(5));
        assert_eq!(pool.down(), death >= 6);
        assert_eq!(pool.deaths(0), death);
        now += wait;
    }
    pool.tick(now);
    assert!(pool.down(), "until the next one is ready");
    pool.ready(0);
    assert!(!pool.down());
}

#[test]
fn a_worker_that_served_long_is_replaced_at_once() {
    let now = Instant::now();
    let mut pool = pool(1, now);
    pool.tick(now);
    pool.ready(0);
    let later = now + Duration::from_secs(11);
    assert_eq!(pool.died(0, later), Some(Duration::ZERO));
    assert_eq!(pool.tick(later), [Action::Fork { slot: 0 }]);
}

#[test]
fn revive_tries_slots_that_wait_at_once() {
    let now = Instant::now();
    let mut pool = pool(1, now);
    for minute in 0..6 {
        let then = now + Duration::from_secs(60 * minute);
        pool.tick(then);
        pool.died(0, then);
    }
    assert!(pool.down());
    let soon = now + Duration::from_secs(301);
    assert_eq!(pool.tick(soon), []);
    pool.revive(soon);
    assert!(!pool.down());
    assert_eq!(pool.tick(soon), [Action::Fork { slot: 0 }]);
}

#[test]
fn a_worker_past_the_boot_timeout_is_told_once() {
    let now = Instant::now();
    let mut pool = pool(1, now);
    pool.tick(now);
    assert_eq!(pool.deadline(), Some(now + BOOT));
    assert_eq!(pool.tick(now + BOOT), [Action::Overdue { slot: 0 }]);
    assert_eq!(pool.tick(now + BOOT), []);
    assert!(pool.died(0, now + BOOT).is_some());
}

#[test]
fn a_worker_that_leaves_is_replaced_without_being_counted() {
    let now = Instant::now();
    let mut pool = pool(1, now);
    for _ in 0..20 {
        assert_eq!(pool.tick(now), [Action::Fork { slot: 0 }]);
        pool.ready(0);
        pool.leave(0, now);
    }
    assert!(!pool.down());
}

#[test]
fn a_fork_lost_with_the_zygote_waits_for_the_next_zygote() {
    let now = Instant::now();
    let mut pool = pool(1, now);
    pool.tick(now);
    pool.source(Source::Away);
    pool.unborn(0, now);
    assert_eq!(pool.tick(now), []);
    pool.source(Source::Here);
    assert_eq!(pool.tick(now), [Action::Fork { slot: 0 }]);
}

#[test]
fn while_zygotes_fail_an_empty_pool_is_down() {
    let now = Instant::now();
    let mut pool = pool(2, now);
    pool.tick(now);
    pool.ready(0);
    pool.source(Source::Failing);
    pool.unborn(1, now);
    assert!(!pool.down());
    pool.died(0, now + Duration::from_secs(60));
    assert!(pool.down());
}

/// A small generator, so that a failing run can be repeated by its seed alone.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Whatever happens in whatever order: no slot ever has two workers, an app is never hammered with forks, and when the
/// deaths stop every slot has a ready worker again.
#[test]
fn simulated_lives_keep_the_promises() {
    for seed in 1..=300 {
        let mut random = Random(seed);
        let start = Instant::now();
        let mut now = start;
        let slots = 1 + random.below(4) as usize;
        let mut pool = pool(slots, now);
        let mut alive = vec![false; slots];
        let mut forks = 0;
        let mut leaves = 0;
        for _ in 0..2000 {
            now += Duration::from_millis(random.below(500));
            for action in pool.tick(now) {
                if let Action::Fork { slot } = action {
                    assert!(!alive[slot as usize], "seed {seed}: slot {slot} forked twice");
                    alive[slot as usize] = true;
                    forks += 1;
                }
            }
            let slot = random.below(slots as u64) as u32;
            if alive[slot as usize] {
                match random.below(40) {
                    0..20 => pool.ready(slot),
                    20..30 => {
                        pool.died(slot, now);
                        alive[slot as usize] = false;
                    }
                    30..32 => {
                        pool.leave(slot, now);
                        alive[slot as usize] = false;
                        leaves += 1;
                    }
                    32 => {
                        pool.source(Source::Away);
                        pool.source(Source::Here);
                    }
                    _ => {}
                }
            } else if random.below(50) == 0 {
                pool.revive(now);
            }
        }
        let most = slots * (now - start).as_millis() as usize / 100 + slots + leaves;
        assert!(forks <= most, "seed {seed}: {forks} forks");
        let later = now + Duration::from_secs(60);
        pool.revive(later);
        for action in pool.tick(later) {
            if let Action::Fork { slot } = action {
                alive[slot as usize] = true;
            }
        }
        assert!(
            alive.iter().all(|&alive| alive),
            "seed {seed}: a slot stays empty"
        );
        (0..slots).for_each(|slot| pool.ready(slot as u32));
        assert_eq!(pool.ready_count(), slots, "seed {seed}");
    }
}
