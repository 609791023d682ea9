//! Uploads that an old proxy still receives when the workers of its generation have left.

use std::{sync::Arc, time::Duration};

use crate::harness::{
    Connection, Site,
    certificate::Certificate,
    http2::{self, DATA, HEADERS, Http2},
    wait_for,
};

/// Bytes of half of a body; over HTTP/2 both halves fit in the first window.
const HALF: usize = 20_000;

/// One listener for each version of HTTP.
const LISTENERS: &str = r#"
    [tls]
    certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]
    [[listener]]
    address = "127.0.0.1:{port}"
    [[listener]]
    address = "127.0.0.1:{tls_port}"
    tls = true
"#;

/// A request to `/` or below of which only the head and a part of the body are sent.
enum Upload {
    Sized(Connection),
    Chunked(Connection),
    Http2(Http2),
}

impl Upload {
    /// One of each kind.
    fn begin_all(site: &Site, client: &Arc<rustls::ClientConfig>) -> Vec<Self> {
        let mut http2 = Http2::open(site.tls_port, client);
        let fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/"),
        ];
        // END_HEADERS, and no END_STREAM.
        http2.send(HEADERS, 4, 1, &http2::block(&fields));
        http2.send(DATA, 0, 1, &[b'1'; HALF / 2]);
        http2.send(DATA, 0, 1, &[b'1'; HALF / 2]);
        let mut chunked = site.connect();
        let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        chunked.send(head).unwrap();
        chunked
            .send([format!("{HALF:x}\r\n").as_bytes(), &[b'1'; HALF], b"\r\n"].concat())
            .unwrap();
        vec![
            Self::begin(site, "POST", "/"),
            Self::Chunked(chunked),
            Self::Http2(http2),
        ]
    }

    /// One of which the length is told.
    fn begin(site: &Site, method: &str, target: &str) -> Self {
        let mut client = site.connect();
        let length = 2 * HALF;
        client
            .send(format!(
                "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
            ))
            .unwrap();
        client.send([b'1'; HALF]).unwrap();
        Self::Sized(client)
    }

    /// Sends the rest; gives the status and the body of the answer.
    fn end(self) -> (u16, String) {
        let rest = [b'2'; HALF];
        match self {
            Self::Sized(mut client) => {
                client.send(rest).unwrap();
                let answer = client.read_response("POST").unwrap();
                (answer.status, answer.text())
            }
            Self::Chunked(mut client) => {
                let size = format!("{HALF:x}\r\n");
                client
                    .send([size.as_bytes(), &rest, b"\r\n0\r\n\r\n"].concat())
                    .unwrap();
                let answer = client.read_response("POST").unwrap();
                (answer.status, answer.text())
            }
            Self::Http2(mut client) => {
                client.send(DATA, 0, 1, &rest[..HALF / 2]);
                client.send(DATA, 1, 1, &rest[HALF / 2..]);
                let head = client.next(HEADERS).payload;
                let body = client.next(DATA).payload;
                // `:status: 200` is the eighth entry of HPACK's table.
                let status = if head.first() == Some(&0x88) { 200 } else { 0 };
                (status, String::from_utf8(body).unwrap())
            }
        }
    }
}

/// An application of either interface that answers with this word and with what it was sent.
fn say(site: &Site, word: &str) {
    let code = r#"
def told(body):
    return ('WORD %d %d' % (body.count(b'1'), body.count(b'2'))).encode()

def application(environ, start_response):
    body = told(environ['wsgi.input'].read())
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]

async def asynchronous(scope, receive, send):
    body, more = b'', True
    while more:
        event = await receive()
        body, more = body + event.get('body', b''), event.get('more_body', False)
    body = told(body)
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'%d' % len(body))]})
    await send({'type': 'http.response.body', 'body': body})
"#;
    site.write("app/a.py", code.replace("WORD", word));
}

/// `[app.NAME]` with these keys.
fn app(name: &str, keys: &str) -> String {
    format!(
        "[app.{name}]\ndirectory = \"app\"\npython = \"{{python}}\"\nworkers = 1\ntimeout.drain = \"500ms\"\n{keys}\n"
    )
}

fn reload(site: &Site, generation: u32) {
    site.signal("HUP");
    site.wait_for_log(&format!(" serving generation={generation} "));
}

/// Waits until the workers of old generations have left.
fn workers_left(site: &Site, count: usize) {
    wait_for("the old workers are gone", || {
        (site.processes_named("worker ").len() == count).then_some(())
    });
}

