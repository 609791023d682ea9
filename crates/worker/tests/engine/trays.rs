//! Large answers in memory that the worker shares with the proxy.

use wire::frame::{Kind, Return, TRAY_BYTES, TRAYS_MAX, Tray};

use crate::{
    APP,
    link::{Ask, Link},
    rig::{Plan, Worker, on_every_python, until},
};

const MIB: usize = 1 << 20;

/// What the application makes of a length and a first byte.
fn pattern(len: usize, first: u8) -> Vec<u8> {
    (0..len).map(|at| first.wrapping_add((at % 251) as u8)).collect()
}

/// Asks for one, and is sure that it arrives as it is.
fn fetch(link: &mut Link, stream: u32, len: usize, first: u8) {
    let query = format!("{len},{first}");
    let query = query.as_str();
    let answer = link.fetch(
        stream,
        Ask {
            query,
            ..Ask::get("/pattern")
        },
    );
    assert!(answer.body == pattern(len, first), "{len} bytes from {first}");
    assert_eq!((answer.status, answer.aborted), (200, None));
    if len <= MIB {
        let said = answer.header("Content-Length").map(<[u8]>::to_vec);
        // In one frame the length says itself.
        let expected = (answer.frames > 1).then(|| len.to_string().into_bytes());
        assert_eq!(said, expected);
    }
}

fn numbers(laid: &[Tray]) -> Vec<u32> {
    laid.iter().map(|tray| tray.number).collect()
}

#[test]
fn a_tray_that_has_come_back_is_used_again() {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::new(python, APP));
        let mut link = worker.link();
        fetch(&mut link, 1, 60_000, 1);
        assert!(link.trays.laid.is_empty(), "a small answer needs none");
        for (stream, len) in [(2, MIB), (3, 70_000), (4, MIB), (5, MIB - 1)] {
            fetch(&mut link, stream, len, stream as u8);
        }
        assert_eq!(numbers(&link.trays.laid), [0; 4]);
        // Credit for the rest comes in pieces.
        fetch(&mut link, 6, 3 * MIB, 9);
        let laid: u64 = link.trays.laid[4..].iter().map(|tray| u64::from(tray.len)).sum();
        assert_eq!(laid, 3 * MIB as u64);
        let query = format!("{MIB},3;10,4;0,5;100000,6");
        let query = query.as_str();
        let answer = link.fetch(
            7,
            Ask {
                query,
                ..Ask::get("/pieces")
            },
        );
        let pieces = [pattern(MIB, 3), pattern(10, 4), pattern(100_000, 6)].concat();
        assert!(answer.body == pieces);
        // Another link has its own.
        let mut other = worker.link();
        fetch(&mut other, 1, MIB, 7);
        assert_eq!(numbers(&other.trays.laid), [0]);
    });
}

#[test]
fn nothing_waits_for_a_tray_and_none_is_used_before_it_comes_back() {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::new(python, APP).threads(3));
        let mut link = worker.link();
        link.trays.kept = true;
        for stream in 1..=12 {
            fetch(&mut link, stream, MIB, stream as u8);
        }
        fetch(&mut link, 13, 3 * MIB, 13);
        let laid = std::mem::take(&mut link.trays.laid);
        assert!(numbers(&laid).into_iter().eq(0..TRAYS_MAX));
        for (tray, first) in laid.iter().zip(1..) {
            assert_eq!(tray.len, TRAY_BYTES);
            assert!(link.on_tray(*tray) == pattern(MIB, first), "{tray:?}");
        }
        for number in [3, 5] {
            link.give_back(number);
        }
        for stream in 14..18 {
            fetch(&mut link, stream, MIB, stream as u8);
        }
        let mut again = numbers(&link.trays.laid);
        again.sort_unstable();
        assert_eq!(again, [3, 5]);
        for tray in laid.iter().filter(|tray| !again.contains(&tray.number)) {
            assert!(link.on_tray(*tray) == pattern(MIB, tray.number as u8 + 1));
        }
    });
}

#[test]
fn a_worker_that_rests_keeps_no_memory_of_trays_that_are_not_lent() {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::new(python, APP));
        let mut link = worker.link();
        let takes = |link: &Link, number: usize| {
            let file = link.trays.files[number].as_ref().expect("a tray");
            rustix::fs::fstat(file).expect("a file").st_blocks * 512
        };
        link.trays.kept = true;
        fetch(&mut link, 1, MIB, 1);
        fetch(&mut link, 2, MIB, 2);
        link.give_back(0);
        until("the memory is given back", || takes(&link, 0) == 0);
        assert_eq!(takes(&link, 1), MIB as i64);
        assert!(link.on_tray(link.trays.laid[1]) == pattern(MIB, 2));
        fetch(&mut link, 3, 70_000, 3);
        // It comes back when the worker has long been at rest.
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        assert!(takes(&link, 0) >= 70_000);
        for number in [0, 1] {
            link.give_back(number);
        }
        until("all memory is given back", || {
            takes(&link, 0) + takes(&link, 1) == 0
        });
        fetch(&mut link, 4, MIB, 4);
        assert_eq!(link.trays.laid.len(), 4);
    });
}

#[test]
fn a_process_that_the_application_forks_does_not_touch_them() {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::new(python, APP));
        let mut link = worker.link();
        fetch(&mut link, 1, MIB, 1);
        assert_eq!(link.get(2, "/fork_large").text(), "parent");
        let laid = link.trays.laid[0];
        let now = link.on_tray(laid);
        // The worker may have had a rest since.
        assert!(now == pattern(MIB, 1) || now.iter().all(|byte| *byte == 0));
        fetch(&mut link, 3, MIB, 3);
        assert_eq!(numbers(&link.trays.laid), [0, 0]);
    });
}

#[test]
fn a_return_of_what_is_not_lent_ends_the_link() {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::new(python, APP));
        let mut link = worker.link();
        fetch(&mut link, 1, MIB, 1);
        link.give_back(0);
        while link.frame().is_some() {}
        let mut other = worker.link();
        let back = Return {
            ticket: TRAYS_MAX,
            shared: false,
        };
        other.tell(0, Kind::Return, &back.encode());
        assert!(other.frame().is_none());
        fetch(&mut worker.link(), 1, MIB, 1);
    });
}
