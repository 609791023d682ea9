//! Startup and shutdown of ASGI applications.

use std::path::Path;

use wire::{
    control::{FromWorker, ToWorker},
    frame::AbortReason,
};

use crate::{
    link::Ask,
    rig::{Plan, Worker, Zygote, on_every_python, until},
};

const APP: &str = "
import asyncio
async def app(scope, receive, send):
    if scope['type'] == 'lifespan':
        assert (await receive())['type'] == 'lifespan.startup'
        await asyncio.sleep(0.01)
        scope['state']['count'] = [7]
        print('started')
        await send({'type': 'lifespan.startup.complete'})
        assert (await receive())['type'] == 'lifespan.shutdown'
        await asyncio.sleep(0.01)
        print('stopped')
        await send({'type': 'lifespan.shutdown.complete'})
        return
    scope['state']['mine'] = 1
    await send({'type': 'http.response.start', 'status': 200})
    await send({'type': 'http.response.body', 'body': repr(scope['state']).encode()})
";

fn failure(python: &Path, app: &str, lifespan: &str) -> (String, String, String) {
    let zygote = Zygote::start(&Plan::asgi(python, app).lifespan(lifespan));
    zygote.hear();
    let worker = zygote.fork(0);
    match worker.hear() {
        Some(FromWorker::Failed {
            step,
            message,
            traceback,
        }) => (step, message, traceback),
        other => panic!("{other:?}"),
    }
}

#[test]
fn startup_comes_before_ready_and_shutdown_before_the_end() {
    on_every_python(|python| {
        for lifespan in ["auto", "on"] {
            let (_zygote, mut worker) = Worker::ready(&Plan::asgi(python, APP).lifespan(lifespan));
            let mut link = worker.link();
            for stream in 1..3 {
                assert_eq!(link.get(stream, "/").text(), "{'count': [7], 'mine': 1}");
            }
            worker.tell(&ToWorker::Drain { within_ms: 30_000 });
            assert_eq!(worker.wait(), Some(0));
            let printed = worker.stdout.lock().expect("no panic").clone();
            assert_eq!(printed, "started\nstopped\n");
        }
    });
}

#[test]
fn a_request_whose_task_can_not_be_made_does_not_keep_its_worker_from_leaving() {
    on_every_python(|python| {
        let app = "
import asyncio
made = asyncio.Task
def task(*arguments, **options):
    asyncio.Task = made
    if not failed:
        failed.append(True)
        raise RuntimeError('no task today')
    return made(*arguments, **options)
failed = []
asyncio.Task = task
async def app(scope, receive, send):
    await send({'type': 'http.response.start', 'status': 200})
    await send({'type': 'http.response.body', 'body': b'fine'})
";
        let (_zygote, mut worker) = Worker::ready(&Plan::asgi(python, app).lifespan("off"));
        let mut link = worker.link();
        link.ask(1, Ask::get("/"));
        assert_eq!(link.answers(&[1])[&1].aborted, Some(AbortReason::Exception));
        assert_eq!(link.get(2, "/").text(), "fine");
        // Nobody waits that long.
        worker.tell(&ToWorker::Drain { within_ms: 3_600_000 });
        assert_eq!(worker.wait(), Some(0));
        let told = worker.stderr.lock().expect("no panic").clone();
        assert!(told.contains("no task today"), "{told}");
    });
}

#[test]
fn off_says_nothing_of_it() {
    on_every_python(|python| {
        let app = "
async def app(scope, receive, send):
    assert scope['type'] == 'http'
    await send({'type': 'http.response.start', 'status': 200})
    await send({'type': 'http.response.body', 'body': repr('state' in scope).encode()})
";
        let (_zygote, worker) = Worker::ready(&Plan::asgi(python, app).lifespan("off"));
        assert_eq!(worker.link().get(1, "/").text(), "False");
        assert_eq!(worker.stderr.lock().expect("no panic").as_str(), "");
    });
}

