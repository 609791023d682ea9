//! Applications that patch the standard library themselves.

use std::collections::HashSet;

use wire::control::ToWorker;

use crate::{
    link::Ask,
    rig::{Plan, Worker, greenhouse, on_every_python, until},
};

/// Waits in all the ways that are patched, and tells its thread as the kernel knows it.
const WAITING: &str = "
import queue, socket, threading, time
lock, words, local = threading.Lock(), queue.Queue(), threading.local()
def native():
    import ctypes
    return ctypes.CDLL(None).syscall(186)
def app(environ, start_response):
    local.path = environ['PATH_INFO']
    with lock:
        time.sleep(0.01)
    time.sleep(0.02)
    thread = threading.Thread(target=words.put, args=(1,))
    thread.start()
    thread.join()
    words.get(timeout=5)
    # An import inside of a function takes a lock, too.
    import decimal, sqlite3
    one, other = socket.socketpair()
    one.sendall(b'x')
    assert other.recv(1) == b'x'
    assert local.path == environ['PATH_INFO']
    start_response('200 OK', [])
    return [b'%d' % native()]
";

/// What an application that began something when it was imported sees of it.
const BACKGROUND: &str = "
import threading, time
turns = []
def background():
    while True:
        turns.append(1)
        time.sleep(0.01)
BEGIN
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'%d' % len(turns)]
";

/// Ways in which an application begins something: the library, how, the threads of its worker, and whether
/// the zygote is to import it.
const BEGINNINGS: [(&str, &str, u32, bool); 4] = [
    (GEVENT, "import gevent\ngevent.spawn(background)", 4, true),
    (
        GEVENT,
        "threading.Thread(target=background, daemon=True).start()",
        1,
        false,
    ),
    (EVENTLET, "import eventlet\neventlet.spawn(background)", 4, false),
    (
        EVENTLET,
        "threading.Thread(target=background, daemon=True).start()",
        4,
        true,
    ),
];

/// Answers once so many requests are here, by locks that were made when it was imported.
const MEETING: &str = "
import logging, threading, time
here, lock = threading.Barrier(4), threading.RLock()
def app(environ, start_response):
    met = here.wait(20)
    with lock:
        logging.warning('met')
        time.sleep(0.001)
    start_response('200 OK', [])
    return [b'met']
";

const GEVENT: &str = "from gevent import monkey\nmonkey.patch_all()\n";
const EVENTLET: &str = "import eventlet\neventlet.monkey_patch()\n";

const PATCHES: [(&str, &str); 3] = [
    ("gevent", GEVENT),
    (
        "gevent",
        "from gevent import monkey\nmonkey.patch_all()\nimport gevent\ngevent.sleep(0.001)\n",
    ),
    ("eventlet", EVENTLET),
];

#[test]
fn a_patched_application_runs_in_the_main_thread_and_nothing_hangs() {
    on_every_python(|python| {
        let python = greenhouse(python);
        for (library, patch) in PATCHES {
            for (threads, preload) in [(4, true), (4, false), (1, true)] {
                eprintln!("{patch}{threads} threads, preload {preload}");
                let app = format!("{patch}{WAITING}");
                let plan = Plan::new(&python, &app).threads(threads);
                let (_zygote, mut worker) = Worker::ready(&if preload { plan.preload() } else { plan });
                let mut link = worker.link();
                let streams: Vec<u32> = (1..=2 * threads).collect();
                for &stream in &streams {
                    link.ask(stream, Ask::get("/wait"));
                }
                let answers = link.answers(&streams);
                let ran: HashSet<String> = answers.values().map(|answer| answer.text()).collect();
                let printed = worker.stderr.lock().expect("no panic").clone();
                let main = worker.pid.as_raw_nonzero().to_string();
                assert_eq!(ran, HashSet::from([main]), "{printed}");
                if !preload {
                    assert!(printed.contains(&format!("green = \"{library}\"")), "{printed}");
                }
                worker.tell(&ToWorker::Drain { within_ms: 30_000 });
                assert_eq!(worker.wait(), Some(0));
            }
        }
    });
}

#[test]
fn a_patched_application_runs_as_many_requests_at_a_time_as_it_has_threads() {
    on_every_python(|python| {
        let python = greenhouse(python);
        for ((library, patch), preload) in PATCHES.into_iter().zip([true, false, false]) {
            eprintln!("{patch}preload {preload}");
            let app = format!("{patch}{MEETING}");
            let plan = Plan::new(&python, &app).threads(4);
            let (_zygote, worker) = Worker::ready(&if preload { plan.preload() } else { plan });
            let mut link = worker.link();
            let streams: Vec<u32> = (1..=8).collect();
            for &stream in &streams {
                link.ask(stream, Ask::get("/meet"));
            }
            for (stream, answer) in link.answers(&streams) {
                assert_eq!(answer.text(), "met", "{library}, {stream}");
            }
        }
    });
}

#[test]
fn what_the_import_began_runs_while_there_are_no_requests() {
    on_every_python(|python| {
        let python = greenhouse(python);
        for (patch, begin, threads, preload) in BEGINNINGS {
            eprintln!("{patch}{begin}\n{threads} threads, preload {preload}");
            let app = format!("{patch}{}", BACKGROUND.replace("BEGIN", begin));
            let plan = Plan::new(&python, &app).threads(threads);
            let (_zygote, worker) = Worker::ready(&if preload { plan.preload() } else { plan });
            let mut link = worker.link();
            let mut stream = 0;
            until("it has run", || {
                stream += 1;
                std::thread::sleep(std::time::Duration::from_millis(20));
                link.get(stream, "/").text().parse::<u32>().expect("a number") > 5
            });
        }
    });
}
