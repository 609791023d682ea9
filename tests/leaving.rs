//! How workers leave: the lifespan's shutdown, and what still runs when the time of a drain is over.

use std::{fs, io::ErrorKind};

use crate::harness::{
    Site,
    app::of_app,
    certificate::Certificate,
    client::request_bytes,
    http2::{self, GET, HEADERS, Http2},
    python,
};

/// A lifespan whose shutdown does what `SHUTDOWN` says, and requests that never end.
const ASGI: &str = r#"
import asyncio, os

async def slow():
    await asyncio.sleep(3)

async def hanging():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("the shutdown hears of its end and goes on", flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("the shutdown begins", flush=True)
        await globals()[os.environ.get("SHUTDOWN", "slow")]()
        print("the shutdown ends", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % os.getpid()})
        return
    try:
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        else:
            open(os.environ["GATE"] + "/hanging", "w").write("now\n")
        await asyncio.Event().wait()
    finally:
        print("ended " + scope["path"], flush=True)
"#;

/// The same for WSGI: a stream and a request without an answer, which end only when something is raised in them.
const WSGI: &str = r#"
import os, time

def endless(path):
    try:
        while True:
            time.sleep(0.05)
    finally:
        print("ended " + path, flush=True)

def stream():
    yield b"first\n"
    endless("/stream")

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hang":
        open(os.environ["GATE"] + "/hanging", "w").write("now\n")
        endless(path)
    start_response("200 OK", [])
    if path == "/stream":
        return stream()
    return [b"%d" % os.getpid()]
"#;

/// A started site of [`ASGI`].
fn asgi(test: &str, environment: &str, more: &str) -> Site {
    let mut site = Site::new(test);
    let keys = format!("asgi = \"main:app\"\nworkers = 1\nenv = {{ GATE = \"{{dir}}\", {environment} }}");
    site.config(&of_app("", &keys, more).replace("{apps}/", "app"));
    site.write("app/main.py", ASGI);
    site.start();
    site
}

/// A started site of [`WSGI`].
fn wsgi(test: &str, keys: &str, more: &str) -> Site {
    let mut site = Site::new(test);
    let keys = format!("wsgi = \"main\"\nworkers = 1\n{keys}");
    site.config(&of_app("", &keys, more).replace("{apps}/", "app"));
    site.write("app/main.py", WSGI);
    site.start();
    site
}

/// Waits until a worker has left, in this way.
#[track_caller]
fn left(site: &Site, cause: &str) {
    site.wait_for_log("worker left");
    let log = site.error_log();
    let told = log.lines().find(|line| line.contains("worker left")).unwrap();
    assert!(told.contains(cause), "{told}");
}

#[test]
fn a_slow_shutdown_of_the_lifespan_ends_before_a_stop_does() {
    let mut site = asgi("lifespan-stop", "", "");
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.stop().code(), Some(0));
    site.wait_for_log("the shutdown ends");
    left(&site, "exited with code 0");
}

#[test]
fn a_slow_shutdown_of_the_lifespan_ends_behind_a_reload() {
    let mut site = asgi("lifespan-reload", "", "");
    site.signal("HUP");
    site.wait_for_log("the shutdown begins");
    // The new generation serves meanwhile.
    assert_eq!(site.get("/").status, 200);
    left(&site, "exited with code 0");
    assert_eq!(site.error_log().matches("the shutdown ends").count(), 1);
    assert!(site.stop().success());
}

#[test]
fn a_shutdown_that_hangs_is_given_up_and_told_while_the_grace_goes_on() {
    for signal in ["TERM", "HUP"] {
        // Nobody would wait for the end of this grace.
        let more = "[app.web.timeout]\nshutdown = \"1s\"\n[server]\ngrace = \"1h\"";
        let mut site = asgi("lifespan-hangs", "SHUTDOWN = \"hanging\"", more);
        site.signal(signal);
        site.wait_for_log("the lifespan's shutdown has not ended after 1 s (timeout.shutdown)");
        site.wait_for_log("the shutdown hears of its end and goes on");
        left(&site, "exited with code 0");
        assert!(!site.error_log().contains("the shutdown ends"), "{signal}");
        let ended = if signal == "HUP" { site.stop() } else { site.wait() };
        assert!(ended.success(), "{signal}");
    }
}

/// A reload of a site with a stream and a request that hangs, whose drain timeout is over long before the grace.
fn past_the_drain(mut site: Site, ended: &[&str]) {
    let old = site.get("/").text();
    let mut client = site.connect();
    client.send(request_bytes("GET", "/stream", &[], b"")).unwrap();
    client.read_head().unwrap();
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"first\n"[..]));
    let hanging = site.beside("/hang");
    site.lines_of("hanging", 1);
    site.signal("HUP");
    // It does not look as if the application had ended it.
    let end = client.read_chunk().map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::UnexpectedEof));
    assert_eq!(hanging.join().unwrap().status, 502);
    for path in ["/stream", "/hang"] {
        site.wait_for_log(&format!("ended {path}"));
        for text in ended {
            site.wait_for_log(&format!("GET {path}: {text}"));
        }
    }
    left(&site, "exited with code 0");
    assert_ne!(site.get("/").text(), old);
    let mut outcomes: Vec<_> = site
        .records(4)
        .iter()
        .filter(|record| record["target"] != "/")
        .map(|record| ["target", "status", "outcome"].map(|field| record[field].to_string()))
        .collect();
    outcomes.sort();
    assert_eq!(
        outcomes,
        [
            ["\"/hang\"", "502", "\"shutdown\""],
            ["\"/stream\"", "200", "\"shutdown\""],
        ]
    );
    assert!(site.stop().success());
}

