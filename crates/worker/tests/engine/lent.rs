//! Bodies in slabs that come again and again, as a proxy lends them.

use std::{
    fs::File,
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt, MetadataExt},
    },
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use wire::frame::{AbortReason, Kind, Return};

use crate::{
    APP, ASGI_APP,
    link::{Answer, Ask, Link},
    rig::{Plan, Worker, on_every_host, on_every_python, until},
};

/// A slab of this length.
fn slab(len: u64) -> File {
    let file = memfd_create("body", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a file");
    ftruncate(&file, len).expect("a length");
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).expect("seals");
    file.into()
}

fn descriptor(of: &File) -> OwnedFd {
    of.try_clone().expect("a duplicate").into()
}

/// Lines short and long, which begin and end wherever the seed says.
fn lines(seed: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for at in seed..seed + 9 {
        let len = [2, 70_000, 0, 131_072, 1, 65_535, 9_000, 30_000, 17][at % 9];
        body.resize(
            body.len() + len + seed,
            b'a' + u8::try_from(at % 26).expect("a letter"),
        );
        body.push(b'\n');
    }
    body.extend_from_slice(b"the last without an end");
    body
}

/// Lends the worker a body in the slab, and waits for the answer and for the slab.
fn lend(link: &mut Link, stream: u32, slab: &File, body: &[u8], path: &str) -> Answer {
    slab.write_all_at(body, 0).expect("written");
    let (answer, back) = link.answer_and_return(stream, ask(slab, stream, body.len() as u64, path));
    let expected = Return {
        ticket: stream,
        shared: false,
    };
    assert_eq!(back, expected);
    answer
}

fn ask<'a>(slab: &File, ticket: u32, len: u64, path: &'a str) -> Ask<'a> {
    Ask {
        method: "POST",
        file: Some((descriptor(slab), len)),
        lent: Some(ticket),
        ..Ask::get(path)
    }
}

/// The answer, when slabs may come back at any time: what an error has seen lives for as long as its host likes.
fn answered(link: &mut Link, stream: u32, ask: Ask<'_>) -> Answer {
    link.ask(stream, ask);
    let mut answer = Answer::default();
    while !answer.over {
        let (header, payload, descriptor) = link.frame().expect("the worker is alive");
        if header.kind != Kind::Return {
            answer.take(header, &payload, descriptor);
        }
    }
    answer
}

/// Has the worker this slab mapped?
fn is_mapped(worker: &Worker, slab: &File) -> bool {
    let inode = slab.metadata().expect("a slab").ino().to_string();
    let maps = format!("/proc/{}/maps", worker.pid.as_raw_nonzero());
    let maps = std::fs::read_to_string(maps).expect("a worker");
    let mut maps = maps.lines().filter(|line| line.contains("/memfd:body"));
    maps.any(|line| line.split_whitespace().nth(4) == Some(&inode))
}

/// Lends bodies in it until the worker has it mapped; a rest may come at any time.
fn until_mapped(worker: &Worker, link: &mut Link, slab: &File) {
    until("the slab is mapped", || {
        assert_eq!(lend(link, 60, slab, b"some\nlines\n", "/length").text(), "11");
        is_mapped(worker, slab)
    });
}

#[test]
fn a_body_in_a_slab_is_read_like_one_from_a_file() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let slab = slab(4 << 20);
        for seed in 1..6 {
            let body = lines(seed);
            let stream = u32::try_from(seed).expect("small");
            // Behind the body the slab has what is left of one before it.
            slab.write_all_at(&[b'\n'; 100], body.len() as u64)
                .expect("written");
            let from_slab = lend(&mut link, stream, &slab, &body, "/odd");
            let file = tempfile::tempfile().expect("a file");
            file.write_all_at(&body, 0).expect("written");
            let from_file = link.fetch(
                10 + stream,
                Ask {
                    file: Some((file.into(), body.len() as u64)),
                    ..Ask::get("/odd")
                },
            );
            assert!(from_slab.body.ends_with(&body), "{seed}");
            assert!(from_slab.body == from_file.body, "{seed}");
        }
        until_mapped(&worker, &mut link, &slab);
        until("the slab is let go", || !is_mapped(&worker, &slab));
    });
}