#[test]
fn uploads_that_outlast_their_workers_are_answered_by_new_code_through_several_reloads() {
    let mut site = Site::new("uploads");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    let client = http2::client(&certificate);
    let route = "[[site]]\nhttps = \"off\"\napp = \"web\"\n";
    let config = |keys: &str| LISTENERS.to_owned() + &app("web", keys) + route;
    say(&site, "1");
    site.config(&config("wsgi = \"a\""));
    site.start();
    let mut uploads = Upload::begin_all(&site, &client);
    // Imported in the zygote or in each worker, by threads or by a loop: what was begun with one is ended with another.
    for (generation, keys) in [
        (2, "asgi = \"a:asynchronous\"\npreload = false"),
        (3, "wsgi = \"a\"\npreload = false\nthreads = 1"),
    ] {
        say(&site, &"x".repeat(generation as usize));
        site.config(&config(keys));
        reload(&site, generation);
        workers_left(&site, 1);
        // One of each old proxy at a time, while another generation serves.
        let now = Upload::begin_all(&site, &client);
        assert_eq!(
            uploads.remove(0).end(),
            (200, format!("{} {HALF} {HALF}", "x".repeat(generation as usize)))
        );
        uploads.extend(now);
    }
    say(&site, "last");
    reload(&site, 4);
    workers_left(&site, 1);
    assert_eq!(uploads.len(), 7);
    for upload in uploads {
        assert_eq!(upload.end(), (200, format!("last {HALF} {HALF}")));
    }
    wait_for("one proxy is left", || {
        (site.processes_named("proxy").len() == 1).then_some(())
    });
    assert!(site.stop().success());
    let records = site.records(9);
    assert!(
        records.iter().all(|record| record["status"] == 200),
        "{records:#?}"
    );
}

#[test]
fn what_comes_late_in_a_drain_goes_to_new_workers_while_the_old_ones_end_what_they_run() {
    let mut site = Site::new("uploads-late");
    let code = r#"
import os, time

def application(environ, start_response):
    body = environ['wsgi.input'].read()
    if environ['PATH_INFO'] == '/wait':
        open('../begun', 'w').write('it runs\n')
        while not os.path.exists('../gate'):
            time.sleep(0.01)
    start_response('200 OK', [])
    return [b'WORD %d' % len(body)]
"#;
    site.write("app/a.py", code.replace("WORD", "1"));
    site.config(&(app("web", "wsgi = \"a\"").replace("500ms", "8s") + "[[site]]\napp = \"web\"\n"));
    site.start();
    let waiting = Upload::begin(&site, "POST", "/wait");
    let uploads: Vec<_> = (0..12).map(|_| Upload::begin(&site, "POST", "/")).collect();
    let waiting = std::thread::spawn(move || waiting.end());
    site.lines_of("begun", 1);
    site.write("app/a.py", code.replace("WORD", "two"));
    reload(&site, 2);
    site.wait_for_log("new workers take what the old proxy still receives app=web generation=1");
    // The proxy hears of it a moment after the log has it; from then on no old worker gets anything.
    let answers: Vec<_> = uploads
        .into_iter()
        .map(|upload| {
            std::thread::sleep(Duration::from_millis(20));
            upload.end()
        })
        .skip_while(|answer| *answer == (200, format!("1 {}", 2 * HALF)))
        .collect();
    assert!(!answers.is_empty(), "the old worker got them all");
    for answer in answers {
        assert_eq!(answer, (200, format!("two {}", 2 * HALF)));
    }
    site.write("gate", "");
    assert_eq!(waiting.join().unwrap(), (200, format!("1 {}", 2 * HALF)));
    assert!(site.stop().success());
}

#[test]
fn an_upload_outlasts_the_death_of_new_workers_and_ends_within_a_stop_but_not_without_its_app() {
    let mut site = Site::new("uploads-lost");
    site.expect_error("worker died");
    let route = "[[site]]\napp = \"web\"\n";
    let gone = "[[site.route]]\npath = \"/gone/\"\napp = \"gone\"\n";
    say(&site, "1");
    site.config(&(app("web", "wsgi = \"a\"") + &app("gone", "wsgi = \"a\"") + route + gone));
    site.start();
    let mut uploads: Vec<_> = (0..3).map(|_| Upload::begin(&site, "POST", "/")).collect();
    let lost = Upload::begin(&site, "POST", "/gone/");
    site.config(&(app("web", "wsgi = \"a\"").replace("500ms", "60s") + route));
    say(&site, "two");
    reload(&site, 2);
    workers_left(&site, 1);
    assert_eq!(lost.end().0, 503);
    let whole = (200, format!("two {HALF} {HALF}"));
    assert_eq!(uploads.remove(0).end(), whole);

    // The one that stood in dies, and the next one does.
    let [worker] = &site.processes_named("worker web")[..] else {
        panic!("one worker")
    };
    worker.signal("KILL");
    assert_eq!(uploads.remove(0).end(), whole);

    // A stop gives what runs the drain timeout of its app, and so what an old proxy still receives.
    site.signal("TERM");
    site.wait_for_log("stopping");
    assert_eq!(uploads.remove(0).end(), whole);
    assert!(site.wait().success());
}
