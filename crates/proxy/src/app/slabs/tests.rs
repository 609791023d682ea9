use super::*;

fn fill(slabs: &Arc<Slabs>, bytes: &[u8]) -> (Filling, usize) {
    let mut filling = slabs.take(u64::MAX).expect("slab");
    let taken = filling.append(bytes);
    assert_eq!(filling.bytes(), &bytes[..taken]);
    (filling, taken)
}

fn lend(slabs: &Arc<Slabs>) -> Loan {
    fill(slabs, &[1; 1 << 20]).0.lend().expect("loan")
}

fn idle(slabs: &Slabs) -> usize {
    slabs.inner().idle.len()
}

fn back(loan: &Loan) -> Return {
    Return {
        ticket: loan.ticket,
        shared: false,
    }
}

#[test]
fn a_loan_is_over_when_everyone_who_was_given_it_has_given_it_back() {
    let slabs = Slabs::new(&Spare::new(32 << 20), 0);
    let loan = lend(&slabs);
    loan.hand_over(1);
    loan.hand_over(2);
    // Not from a worker that was never given it.
    slabs.returned(3, back(&loan));
    slabs.returned(1, back(&loan));
    slabs.returned(1, back(&loan));
    let second = back(&loan);
    drop(loan);
    assert_eq!(idle(&slabs), 0);
    slabs.returned(2, second);
    assert_eq!(idle(&slabs), 1);
    // It may still be given to somebody.
    let loan = lend(&slabs);
    loan.hand_over(1);
    slabs.returned(1, back(&loan));
    assert_eq!(idle(&slabs), 0);
    drop(loan);
    assert_eq!(idle(&slabs), 1);
}

#[test]
fn what_a_lost_worker_had_is_not_used_again_and_takes_no_memory() {
    let spare = Spare::new(SLAB_BYTES);
    let slabs = Slabs::new(&spare, 0);
    for _ in 0..100 {
        let loan = lend(&slabs);
        loan.hand_over(1);
        drop(loan);
        slabs.lost(1);
        assert_eq!((idle(&slabs), slabs.inner().lent.len()), (0, 0));
    }
    assert_eq!(fill(&slabs, &[1; SLAB_BYTES + 1]).1, SLAB_BYTES);
}

#[test]
fn idle_slabs_are_given_back_in_time_and_to_whoever_needs_their_memory() {
    let spare = Spare::new(8 << 20);
    let (slabs, others) = (Slabs::new(&spare, 0), Slabs::new(&spare, 0));
    drop((lend(&slabs), lend(&slabs)));
    assert_eq!(idle(&slabs), 2);
    let now = Instant::now();
    assert!(!slabs.let_go(now));
    assert_eq!(idle(&slabs), 2);
    assert!(slabs.let_go(now + 2 * REST));
    assert_eq!(idle(&slabs), 0);
    // 2 MiB wait, 4 are used, and 2 are left: a third body of 4 MiB gets them by what waits.
    drop((lend(&slabs), lend(&slabs)));
    let (_other, taken) = fill(&others, &[1; SLAB_BYTES]);
    assert_eq!(taken, SLAB_BYTES);
    let one = fill(&slabs, &[1; SLAB_BYTES]);
    assert_eq!((one.1, idle(&slabs)), (SLAB_BYTES, 0));
    // No more than a part of what there is by default waits.
    let slabs = Slabs::new(&Spare::new(1 << 30), 0);
    let loans: Vec<Loan> = (0..30).map(|_| lend(&slabs)).collect();
    drop(loans);
    assert_eq!(idle(&slabs), IDLE_BYTES_MAX >> 20);
}

#[test]
fn a_body_s_own_memory_needs_no_share() {
    let slabs = Slabs::new(&Spare::new(0), 100_000);
    let (filling, taken) = fill(&slabs, &[1; 200_000]);
    assert_eq!(taken, 0);
    drop(filling);
    let mut filling = slabs.take(90_000).expect("slab");
    assert_eq!(filling.append(&[1; 90_000]), 90_000);
    assert!(filling.room().is_empty());
    drop(filling);
    assert_eq!(idle(&slabs), 0);
}

#[test]
fn an_app_that_keeps_its_bodies_gets_no_more_slabs_until_it_gives_some_back() {
    for (bytes, most) in [(100 << 10, KEPT_MAX), (4 << 20, KEPT_BYTES_MAX / (4 << 20) + 1)] {
        let slabs = Slabs::new(&Spare::new(1 << 30), 0);
        let mut kept = Vec::new();
        while let Ok(mut filling) = slabs.take(u64::MAX) {
            filling.append(&vec![1; bytes]);
            let loan = filling.lend().expect("loan");
            loan.hand_over(1);
            // As long as its request runs it is not kept.
            assert_eq!(slabs.inner().kept, kept.len());
            kept.push(back(&loan));
        }
        assert_eq!(kept.len(), most, "{bytes}");
        slabs.returned(1, kept.pop().expect("one"));
        assert!(slabs.take(u64::MAX).is_ok());
        slabs.lost(1);
        let inner = slabs.inner();
        assert_eq!((inner.kept, inner.kept_bytes, inner.lent.len()), (0, 0, 0));
    }
}
