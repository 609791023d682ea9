//! The engine in every interpreter that is found: building an environ, and whole requests over one link.
#![allow(clippy::print_stdout, reason = "a benchmark tells its numbers there")]

#[path = "../../../tests/harness/interpreter.rs"]
mod interpreter;
#[path = "../tests/engine/link.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod link;
#[path = "../tests/engine/rig.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod rig;

use std::{path::Path, process::Command, time::Instant};

use link::{Ask, Link};
use rig::{Plan, Worker};

const APP: &str = "
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '5')])
    return [b'hello']
";

const ASGI_APP: &str = "
async def application(scope, receive, send):
    await send({'type': 'http.response.start', 'status': 200,
                'headers': [(b'content-type', b'text/plain'), (b'content-length', b'5')]})
    await send({'type': 'http.response.body', 'body': b'hello'})
";

/// Requests in flight.
const WINDOW: u32 = 32;

const REQUESTS: u32 = 200_000;

fn main() {
    for python in rig::pythons() {
        println!("{}", python.display());
        println!("  environ: {} ns", building(&python, "environ"));
        println!("  scope: {} ns", building(&python, "scope"));
        for threads in [1, 4] {
            println!(
                "  {threads} thread(s), {WINDOW} in flight: {} requests/s",
                hop(&Plan::new(&python, APP).threads(threads))
            );
        }
        for event_loop in ["asyncio", "auto"] {
            println!(
                "  ASGI, loop = {event_loop}, {WINDOW} in flight: {} requests/s",
                hop(&Plan::asgi(&python, ASGI_APP).event_loop(event_loop))
            );
        }
    }
}

fn building(python: &Path, what: &str) -> String {
    let code = format!(
        "import importlib.machinery as m, importlib.util as u
l = m.ExtensionFileLoader('appliance_worker', {:?})
e = u.module_from_spec(u.spec_from_file_location('appliance_worker', l.path, loader=l))
l.exec_module(e)
print(round(min(e._bench_{what}(100_000) for _ in range(7))))",
        rig::engine().display()
    );
    let told = Command::new(python)
        .args(["-c", &code])
        .output()
        .expect("an interpreter");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8_lossy(&told.stdout).trim().to_owned()
}

/// Keeps [`WINDOW`] requests in flight.
fn hop(plan: &Plan<'_>) -> u32 {
    let (_zygote, worker) = Worker::ready(plan);
    let mut link = worker.link();
    let began = Instant::now();
    let streams: Vec<u32> = (0..WINDOW).collect();
    ask(&link, &streams);
    let (mut asked, mut answered) = (WINDOW, 0);
    while answered < REQUESTS {
        // All that one reading brought is asked for again at once, as the proxy does.
        let mut free = vec![link.frame().expect("an answer").0.stream];
        while let Some((header, _, _)) = link.buffered() {
            free.push(header.stream);
        }
        answered += u32::try_from(free.len()).expect("few");
        free.truncate(usize::try_from(REQUESTS - asked).expect("few"));
        asked += u32::try_from(free.len()).expect("few");
        ask(&link, &free);
    }
    (f64::from(REQUESTS) / began.elapsed().as_secs_f64()) as u32
}

fn ask(link: &Link, streams: &[u32]) {
    let mut out = Vec::new();
    for &stream in streams {
        link.put(&mut out, stream, &Ask::get("/"));
    }
    if !out.is_empty() {
        rig::send(&link.socket, &out, &[]);
    }
}
