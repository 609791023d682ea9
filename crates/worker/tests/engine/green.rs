//! WSGI on greenlets: what differs from threads.

use wire::{
    control::{FromWorker, FromZygote, ToWorker},
    frame::{self, AbortReason, Kind},
};

use crate::{
    link::{Ask, Link},
    rig::{self, Plan, Worker, Zygote, on_every_green, pythons, until},
};

const APP: &str = include_str!("green_app.py");

fn told(worker: &Worker, text: &str) {
    until(&format!("{text:?} is told"), || {
        worker.stderr.lock().expect("no panic").contains(text)
    });
}

/// Asks for the same on so many streams, each of which names itself.
fn ask_all(link: &Link, path: &str, query: &str, streams: &[u32]) {
    for &stream in streams {
        let name = stream.to_string();
        link.ask(
            stream,
            Ask {
                query,
                headers: &[("x-request", &name)],
                ..Ask::get(path)
            },
        );
    }
}

fn cancel(link: &Link, stream: u32, flags: u8) {
    let mut out = Vec::new();
    frame::put(&mut out, stream, Kind::Cancel, flags, b"");
    rig::send(&link.socket, &out, &[]);
}

#[test]
fn fifty_requests_wait_at_the_same_time_and_each_prints_under_its_own_id() {
    on_every_green(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let streams: Vec<u32> = (1..51).collect();
        ask_all(&link, "/meet", "50", &streams);
        for (stream, answer) in link.answers(&streams) {
            assert_eq!(answer.text(), "True", "{stream}");
        }
        until("everything is printed", || {
            worker.stdout.lock().expect("no panic").matches('\n').count() == 100
        });
        let printed = worker.stdout.lock().expect("no panic").clone();
        for stream in streams {
            for when in ["before", "after"] {
                let line = format!("\u{1e}id{stream}\u{1f}{when} the meeting {stream}\n");
                assert!(printed.contains(&line), "{line:?} in {printed:?}");
            }
        }
        assert_eq!(worker.stderr.lock().expect("no panic").as_str(), "");
    });
}

#[test]
fn no_more_greenlets_run_than_there_are_connections() {
    on_every_green(APP, |plan| {
        let (_zygote, worker) = Worker::ready(&plan.green(plan.green, 3));
        let mut link = worker.link();
        let streams: Vec<u32> = (1..31).collect();
        ask_all(&link, "/count", "", &streams);
        // One that waits for its turn and whose client leaves never runs.
        cancel(&link, 30, 0);
        let answers = link.answers(&streams);
        assert_eq!(answers[&30].aborted, Some(AbortReason::Cancelled));
        assert!((1..30).all(|stream| answers[&stream].status == 200));
        assert_eq!(link.get(31, "/most").text(), "3");
    });
}

#[test]
fn an_answer_without_credit_keeps_nobody_else_waiting() {
    on_every_green(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        for (stream, path, byte) in [(1, "/big", b'y'), (4, "/write_big", b'w'), (7, "/list_big", b'l')] {
            link.ask(stream, Ask::get(path));
            let mut body = Vec::new();
            // Nothing is granted until the window is used up.
            while body.len() < wire::frame::WINDOW as usize {
                let (header, payload, _) = link.frame().expect("the worker is alive");
                assert_eq!(header.stream, stream);
                match header.kind {
                    Kind::Response => {
                        body.extend_from_slice(wire::response::Response::decode(&payload).expect("a head").1);
                    }
                    kind => {
                        assert_eq!(kind, Kind::Data);
                        body.extend_from_slice(&payload);
                    }
                }
            }
            assert_eq!(body.len(), wire::frame::WINDOW as usize, "{path}");
            assert_eq!(link.get(stream + 1, "/hello").text(), "hello");
            link.credit(stream, u32::try_from(body.len()).expect("small"));
            let rest = link.answers(&[stream]).remove(&stream).expect("an answer");
            let whole = body.len() + rest.body.len();
            assert_eq!(
                whole,
                if path == "/list_big" {
                    5_000_000
                } else {
                    80 * 65536
                }
            );
            assert!(rest.body.iter().all(|&other| other == byte));
            // And one whose client leaves while it waits.
            link.ask(stream + 2, Ask::get(path));
            while link.frame().is_some_and(|(_, payload, _)| {
                body.extend_from_slice(&payload);
                body.len() < 2 * wire::frame::WINDOW as usize
            }) {}
            cancel(&link, stream + 2, 0);
            loop {
                let (header, payload, _) = link.frame().expect("the worker is alive");
                if header.has(frame::END) {
                    assert_eq!((header.stream, header.kind), (stream + 2, Kind::Abort));
                    assert_eq!(AbortReason::decode(&payload), Ok(AbortReason::Cancelled));
                    break;
                }
            }
        }
        assert_eq!(worker.stderr.lock().expect("no panic").as_str(), "");
    });
}

