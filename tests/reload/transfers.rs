//! Long transfers, and everybody else, through reloads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::harness::{
    Connection, Site,
    app::of_app,
    certificate::Certificate,
    client::request_bytes,
    http2::{self, Http2},
    upstream::Upstream,
    wait_for,
};

/// More than all buffers of sockets on the way take.
const LARGE: usize = 40 << 20;

/// An answer that is read only in part, so that its server is not done with it.
struct Download {
    client: Connection,
    length: usize,
    got: usize,
}

impl Download {
    /// Begins it.
    fn begin(site: &Site, target: &str) -> Self {
        let mut client = site.connect();
        client.send(request_bytes("GET", target, &[], b"")).unwrap();
        let head = client.read_head().unwrap();
        assert_eq!(head.status, 200, "{target}");
        let length = head.header("content-length").unwrap().parse().unwrap();
        let got = client.read(&mut [0; 1024]).unwrap();
        Self { client, length, got }
    }

    /// Reads on up to its end; gives how much is missing.
    fn missing(mut self) -> usize {
        let mut buffer = vec![0; 1 << 16];
        while self.got < self.length {
            match self.client.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(len) => self.got += len,
            }
        }
        self.length - self.got
    }
}

/// A request of which only a part is sent.
struct Upload {
    client: Connection,
    target: &'static str,
}

/// Where the server behind the site gives back what it was sent.
const ECHO: &str = "/back/echo";

impl Upload {
    /// Bytes of half of the body.
    const HALF: usize = 1 << 19;

    fn begin(site: &Site, target: &'static str) -> Self {
        let mut client = site.connect();
        let length = (2 * Self::HALF).to_string();
        let head = request_bytes("POST", target, &[("Content-Length", &length)], b"");
        client.send(head).unwrap();
        client.send([b'u'; Self::HALF]).unwrap();
        Self { client, target }
    }

    /// Sends the rest.
    #[track_caller]
    fn end(mut self) {
        self.client.send([b'u'; Self::HALF]).unwrap();
        let answer = self.client.read_response("POST").unwrap();
        assert_eq!(answer.status, 200, "{}", self.target);
        if self.target == ECHO {
            assert_eq!(answer.body.len(), 2 * Self::HALF);
        }
    }
}

#[track_caller]
fn reload(site: &Site, generation: u32) {
    site.signal("HUP");
    site.wait_for_log(&format!(" serving generation={generation} "));
}

#[test]
fn what_no_worker_produces_any_more_outlives_a_reload_whatever_grace_and_drain_say() {
    let server = Upstream::tcp("back");
    let mut site = Site::new("transfers");
    site.write("app/wsgi.py", format!(
        "def application(environ, start_response):\n    start_response('200 OK', [('Content-Length', '{LARGE}')])\n    \
         return [b'x' * {LARGE}]\n"
    ));
    site.write("files/large", vec![b'x'; LARGE]);
    site.config(
        &(of_app(
            "",
            "workers = 1\n[app.web.timeout]\ndrain = \"1s\"",
            "body_max = \"1GiB\"",
        )
        .replace("{apps}/", "app")
            + &format!(
                "[[site.route]]\npath = \"/files/\"\nfiles = \"files/\"\n\
                 [[site.route]]\npath = \"/back/\"\nupstream = \"back\"\nstrip = true\n\
                 [server]\ngrace = \"1s\"\n[upstream.back]\nservers = [\"{}\"]\n",
                server.url
            )),
    );
    site.start();
    let targets = [
        "/files/large".to_owned(),
        format!("/back/big?{LARGE}"),
        "/app".to_owned(),
    ];
    let downloads: Vec<_> = targets
        .iter()
        .map(|target| Download::begin(&site, target))
        .collect();
    // The worker has said all of it when it is given another request.
    assert_eq!(Download::begin(&site, "/other").length, LARGE);
    let upload = Upload::begin(&site, ECHO);

    reload(&site, 2);
    wait_for("the old worker is gone", || {
        (site.processes_named("worker web").len() == 1).then_some(())
    });
    site.wait_for_log("old proxy still serves generation=1 connections=");
    // Another reload is not held up by it.
    reload(&site, 3);
    // The proxy in between has nothing to do, and leaves.
    wait_for("the oldest proxy and the newest are left", || {
        (site.processes_named("proxy").len() == 2).then_some(())
    });

    upload.end();
    for (target, download) in targets.iter().zip(downloads) {
        assert_eq!(download.missing(), 0, "{target}");
    }
    site.wait_for_log("proxy left generation=1 ");
    assert!(site.stop().success());
    let records = site.access_lines(5);
    assert!(
        records.iter().all(|line| line.contains("\"status\":200")),
        "{records:#?}"
    );
}

#[test]
fn the_oldest_proxy_is_cut_when_there_are_more_than_configured() {
    let mut site = Site::new("old-proxies");
    site.write("large", vec![b'x'; LARGE]);
    site.config("[server]\nold_proxies = 2\n[[site]]\nfiles = \".\"\n");
    site.start();
    let mut downloads = Vec::new();
    for generation in 2..5 {
        downloads.push(Download::begin(&site, "/large"));
        reload(&site, generation);
    }
    site.wait_for_log("the oldest is cut");
    site.wait_for_log("proxy left generation=1 ");
    let missing: Vec<_> = downloads.into_iter().map(Download::missing).collect();
    assert!(missing[0] > 0, "{missing:?}");
    assert_eq!(missing[1..], [0, 0]);
    assert!(site.stop().success());
}