const SHORT_DRAIN: &str = "[app.web.timeout]\ndrain = \"1s\"\n[server]\ngrace = \"1h\"";

#[test]
fn the_drain_timeout_ends_what_an_event_loop_still_runs_though_the_grace_goes_on() {
    let site = asgi("drain-asgi", "", SHORT_DRAIN);
    past_the_drain(site, &["still runs at the end of the drain, and is cancelled"]);
}

#[test]
fn the_drain_timeout_ends_what_greenlets_still_run_though_the_grace_goes_on() {
    for library in ["gevent", "eventlet"] {
        let venv = python::virtualenv(python::python(), &[library]);
        let keys = format!("green = \"{library}\"\nvenv = \"{}\"", venv.display());
        let site = wsgi("drain-green", &keys, SHORT_DRAIN);
        past_the_drain(
            site,
            &["still runs at the end of the drain, and is ended; it stands at"],
        );
    }
}

#[test]
fn the_drain_timeout_ends_what_threads_still_run_though_the_grace_goes_on() {
    let site = wsgi("drain-threads", "threads = 3", SHORT_DRAIN);
    past_the_drain(
        site,
        &["still ran when its time was over, and was interrupted; it stood at"],
    );
}

/// Requests of every kind that a stop finds, over both protocols.
#[test]
fn what_a_stop_cuts_has_not_lost_its_client() {
    const TLS: &str = r#"
        [server]
        grace = "1s"
        [tls]
        certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]
        [[listener]]
        address = "127.0.0.1:{tls_port}"
        tls = true
        [[listener]]
        address = "127.0.0.1:{port}"
    "#;
    for signal in ["TERM", "INT"] {
        let mut site = Site::new("stop-cuts");
        let certificate = Certificate::new(&["localhost"]);
        certificate.write(&site.directory, "localhost");
        let keys = "wsgi = \"main\"\nworkers = 1\nthreads = 4";
        let config = of_app("", keys, TLS).replace("{apps}/", "app");
        site.config(&config.replace("[[site]]", "[[site]]\nhttps = \"off\""));
        site.write("app/main.py", WSGI);
        site.start();
        let asked = ["/hang", "/stream", "/upload", "/stream"];
        let mut clients = asked.map(|_| site.connect());
        for (client, target) in clients.iter_mut().zip(&asked[..2]) {
            client.send(request_bytes("GET", target, &[], b"")).unwrap();
        }
        site.lines_of("hanging", 1);
        clients[1].read_head().unwrap();
        let upload = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
        clients[2].send(upload).unwrap();
        // Its head never ends.
        clients[3].send("GET /half HTTP/1.1\r\nHost: a\r\n").unwrap();
        let mut http2 = Http2::open(site.tls_port, &http2::client(&certificate));
        http2.request(1, &[&GET[..3], &[(":path", "/stream?h2")]].concat());
        http2.next(HEADERS);
        site.signal(signal);
        assert!(site.wait().success());
        let mut told: Vec<_> = site
            .records(5)
            .iter()
            .map(|record| {
                ["target", "status", "outcome"].map(|field| record[field].to_string().replace('"', ""))
            })
            .collect();
        told.sort();
        let stopped = |target: &str, status: &str| [target, status, "shutdown"].map(str::to_owned);
        // Its worker may have been ended before the client's connection is.
        if told[0][1] == "502" {
            told[0][1] = "503".to_owned();
        }
        assert_eq!(
            told,
            [
                stopped("/hang", "503"),
                stopped("/stream", "200"),
                stopped("/stream?h2", "200"),
                stopped("/upload", "503"),
                // The head that did not end.
                stopped("null", "503"),
            ],
            "{signal}"
        );
    }
}

#[test]
fn greenlets_that_never_end_are_ended_when_the_grace_is_over_and_their_worker_leaves_by_itself() {
    for library in ["gevent", "eventlet"] {
        let venv = python::virtualenv(python::python(), &[library]);
        let keys = format!("green = \"{library}\"\nvenv = \"{}\"", venv.display());
        let mut site = wsgi("grace-green", &keys, "[server]\ngrace = \"1s\"");
        let mut hanging = site.connect();
        hanging.send(request_bytes("GET", "/hang", &[], b"")).unwrap();
        site.lines_of("hanging", 1);
        assert!(site.stop().success());
        left(&site, "exited with code 0");
        site.wait_for_log("GET /hang: still runs at the end of the drain, and is ended; it stands at");
        site.wait_for_log("ended /hang");
        assert_eq!(site.records(1).len(), 1);
    }
}

#[test]
fn a_worker_that_still_imports_holds_up_neither_a_reload_nor_a_stop() {
    let mut site = Site::new("leaving-import");
    site.expect_error("worker died");
    site.write(
        "app/wsgi.py",
        "import os, time\nif os.path.exists('../slow'):\n    print('imports for long', flush=True)\n    time.sleep(1000)\n\
         def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n",
    );
    let keys = "workers = 1\npreload = false\ntimeout.boot = \"10m\"\ntimeout.drain = \"10m\"";
    site.config(&(of_app("", keys, "").replace("{apps}/", "app") + "[server]\ngrace = \"10m\"\n"));
    site.start();
    let import_for_long = |site: &Site, times: usize| {
        site.write("slow", "");
        site.processes_at_least("worker web", 1)[0].signal("KILL");
        site.wait_for_log_times("imports for long", times);
        fs::remove_file(site.directory.join("slow")).unwrap();
    };
    import_for_long(&site, 1);
    site.signal("HUP");
    site.wait_for_log("serving generation=2");
    site.wait_for_log("cause=\"killed by us (SIGKILL): it was not ready yet\"");
    assert_eq!(site.get("/").text(), "hello");

    import_for_long(&site, 2);
    assert!(site.stop().success());
}
