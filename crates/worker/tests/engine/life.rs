//! Boot, fork, drain and death.

use std::path::Path;

use wire::{
    control::{FromWorker, FromZygote, STACKS_SIGNAL, ToWorker},
    frame::AbortReason,
};

use crate::{
    APP,
    link::Ask,
    rig::{Plan, Worker, Zygote, on_every_python, pythons, until},
};

fn failure(python: &Path, app: &str, target: &str) -> (String, String, String) {
    let zygote = Zygote::start(&Plan::new(python, app).target(target).preload());
    match zygote.hear() {
        FromZygote::Failed {
            step,
            message,
            traceback,
        } => (step, message, traceback),
        other => panic!("{other:?}"),
    }
}

#[test]
fn targets_are_resolved_or_refused_with_a_way_out() {
    let app = "
import functools
class Outer:
    @staticmethod
    def inner(environ, start_response):
        start_response('200 OK', [])
        return [b'inner']
def factory():
    return Outer.inner
async def asgi(scope, receive, send):
    pass
class Asgi:
    async def __call__(self, scope, receive, send):
        pass
object_asgi = Asgi()
number = 7
";
    on_every_python(|python| {
        for target in ["app:Outer.inner", "app:factory()"] {
            let (_zygote, worker) = Worker::ready(&Plan::new(python, app).target(target));
            assert_eq!(worker.link().get(1, "/").text(), "inner");
        }
        let (step, message, _) = failure(python, app, "absent:app");
        assert_eq!(step, "import");
        assert!(
            message.contains("no module named \"absent\"") && message.contains("app.py"),
            "{message}"
        );
        let (_, message, _) = failure(python, app, "app:factori()");
        assert!(message.contains("did you mean \"factory\"?"), "{message}");
        let (_, message, _) = failure(python, app, "app");
        assert!(
            message.contains("neither") && message.contains("factory"),
            "{message}"
        );
        let (_, message, _) = failure(python, app, "app:number");
        assert!(message.contains("is int"), "{message}");
        for target in ["app:asgi", "app:object_asgi"] {
            let (_, message, _) = failure(python, app, target);
            assert!(
                message.contains("is an ASGI application") && message.contains("write asgi = "),
                "{message}"
            );
        }
        let (step, message, traceback) = failure(python, "import nowhere", "app");
        assert_eq!(step, "import");
        assert!(
            message.contains("'nowhere'") && message.contains("is not installed"),
            "{message}"
        );
        assert!(traceback.contains("app.py\", line 1"), "{traceback}");
        // Where the package is there, it is the name that is wrong and not the interpreter.
        for (app, target, told) in [
            ("import email.mesage", "app", "did you mean \"email.message\"?"),
            ("", "email.mesage", "did you mean \"email.message\"?"),
            ("import json.zebra", "app", "in it are decoder, encoder"),
            ("", "json.zebra:app", "in it are decoder, encoder"),
            ("def run(*a): pass", "app.run", "write \"app:run\""),
        ] {
            let (step, message, _) = failure(python, app, target);
            assert_eq!(step, "import");
            assert!(
                message.contains(told) && !message.contains("is not installed"),
                "{message}"
            );
        }
        let (_, message, _) = failure(python, "raise SystemExit(4)", "app");
        assert!(message.contains("SystemExit: 4"), "{message}");
    });
}

#[test]
fn a_check_imports_tells_and_ends() {
    on_every_python(|python| {
        let zygote = Zygote::start(&Plan::new(python, APP).check());
        assert!(matches!(zygote.hear(), FromZygote::Ready { .. }));
        assert!(zygote.abandon().success());
        let zygote = Zygote::start(&Plan::new(python, "1/0").check());
        assert!(matches!(zygote.hear(), FromZygote::Failed { .. }));
        assert_eq!(zygote.abandon().code(), Some(1));
    });
}

#[test]
fn a_worker_without_preload_tells_its_own_failure() {
    on_every_python(|python| {
        let zygote = Zygote::start(&Plan::new(python, "1/0"));
        assert!(matches!(zygote.hear(), FromZygote::Ready { import_ms: 0, .. }));
        let mut worker = zygote.fork(0);
        let told = worker.hear();
        let Some(FromWorker::Failed {
            message, traceback, ..
        }) = told
        else {
            panic!("{told:?}")
        };
        assert!(message.contains("ZeroDivisionError"), "{message}");
        assert!(traceback.contains("Traceback"), "{traceback}");
        assert_eq!(worker.wait(), Some(1));
    });
}