#[test]
fn many_streams_are_open_and_end_when_their_clients_leave() {
    on_every_green(APP, |plan| {
        let (zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let marker = zygote.directory.path().join("end");
        let query = marker.to_str().expect("a text").to_owned();
        let streams: Vec<u32> = (1..49).collect();
        ask_all(&link, "/ticks", &query, &streams);
        for _ in &streams {
            let (header, payload, _) = link.frame().expect("a tick");
            assert_eq!(header.kind, Kind::Response);
            assert!(payload.ends_with(b"tick"));
        }
        for stream in 1..25 {
            cancel(&link, stream, 0);
        }
        let gone: Vec<u32> = (1..25).collect();
        for (stream, answer) in link.answers(&gone) {
            assert_eq!(answer.aborted, Some(AbortReason::Cancelled), "{stream}");
        }
        assert_eq!(link.get(60, "/closed").text(), ["ticks"; 24].join(","));
        std::fs::write(marker, "").expect("a mark");
        let left: Vec<u32> = (25..49).collect();
        for (stream, answer) in link.answers(&left) {
            assert!(answer.text().ends_with("end"), "{stream}");
        }
    });
}

#[test]
fn an_overdue_greenlet_is_told_with_its_stack_and_ended() {
    on_every_green(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        link.ask(1, Ask::get("/stuck"));
        assert_eq!(link.get(2, "/hello").text(), "hello");
        cancel(&link, 1, frame::OVERDUE);
        let answer = link.answers(&[1]).remove(&1).expect("an answer");
        assert_eq!(answer.aborted, Some(AbortReason::Cancelled));
        told(&worker, "\u{1e}id1\u{1f}GET /stuck: ran past its deadline");
        told(&worker, "in at_stuck");
        told(&worker, "time.sleep(1000)");
        assert_eq!(link.get(3, "/closed").text(), "stuck");
        assert!(
            !worker
                .stderr
                .lock()
                .expect("no panic")
                .contains("the application raised")
        );
    });
}

#[test]
fn a_greenlet_exit_is_a_failure_of_one_request() {
    on_every_green(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let answer = link.get(1, "/greenlet_exit");
        assert_eq!(answer.aborted, Some(AbortReason::Exception));
        told(
            &worker,
            "\u{1e}\u{1c}id1\u{1f}GET /greenlet_exit: the application raised GreenletExit\n",
        );
        assert_eq!(link.get(2, "/hello").text(), "hello");
    });
}

#[test]
fn programs_threads_and_collections_work_in_a_greenlet() {
    on_every_green(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let streams: Vec<u32> = (1..11).collect();
        for (path, text) in [
            ("/run", "from a program"),
            ("/thread", "ran"),
            ("/collect", "collected"),
        ] {
            ask_all(&link, path, "", &streams);
            for (stream, answer) in link.answers(&streams) {
                assert_eq!(answer.text(), text, "{path} {stream}");
            }
        }
    });
}

#[test]
fn a_preloaded_application_runs_in_each_worker_with_a_hub_of_its_own() {
    on_every_green(APP, |plan| {
        let zygote = Zygote::start(&plan.preload());
        let told = zygote.hear();
        assert!(
            matches!(&told, FromZygote::Ready { unshared, .. } if unshared.is_empty()),
            "{told:?}"
        );
        let workers = [zygote.fork(0), zygote.fork(1)];
        let mut links: Vec<Link> = workers
            .iter()
            .map(|worker| {
                let told = worker.hear();
                assert!(matches!(told, Some(FromWorker::Ready { .. })), "{told:?}");
                worker.link()
            })
            .collect();
        let streams: Vec<u32> = (1..11).collect();
        for link in &links {
            ask_all(link, "/meet", "10", &streams);
        }
        for link in &mut links {
            assert!(
                link.answers(&streams)
                    .values()
                    .all(|answer| answer.text() == "True")
            );
            let pids = link.get(11, "/pid").text();
            assert!(pids.ends_with(&format!(" {}", zygote.pid())), "{pids}");
            assert_eq!(link.get(12, "/run").text(), "from a program");
        }
    });
}

#[test]
fn an_application_that_starts_native_threads_is_imported_by_each_worker() {
    // gevent's resolver asks in a thread of its pool, also for what needs no name server.
    let app = format!("{APP}\nimport socket\nsocket.getaddrinfo('127.0.0.1', 80)\n");
    for python in pythons() {
        let python = rig::greenhouse(&python);
        let zygote = Zygote::start(&Plan::new(&python, &app).green("gevent", 50).preload());
        let told = zygote.hear();
        assert!(
            matches!(&told, FromZygote::Ready { unshared, .. } if !unshared.is_empty()),
            "{told:?}"
        );
        let worker = zygote.fork(0);
        let told = worker.hear();
        assert!(matches!(told, Some(FromWorker::Ready { .. })), "{told:?}");
        let mut link = worker.link();
        let streams: Vec<u32> = (1..11).collect();
        ask_all(&link, "/meet", "10", &streams);
        assert!(
            link.answers(&streams)
                .values()
                .all(|answer| answer.text() == "True")
        );
    }
}