#[test]
fn a_slab_shorter_than_its_body_is_an_error() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let slab = slab(100_000);
        for stream in 1..4 {
            let short = answered(&mut link, stream, ask(&slab, stream, 100_001, "/length"));
            assert_eq!(short.aborted, Some(AbortReason::Exception));
            let whole = answered(
                &mut link,
                10 + stream,
                ask(&slab, 10 + stream, 100_000, "/length"),
            );
            assert_eq!(whole.text(), "100000");
        }
        until("the errors are told", || {
            let told = worker.stderr.lock().expect("no panic");
            told.matches("\u{1f}OSError: ").count() == 3
        });
    });
}

#[test]
fn what_was_read_to_its_end_goes_back_though_the_application_keeps_it() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let slab = slab(1 << 20);
        for stream in 1..4 {
            let answer = lend(&mut link, stream, &slab, b"a line\nand more", "/read_and_keep");
            assert_eq!(answer.text(), "a line\n|and more");
        }
    });
}

#[test]
fn a_body_that_is_kept_outlives_the_rest_of_its_slab() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let (kept, idle) = (slab(1 << 20), slab(1 << 20));
        until("a body is kept in a slab that is mapped", || {
            until_mapped(&worker, &mut link, &kept);
            kept.write_all_at(b"kept body", 0).expect("written");
            assert_eq!(link.fetch(4, ask(&kept, 4, 9, "/keep")).text(), "kept");
            let mapped = is_mapped(&worker, &kept);
            if !mapped {
                assert_eq!(link.fetch_and_return(5, Ask::get("/read_kept")).0, "kept body");
            }
            mapped
        });
        until_mapped(&worker, &mut link, &idle);
        until("the idle slab is let go", || !is_mapped(&worker, &idle));
        assert!(is_mapped(&worker, &kept));
        let (read, back) = link.fetch_and_return(5, Ask::get("/read_kept"));
        assert_eq!((read.as_str(), back.ticket), ("kept body", 4));
        assert!(!is_mapped(&worker, &kept));
    });
}

#[test]
fn a_process_that_was_forked_keeps_the_slab_of_its_own_body_only() {
    on_every_host(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let (one, two) = (slab(1 << 20), slab(1 << 20));
        until("the child has one slab mapped", || {
            for slab in [&one, &one, &two] {
                assert_eq!(lend(&mut link, 1, slab, b"four", "/length").text(), "4");
            }
            let (counted, back) = link.fetch_and_return(4, ask(&two, 4, 4, "/fork_counts_maps"));
            assert!(back.shared);
            // A rest may come in between, but the first one is never kept.
            assert!(["0 4", "1 4"].contains(&counted.as_str()), "{counted}");
            counted == "1 4"
        });
    });
}

#[test]
fn an_event_loop_is_given_a_body_in_a_slab_in_pieces() {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::asgi(python, ASGI_APP));
        let mut link = worker.link();
        let slab = slab(4 << 20);
        for (stream, byte) in (1..).zip(*b"abcd") {
            let body = vec![byte; 150_000 + usize::from(byte)];
            let answer = lend(&mut link, stream, &slab, &body, "/echo");
            assert!(answer.body == body, "{stream}");
            assert_eq!(answer.header("x-pieces"), Some(&b"3"[..]));
        }
        until("the slab is mapped", || {
            let answer = lend(&mut link, 9, &slab, &[b'x'; 70_000], "/echo");
            assert_eq!(answer.body, [b'x'; 70_000]);
            is_mapped(&worker, &slab)
        });
        for stream in [10, 11] {
            let short = answered(&mut link, stream, ask(&slab, stream, (4 << 20) + 1, "/echo"));
            assert_eq!(short.aborted, Some(AbortReason::Exception));
        }
        until("the slab is let go", || !is_mapped(&worker, &slab));
    });
}