#[test]
fn preload_imports_once_and_every_fork_serves() {
    on_every_python(|python| {
        let (zygote, first) = Worker::ready(&Plan::new(python, APP).preload());
        let second = zygote.fork(1);
        assert!(matches!(second.hear(), Some(FromWorker::Ready { .. })));
        for worker in [&first, &second] {
            let text = worker.link().get(1, "/pid").text();
            assert_eq!(text, format!("{} {}", worker.pid.as_raw_nonzero(), zygote.pid()));
        }
        let title = std::fs::read_to_string(format!("/proc/{}/cmdline", second.pid.as_raw_nonzero()))
            .expect("a title");
        assert_eq!(title.trim_end_matches('\0'), "appliance: worker web/1");
    });
}

#[test]
fn an_import_that_starts_threads_is_not_shared() {
    let app = format!(
        "import threading\nthreading.Thread(target=threading.Event().wait, name='mine', daemon=True).start()\n{APP}"
    );
    on_every_python(|python| {
        let zygote = Zygote::start(&Plan::new(python, &app).preload());
        let told = zygote.hear();
        let FromZygote::Ready { unshared, .. } = &told else {
            panic!("{told:?}")
        };
        assert_eq!(unshared, "thread \"mine\"");
        let worker = zygote.fork(0);
        assert!(matches!(worker.hear(), Some(FromWorker::Ready { .. })));
        let pid = worker.pid.as_raw_nonzero();
        assert_eq!(worker.link().get(1, "/pid").text(), format!("{pid} {pid}"));
    });
}

#[test]
fn threads_run_requests_beside_each_other() {
    on_every_python(|python| {
        let (zygote, worker) = Worker::ready(&Plan::new(python, APP).threads(3));
        let mut link = worker.link();
        let marker = zygote.directory.path().join("go");
        for stream in [1, 2] {
            link.ask(
                stream,
                Ask {
                    query: marker.to_str().expect("a text"),
                    ..Ask::get("/wait")
                },
            );
        }
        for stream in 3..40 {
            assert_eq!(link.get(stream, "/hello").text(), "hello");
        }
        std::fs::write(&marker, "").expect("a marker");
        let answers = link.answers(&[1, 2]);
        assert_ne!(answers[&1].text(), answers[&2].text());
        let streams: Vec<u32> = (40..100).collect();
        for &stream in &streams {
            link.ask(stream, Ask::get("/hello"));
        }
        for (stream, answer) in link.answers(&streams) {
            assert_eq!(answer.text(), "hello", "{stream}");
        }
    });
}

#[test]
fn a_recalled_request_is_never_run() {
    let python = &pythons()[0];
    let (zygote, worker) = Worker::ready(&Plan::new(python, APP));
    let mut link = worker.link();
    let marker = zygote.directory.path().join("go");
    link.ask(
        1,
        Ask {
            query: marker.to_str().expect("a text"),
            ..Ask::get("/wait")
        },
    );
    until("the first runs", || link.claimed(1));
    link.ask(2, Ask::get("/hello"));
    link.ask(3, Ask::get("/hello"));
    assert!(link.recall(2));
    assert!(!link.recall(1));
    std::fs::write(&marker, "").expect("a marker");
    let answers = link.answers(&[1, 3]);
    assert!(!answers.contains_key(&2));
}

#[test]
fn drain_lets_a_running_request_finish_and_gives_the_others_back() {
    on_every_python(|python| {
        let (zygote, mut worker) = Worker::ready(&Plan::new(python, APP));
        let mut link = worker.link();
        let marker = zygote.directory.path().join("go");
        link.ask(
            1,
            Ask {
                query: marker.to_str().expect("a text"),
                ..Ask::get("/wait")
            },
        );
        until("the first runs", || link.claimed(1));
        worker.drain();
        link.ask(2, Ask::get("/hello"));
        std::fs::write(&marker, "").expect("a marker");
        let first = link.answers(&[1]).remove(&1).expect("an answer");
        assert_eq!((first.status, first.text().as_str()), (200, "MainThread"));
        // The second one is either given back in words or has visibly never been started.
        match link.frame() {
            Some((header, payload, _)) => {
                assert_eq!((header.stream, payload), (2, vec![AbortReason::NotStarted as u8]));
            }
            None => assert!(!link.claimed(2)),
        }
        assert_eq!(worker.wait(), Some(0));
        until("exit functions have run", || {
            worker.stdout.lock().expect("no panic").contains("farewell\n")
        });
    });
}