#[test]
fn a_startup_that_fails_fails_the_boot() {
    let failed = "
async def app(scope, receive, send):
    await receive()
    await send({'type': 'lifespan.startup.failed', 'message': 'Traceback\\nno database'})
";
    let raises = "
async def app(scope, receive, send):
    raise ValueError('no lifespan here')
";
    let returns = "
async def app(scope, receive, send):
    pass
";
    on_every_python(|python| {
        for lifespan in ["auto", "on"] {
            let (step, message, traceback) = failure(python, failed, lifespan);
            assert_eq!(step, "lifespan");
            assert!(message.ends_with("startup.failed: no database"), "{message}");
            assert!(traceback.contains("Traceback"), "{traceback}");
        }
        let (step, message, traceback) = failure(python, raises, "on");
        assert_eq!(step, "lifespan");
        assert!(message.contains("ValueError: no lifespan here"), "{message}");
        assert!(traceback.contains("app.py\", line 3"), "{traceback}");
        let (_, message, _) = failure(python, returns, "on");
        assert!(message.contains("lifespan = \"off\""), "{message}");
        for app in [raises, returns] {
            let (_zygote, _worker) = Worker::ready(&Plan::asgi(python, app));
        }
    });
}

#[test]
fn a_shutdown_that_does_not_end_is_not_waited_for_for_ever() {
    on_every_python(|python| {
        let app = "
import asyncio
async def app(scope, receive, send):
    await receive()
    await send({'type': 'lifespan.startup.complete'})
    await receive()
    await asyncio.sleep(1000)
";
        let (_zygote, mut worker) = Worker::ready(&Plan::asgi(python, app));
        worker.tell(&ToWorker::Drain { within_ms: 30_000 });
        assert_eq!(worker.wait(), Some(0));
        until("it is told", || {
            let told = worker.stderr.lock().expect("no panic");
            told.contains("shutdown has not ended after 1 s")
        });
    });
}

#[test]
fn requests_that_never_end_are_cancelled_when_a_drain_is_over_and_the_lifespan_ends_behind_them() {
    let app = "
import asyncio
async def app(scope, receive, send):
    if scope['type'] == 'lifespan':
        await receive()
        await send({'type': 'lifespan.startup.complete'})
        await receive()
        await asyncio.sleep(0.01)
        print('stopped')
        await send({'type': 'lifespan.shutdown.complete'})
        return
    await send({'type': 'http.response.start', 'status': 200})
    if scope['path'] == '/background':
        await send({'type': 'http.response.body', 'body': b'early'})
    while True:
        try:
            await send({'type': 'http.response.body', 'body': b'x', 'more_body': True})
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            print('cancelled', scope['path'])
            if scope['path'] != '/stubborn':
                raise
";
    on_every_python(|python| {
        let (_zygote, mut worker) = Worker::ready(&Plan::asgi(python, app));
        let mut link = worker.link();
        assert_eq!(link.get(1, "/background").text(), "early");
        link.ask(2, Ask::get("/stream"));
        link.ask(3, Ask::get("/stubborn"));
        until("they run", || link.claimed(2) && link.claimed(3));
        worker.tell(&ToWorker::Drain { within_ms: 100 });
        assert_eq!(worker.wait(), Some(0));
        let mut lines: Vec<String> = Vec::new();
        until("the end is printed", || {
            lines = worker
                .stdout
                .lock()
                .expect("no panic")
                .lines()
                .map(str::to_owned)
                .collect();
            lines.iter().any(|line| line == "stopped")
        });
        for (id, path) in [(1, "/background"), (2, "/stream"), (3, "/stubborn")] {
            let cancelled = lines
                .iter()
                .position(|line| *line == format!("\u{1e}id{id}\u{1f}cancelled {path}"));
            let stopped = lines.iter().position(|line| line == "stopped");
            assert!(cancelled.is_some() && cancelled < stopped, "{lines:?}");
            let told = worker.stderr.lock().expect("no panic").clone();
            let line = format!("\u{1e}id{id}\u{1f}GET {path}: still runs at the end of the drain");
            assert!(told.contains(&line), "{told}");
        }
    });
}