#[test]
fn old_proxies_that_serve_nothing_make_room_for_those_that_do() {
    let mut site = Site::new("idle-old-proxies");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    site.write("large", vec![b'x'; LARGE]);
    site.config(
        "[server]\nold_proxies = 1\n[[site]]\nhttps = \"off\"\nfiles = \".\"\n\
         [tls]\ncertificates = [{ certificate = \"localhost.crt\", key = \"localhost.key\" }]\n\
         [[listener]]\naddress = \"127.0.0.1:{port}\"\n\
         [[listener]]\naddress = \"127.0.0.1:{tls_port}\"\ntls = true\n",
    );
    site.start();
    let download = Download::begin(&site, "/large");
    reload(&site, 2);
    // Clients of both protocols that keep their connections and ask nothing more, and one that never did.
    let mut kept = site.connect();
    assert_eq!(kept.get("/missing", &[]).status, 404);
    let mut http2 = Http2::open(site.tls_port, &http2::client(&certificate));
    http2.request(1, &http2::GET);
    http2.next(http2::HEADERS);
    let _silent = site.connect();
    reload(&site, 3);
    site.wait_for_log("proxy left generation=2 ");
    assert_eq!(download.missing(), 0);
    assert!(!site.error_log().contains("the oldest is cut"));
    assert!(site.stop().success());
}

#[test]
fn a_stop_gives_old_proxies_its_grace_and_no_more() {
    let mut site = Site::new("old-proxy-stop");
    site.write("large", vec![b'x'; LARGE]);
    site.config("[server]\ngrace = \"1s\"\n[[site]]\nfiles = \".\"\n");
    site.start();
    let download = Download::begin(&site, "/large");
    reload(&site, 2);
    let began = std::time::Instant::now();
    assert!(site.stop().success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(download.missing() > 0);
}

/// Clients that ask again and again, on new connections and on kept ones; each answer must be a 200.
struct Crowd {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn new(site: &Site) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..4)
            .map(|number| {
                let (port, stop, answers) = (site.port, Arc::clone(&stop), Arc::clone(&answers));
                std::thread::spawn(move || {
                    let mut client = Connection::open(port);
                    while !stop.load(Ordering::Relaxed) {
                        let answer = match number % 2 {
                            0 => client.get("/", &[]),
                            _ => client.request("POST", "/", &[], b"precious"),
                        };
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        answers.fetch_add(1, Ordering::Relaxed);
                        if number < 2 || answer.header("connection") == Some("close") {
                            client = Connection::open(port);
                        }
                        std::thread::sleep(Duration::from_millis(5));
                    }
                })
            })
            .collect();
        Self {
            stop,
            answers,
            clients,
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        assert!(self.answers.load(Ordering::Relaxed) > 20);
    }
}

/// Twenty reloads by way of these configurations, while others ask and long transfers of several generations
/// go on.
fn twenty(test: &str, configs: &[String]) {
    let server = Upstream::tcp("back");
    let mut site = Site::new(test);
    site.write("files/large", vec![b'x'; LARGE]);
    let more = format!(
        "[[site.route]]\npath = \"/files/\"\nfiles = \"files/\"\n\
         [[site.route]]\npath = \"/back/\"\nupstream = \"back\"\nstrip = true\n\
         [upstream.back]\nservers = [\"{}\"]\n",
        server.url
    );
    site.config(&(configs[0].clone() + &more));
    site.start();
    let (mut downloads, mut uploads) = (Vec::new(), Vec::new());
    let crowd = Crowd::new(&site);
    for (generation, config) in (2..22).zip(configs.iter().cycle().skip(1)) {
        // Of both kinds of site, where they take turns.
        if generation % 7 == 2 {
            downloads.push(Download::begin(&site, "/files/large"));
            downloads.push(Download::begin(&site, &format!("/back/big?{LARGE}")));
            uploads.push(Upload::begin(&site, ECHO));
            // To the app, where there always is one.
            if let [_] = configs {
                uploads.push(Upload::begin(&site, "/"));
            }
        }
        site.config(&(config.clone() + &more));
        reload(&site, generation);
    }
    crowd.end();
    uploads.into_iter().for_each(Upload::end);
    for download in downloads {
        assert_eq!(download.missing(), 0);
    }
    wait_for("one proxy is left", || {
        (site.processes_named("proxy").len() == 1).then_some(())
    });
    assert!(site.stop().success());
}

#[test]
fn twenty_reloads_of_a_site_with_an_app_fail_no_request_and_cut_nothing() {
    twenty("twenty-app", &[of_app("hello", "workers = 1", "")]);
}

#[test]
fn twenty_reloads_of_a_site_without_an_app_fail_no_request_and_cut_nothing() {
    twenty("twenty-plain", &["[[site]]\nrespond = \"plain\"\n".to_owned()]);
}

#[test]
fn twenty_reloads_between_an_app_and_none_fail_no_request_and_cut_nothing() {
    let plain = "[[site]]\nrespond = \"plain\"\n".to_owned();
    twenty("twenty-both", &[of_app("hello", "workers = 1", ""), plain]);
}