#[test]
fn a_stuck_request_shows_its_stack_and_can_be_interrupted() {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::new(python, APP));
        let mut link = worker.link();
        link.ask(1, Ask::get("/spin"));
        until("it runs", || link.claimed(1));
        let signal = rustix::process::Signal::from_named_raw(STACKS_SIGNAL).expect("a signal");
        rustix::process::kill_process(worker.pid, signal).expect("a signal");
        until("the stack is written", || {
            worker.stderr.lock().expect("no panic").contains("in at_spin")
        });
        worker.tell(&ToWorker::Interrupt { thread: 0 });
        // It did not fail: it was cut.
        assert_eq!(link.answers(&[1])[&1].aborted, Some(AbortReason::Cancelled));
        assert_eq!(link.get(2, "/hello").text(), "hello");
    });
}

#[test]
fn without_a_supervisor_zygote_and_worker_end_at_once() {
    on_every_python(|python| {
        let (zygote, mut worker) = Worker::ready(&Plan::new(python, APP));
        worker.abandon();
        assert_eq!(worker.wait(), Some(0));
        assert!(zygote.abandon().success());
    });
}

#[test]
fn a_lost_proxy_cancels_its_requests_and_no_other() {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::new(python, APP).threads(2));
        let lost = worker.link();
        lost.ask(1, Ask::get("/endless"));
        until("it runs", || lost.claimed(1));
        drop(lost);
        let mut link = worker.link();
        let mut stream = 0;
        until("the iterable is closed", || {
            stream += 1;
            link.get(stream, "/closed").text() == "endless"
        });
    });
}

#[test]
fn requests_that_a_lost_proxy_left_unread_are_not_run() {
    let app = "
import os, time
RAN = []
def app(environ, start_response):
    RAN.append(environ['PATH_INFO'])
    while environ['QUERY_STRING'] and not os.path.exists(environ['QUERY_STRING']):
        time.sleep(0.005)
    start_response('200 OK', [])
    return [' '.join(RAN).encode()]
";
    let (zygote, worker) = Worker::ready(&Plan::new(&pythons()[0], app));
    let marker = zygote.directory.path().join("go");
    let lost = worker.link();
    lost.ask(
        1,
        Ask {
            query: marker.to_str().expect("a text"),
            ..Ask::get("/first")
        },
    );
    until("the first runs", || lost.claimed(1));
    lost.ask(2, Ask::get("/unread"));
    drop(lost);
    let mut link = worker.link();
    link.ask(1, Ask::get("/last"));
    std::fs::write(&marker, "").expect("a marker");
    assert_eq!(link.answers(&[1])[&1].text(), "/first /last");
}

#[test]
fn in_a_drain_an_answer_does_not_wait_for_another_thread() {
    let (zygote, mut worker) = Worker::ready(&Plan::new(&pythons()[0], APP).threads(2));
    let mut link = worker.link();
    let marker = |stream: u32| zygote.directory.path().join(stream.to_string());
    for stream in [1, 2] {
        link.ask(
            stream,
            Ask {
                query: marker(stream).to_str().expect("a text"),
                ..Ask::get("/wait")
            },
        );
    }
    until("both run", || link.claimed(1) && link.claimed(2));
    worker.drain();
    for stream in [2, 1] {
        std::fs::write(marker(stream), "").expect("a marker");
        assert_eq!(link.answers(&[stream])[&stream].status, 200);
    }
    assert_eq!(worker.wait(), Some(0));
}

#[test]
fn a_process_that_a_view_forks_does_not_stand_in_for_its_worker() {
    let app = "
import os, sys, time
def app(environ, start_response):
    if environ['PATH_INFO'] == '/fork':
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
    if environ['PATH_INFO'] == '/sleep':
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    start_response('200 OK', [])
    return [str(child if environ['PATH_INFO'] != '/' else 0).encode()]
";
    on_every_python(|python| {
        let (_zygote, mut worker) = Worker::ready(&Plan::new(python, app));
        let mut link = worker.link();
        // A child that comes back out of the view answers nothing and ends.
        assert_ne!(link.get(1, "/fork").text(), "");
        assert_eq!(link.get(2, "/").text(), "0");
        let child: i32 = link.get(3, "/sleep").text().parse().expect("a pid");
        let child = rustix::process::Pid::from_raw(child).expect("a pid");
        // One that stays does not keep the link open when the worker is gone.
        rustix::process::kill_process(worker.pid, rustix::process::Signal::KILL).expect("a worker");
        worker.wait();
        let end = link.frame();
        rustix::process::kill_process(child, rustix::process::Signal::KILL).expect("a child");
        assert!(end.is_none());
    });
}