#[test]
fn a_drain_lets_greenlets_end_and_the_exit_functions_run() {
    let app = format!("{APP}\nimport atexit\natexit.register(lambda: print('farewell'))\n");
    on_every_green(&app, |plan| {
        let (zygote, mut worker) = Worker::ready(plan);
        let mut link = worker.link();
        let marker = zygote.directory.path().join("end");
        let query = marker.to_str().expect("a text").to_owned();
        ask_all(&link, "/ticks", &query, &[1]);
        assert_eq!(link.get(3, "/thread").text(), "ran");
        worker.drain();
        let refused = link.get(2, "/hello");
        assert_eq!(refused.aborted, Some(AbortReason::NotStarted));
        std::fs::write(marker, "").expect("a mark");
        // Without a word back: the worker leaves right behind its last frame.
        let mut rest = Vec::new();
        loop {
            let (header, payload, _) = link.frame().expect("the worker is alive");
            rest.extend_from_slice(&payload);
            if header.has(frame::END) {
                break;
            }
        }
        assert!(rest.ends_with(b"end"));
        let began = std::time::Instant::now();
        assert_eq!(worker.wait(), Some(0));
        // Not by the end of the engine's patience with exit functions.
        assert!(began.elapsed() < std::time::Duration::from_millis(2500));
        until("the exit functions have run", || {
            worker.stdout.lock().expect("no panic").contains("farewell")
        });
    });
}

#[test]
fn an_interrupt_ends_a_greenlet_that_never_waits() {
    on_every_green(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        link.ask(1, Ask::get("/spin"));
        until("it runs", || link.claimed(1));
        worker.tell(&ToWorker::Interrupt { thread: 0 });
        let answer = link.answers(&[1]).remove(&1).expect("an answer");
        assert_eq!(answer.aborted, Some(AbortReason::Exception));
        assert_eq!(link.get(2, "/hello").text(), "hello");
    });
}

#[test]
fn an_answer_is_heard_though_another_greenlet_never_waits() {
    on_every_green(APP, |plan| {
        let (_zygote, worker) = Worker::ready(plan);
        let mut link = worker.link();
        let mut out = Vec::new();
        link.put(&mut out, 1, &Ask::get("/hello"));
        link.put(&mut out, 2, &Ask::get("/spin"));
        rig::send(&link.socket, &out, &[]);
        assert_eq!(link.answers(&[1])[&1].text(), "hello");
        worker.tell(&ToWorker::Interrupt { thread: 0 });
        assert_eq!(link.answers(&[2])[&2].aborted, Some(AbortReason::Exception));
    });
}

#[test]
fn greenlets_past_the_drain_are_ended_or_else_given_up() {
    let app = format!(
        "{APP}\ndef at_stubborn(environ, start_response):\n    while True:\n        try:\n            time.sleep(1000)\n        \
         except GreenletExit:\n            print('stubborn')\n"
    );
    on_every_green(&app, |plan| {
        let (_zygote, mut worker) = Worker::ready(plan);
        let mut link = worker.link();
        ask_all(&link, "/stuck", "", &[1]);
        ask_all(&link, "/stubborn", "", &[2]);
        until("they run", || link.claimed(1) && link.claimed(2));
        worker.tell(&ToWorker::Drain { within_ms: 100 });
        for (stream, answer) in link.answers(&[1, 2]) {
            assert_eq!(answer.aborted, Some(AbortReason::Cancelled), "{stream}");
        }
        assert_eq!(worker.wait(), Some(0));
        for path in ["/stuck", "/stubborn"] {
            told(
                &worker,
                &format!("GET {path}: still runs at the end of the drain, and is ended; it stands at"),
            );
        }
        told(&worker, "time.sleep(1000)");
        until("the stubborn one has heard it", || {
            worker.stdout.lock().expect("no panic").contains("stubborn")
        });
    });
}

#[test]
fn a_missing_library_is_named_with_the_way_to_install_it() {
    for python in pythons() {
        for library in ["gevent", "eventlet"] {
            let installed = std::process::Command::new(&python)
                .args(["-c", &format!("import {library}")])
                .stderr(std::process::Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            if installed {
                continue;
            }
            let plan = Plan::new(&python, APP).green(library, 50);
            let zygote = Zygote::start(&plan);
            assert!(matches!(zygote.hear(), FromZygote::Ready { .. }));
            let worker = zygote.fork(0);
            let Some(FromWorker::Failed { step, message, .. }) = worker.hear() else {
                panic!("no refusal")
            };
            assert_eq!(step, "python");
            let way = format!("pip install {library}");
            assert!(
                message.contains(&way) && message.contains("is not installed"),
                "{message}"
            );
            let told = Zygote::start(&plan.preload()).hear();
            assert!(
                matches!(&told, FromZygote::Failed { message, .. } if message.contains(&way)),
                "{told:?}"
            );
        }
    }
}
