//! What an import leaves that workers can share, and what they cannot.

use std::path::Path;

use wire::control::{FromWorker, FromZygote};

use crate::rig::{Plan, Zygote, on_every_python, until};

/// Tells who imported it, and whether what the import left can be used.
const TELL: &str = "
import os
IMPORTER = os.getpid()
def use():
    return True
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'%d %s' % (IMPORTER, str(use()).encode())]
";

/// What is left by an application that does this before it defines the rest: the zygote's word, and whether
/// the worker has imported it itself. The worker prints `place`.
fn left(python: &Path, imports: &str, place: &str) -> (String, bool) {
    let app = format!("{imports}\n{TELL}");
    let app = match imports.split_once("# use\n") {
        Some((before, used)) => format!("{before}{TELL}{used}"),
        None => app,
    };
    let zygote = Zygote::start(&Plan::new(python, &app).preload());
    let told = zygote.hear();
    let FromZygote::Ready { unshared, .. } = told else {
        panic!("{told:?}")
    };
    let worker = zygote.fork(0);
    let told = worker.hear();
    assert!(matches!(told, Some(FromWorker::Ready { .. })), "{told:?}");
    let text = worker.link().get(1, "/").text();
    let (importer, works) = text.split_once(' ').expect("two words");
    assert_eq!(works, "True", "{imports}");
    let own = importer == worker.pid.as_raw_nonzero().to_string();
    assert_eq!(own, !unshared.is_empty(), "{imports}: {unshared}");
    until(&format!("{place:?} is printed for {imports}"), || {
        worker.stderr.lock().expect("no panic").contains(place)
    });
    (unshared, own)
}

#[test]
fn what_belongs_to_one_process_is_named_with_its_place_and_imported_by_each_worker() {
    on_every_python(|python| {
        for (imports, kind, place) in [
            (
                "import socket\nlistener = socket.create_server(('127.0.0.1', 0))\n\
                 one = socket.create_connection(listener.getsockname())\nother = listener.accept()[0]\n# use\n\
                 def use():\n    one.sendall(b'x')\n    return other.recv(9) == b'x'\n",
                "a connection to 127.0.0.1:",
                "app.py:3 opened a connection to 127.0.0.1:",
            ),
            (
                "import socket\ndef pair():\n    return socket.socketpair()\none, other = pair()\n# use\n\
                 def use():\n    one.sendall(b'x')\n    return other.recv(9) == b'x'\n",
                "a pair of sockets (2 times)",
                "app.py:3 opened a pair of sockets",
            ),
            (
                "import socket\none, other = socket.socketpair(type=socket.SOCK_DGRAM)\n",
                "a pair of sockets (2 times)",
                "app.py:2 opened a pair of sockets",
            ),
            (
                "import socket\nlater = socket.socket()\n",
                "a stream socket that is not connected",
                "app.py:2 opened",
            ),
            (
                "import ctypes\n\n\nevent = ctypes.CDLL(None).eventfd(0, 0)\n",
                "an eventfd",
                "app.py:4 opened an eventfd",
            ),
            (
                "import select\npoller = select.epoll()\n",
                "an epoll set",
                "app.py:2 opened an epoll set",
            ),
            (
                "import asyncio\nloop = asyncio.new_event_loop()\n# use\n\
                 def use():\n    return loop.run_until_complete(asyncio.sleep(0, True))\n",
                "an epoll set",
                "app.py:2 opened",
            ),
            (
                "import subprocess\nhelper = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n# use\n\
                 def use():\n    helper.stdin.write(b'x')\n    helper.stdin.flush()\n    return helper.stdout.read(1) == b'x'\n",
                "a pipe from another process",
                "app.py:2 opened a pipe",
            ),
        ] {
            let (unshared, _) = left(python, imports, place);
            assert!(unshared.contains(kind), "{imports}: {unshared}");
        }
    });
}

#[test]
fn what_several_processes_may_use_is_shared_as_it_is() {
    on_every_python(|python| {
        for imports in [
            "import socket\nhere = socket.socket(type=socket.SOCK_DGRAM)\nhere.bind(('127.0.0.1', 0))\n\
             there = socket.socket(type=socket.SOCK_DGRAM)\nthere.connect(here.getsockname())\n# use\n\
             def use():\n    there.send(b'x')\n    return here.recv(9) == b'x'\n",
            "import socket, os\nplace = 'socket-%d' % os.getpid()\nlog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
             log.bind(place)\nto = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\nto.connect(place)\n# use\n\
             def use():\n    to.send(b'x')\n    return log.recv(9) == b'x'\n",
            "import socket\nlistener = socket.create_server(('127.0.0.1', 0))\n# use\n\
             def use():\n    one = socket.create_connection(listener.getsockname())\n    return bool(listener.accept())\n",
            "import multiprocessing\nqueue = multiprocessing.SimpleQueue()\n# use\n\
             def use():\n    queue.put(True)\n    return queue.get()\n",
            "import subprocess\nover = subprocess.Popen(['true'], stdout=subprocess.PIPE)\nover.wait()\n",
            "import socket\nclass Cycle: pass\ncycle = Cycle()\ncycle.it = cycle\ncycle.sockets = socket.socketpair()\ndel cycle\n",
            "import tempfile\nlog = tempfile.TemporaryFile()\n# use\n\
             def use():\n    return log.write(b'x') == 1\n",
            "import os, threading\nleave = threading.Event()\nthread = threading.Thread(target=leave.wait)\nthread.start()\n\
             def stop():\n    leave.set()\n    thread.join()\nos.register_at_fork(before=stop)\n",
        ] {
            let (unshared, own) = left(python, imports, "");
            assert!(!own && unshared.is_empty(), "{imports}: {unshared}");
        }
    });
}

#[test]
fn threads_that_python_does_not_know_are_called_after_their_library() {
    on_every_python(|python| {
        let imports = "import ctypes, ctypes.util, threading\nlib = ctypes.CDLL(ctypes.util.find_library('z'))\n\
                       import _thread, time\n_thread.start_new_thread(time.sleep, (1000,))\n";
        let (unshared, _) = left(python, imports, "");
        assert!(unshared.starts_with("1 thread of "), "{unshared}");
        assert!(unshared.contains("python"), "{unshared}");
    });
}

#[test]
fn the_watch_over_an_import_is_over_before_the_first_request() {
    on_every_python(|python| {
        let imports = "import socket, sys\npair = socket.socketpair()\n# use\ndef use():\n    return sys.gettrace() is None\n";
        left(python, imports, "");
        let app = "import socket\npair = socket.socketpair()\n1/0\n";
        let zygote = Zygote::start(&Plan::new(python, app).preload());
        assert!(matches!(zygote.hear(), FromZygote::Failed { .. }));
        drop(zygote);
    });
}
