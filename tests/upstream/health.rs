//! Health checks: servers are asked while they get no requests, too.

use std::{
    io::{Read, Write},
    os::unix::{net::UnixListener, process::CommandExt},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use super::site_of;
use crate::harness::{
    Connection, Site, free_port,
    nginx::{self, Nginx},
    processes::MARK,
    python::{self, PEER_PACKAGES},
    upstream::{Upstream, nobody},
    wait_for,
};

const FAILS: &str = "upstream server fails its health checks: it gets no requests";
const PASSES: &str = "upstream server passes its health checks again";

/// The names of the servers that answer so many requests.
fn answers(client: &mut Connection, requests: usize) -> Vec<String> {
    (0..requests).map(|_| client.get("/", &[]).text()).collect()
}

fn count(answers: &[String], name: &str) -> usize {
    answers.iter().filter(|answer| *answer == name).count()
}

/// How often this was told of the server of this URL.
fn told(site: &Site, change: &str, url: &str) -> usize {
    let log = site.error_log();
    let of_server = format!("server={url} ");
    log.lines()
        .filter(|line| line.contains(change) && line.contains(&of_server))
        .count()
}

fn wait_until_told(site: &Site, change: &str, url: &str) {
    wait_for(&format!("{url}: {change}"), || {
        (told(site, change, url) > 0).then_some(())
    });
}

/// A server on a Unix socket that is as well as it is told to be.
struct Patient {
    url: String,
    status: Arc<Mutex<u16>>,
    /// Heads of the checks.
    checks: Arc<Mutex<Vec<String>>>,
}

impl Patient {
    fn start(site: &Site) -> Self {
        let path = site.directory.join("patient.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (status, checks) = (Arc::new(Mutex::new(200)), Arc::new(Mutex::new(Vec::new())));
        let (told, heard) = (Arc::clone(&status), Arc::clone(&checks));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut piece = [0; 1024];
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut piece) {
                        Ok(len @ 1..) => head.extend_from_slice(&piece[..len]),
                        _ => break,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let status = match head.contains(" /healthz ") {
                    true => *told.lock().unwrap(),
                    false => 200,
                };
                heard.lock().unwrap().push(head);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} Told\r\nConnection: close\r\n\r\npatient"
                );
            }
        });
        Self {
            url: format!("unix:{}", path.display()),
            status,
            checks,
        }
    }

    fn says(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }
}

#[test]
fn a_server_gets_no_requests_while_its_page_says_that_it_is_not_well() {
    let mut site = Site::new("health-page");
    let (patient, other) = (Patient::start(&site), Upstream::tcp("other"));
    site.config(&format!(
        "[upstream.back]\nservers = [{:?}, {:?}]\n\
         health = {{ path = \"/healthz\", host = \"www.example\", interval = \"1s\", unhealthy = 2 }}\n\
         [[site]]\nupstream = \"back\"\n",
        patient.url, other.url
    ));
    site.start();
    wait_for("both are checked", || {
        let heard = patient.checks.lock().unwrap().clone();
        let checked = heard
            .iter()
            .any(|head| head.starts_with("GET /healthz HTTP/1.1\r\nHost: www.example\r\n"));
        let other = other
            .received()
            .iter()
            .any(|request| request.target == "/healthz");
        (checked && other).then_some(())
    });
    let mut client = site.connect();
    assert_eq!(count(&answers(&mut client, 10), "patient"), 5);

    patient.says(503);
    wait_until_told(&site, FAILS, &patient.url);
    assert!(
        site.error_log().contains("error=\"status 503\""),
        "{}",
        site.error_log()
    );
    assert_eq!(count(&answers(&mut client, 6), "other"), 6);

    // None is left: better no answer than one of a server that says it is not well.
    let other_url = other.url.clone();
    drop(other);
    wait_until_told(&site, FAILS, &other_url);
    assert_eq!(site.get("/").status, 502);

    patient.says(200);
    wait_until_told(&site, PASSES, &patient.url);
    assert_eq!(answers(&mut site.connect(), 3), ["patient"; 3]);
    for url in [&patient.url, &other_url] {
        assert_eq!(told(&site, FAILS, url), 1, "one line for each change of {url}");
    }
    assert!(site.stop().success());
}

#[test]
fn without_a_path_a_server_has_to_accept_connections() {
    let (dead, alive) = (nobody(), Upstream::tcp("alive"));
    let servers = format!("[{dead:?}, {:?}]", alive.url);
    let mut site = site_of(
        "health-connect",
        &servers,
        "health = { interval = \"2s\", unhealthy = 1 }",
    );
    wait_until_told(&site, FAILS, &dead);
    assert!(alive.received().is_empty(), "nothing is asked");
    assert_eq!(answers(&mut site.connect(), 4), ["alive"; 4]);
    let told = site.error_log();
    assert!(
        !told.contains("upstream server is down"),
        "no request has met it: {told}"
    );
    assert!(site.stop().success());
}

#[test]
fn a_server_that_accepts_and_does_not_answer_fails() {
    let hung =
        UnixListener::bind(std::env::temp_dir().join(format!("hung-{}.sock", std::process::id()))).unwrap();
    let path = hung.local_addr().unwrap().as_pathname().unwrap().to_owned();
    let alive = Upstream::tcp("alive");
    let servers = format!("[\"unix:{}\", {:?}]", path.display(), alive.url);
    let keys = "health = { path = \"/\", interval = \"2s\", unhealthy = 1 }";
    let mut site = site_of("health-hung", &servers, keys);
    wait_until_told(&site, FAILS, &format!("unix:{}", path.display()));
    assert!(
        site.error_log()
            .contains("no answer within the timeout of the check")
    );
    assert_eq!(answers(&mut site.connect(), 4), ["alive"; 4]);
    assert!(site.stop().success());
    let _ = std::fs::remove_file(path);
}

/// A server of somebody else; it is killed with all its processes when this is dropped.
struct Foreign(Child);

impl Foreign {
    fn start(site: &Site, program: &str, arguments: &[&str]) -> Self {
        let venv = python::virtualenv(python::python(), PEER_PACKAGES);
        let mut command = Command::new(venv.join("bin").join(program));
        command
            .args(arguments)
            .current_dir(&site.directory)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env(MARK, site.mark())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // Its workers as well, which hold its port.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same page under WSGI and ASGI.
const BACK: &str = "
def wsgi(environ, start_response):
    start_response('200 OK', [('Content-Length', '8')])
    return [b'gunicorn']

async def asgi(scope, receive, send):
    if scope['type'] == 'http':
        await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'7')]})
        await send({'type': 'http.response.body', 'body': b'uvicorn'})
";

#[test]
fn gunicorn_uvicorn_and_nginx_share_by_weight_and_one_that_was_killed_comes_back() {
    if nginx::find().is_none() {
        println!("skipped: nginx is not installed");
        return;
    }
    let mut site = Site::new("health-servers");
    site.write("back.py", BACK);
    let nginx = Nginx::start("location / { return 200 nginx; }");
    let (gunicorn_port, uvicorn_port) = (free_port(), free_port());
    let gunicorn_at = format!("127.0.0.1:{gunicorn_port}");
    let uvicorn_port_told = uvicorn_port.to_string();
    let uvicorn = Foreign::start(&site, "uvicorn", &["--port", &uvicorn_port_told, "back:asgi"]);
    let first = Foreign::start(&site, "gunicorn", &["-b", &gunicorn_at, "back:wsgi"]);
    site.config(&format!(
        "[upstream.back]\nhealth = {{ path = \"/\", interval = \"2s\", unhealthy = 1 }}\n\
         servers = [{{ url = \"http://{gunicorn_at}\", weight = 3 }}, {{ url = \"http://127.0.0.1:{uvicorn_port}\", weight = 2 }}, \
         \"http://127.0.0.1:{}\"]\n[[site]]\nupstream = \"back\"\n",
        nginx.port
    ));
    for port in [gunicorn_port, uvicorn_port] {
        wait_for("the server listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }
    site.start();
    let by_weight = |site: &Site| {
        let answers = answers(&mut site.connect(), 12);
        ["gunicorn", "uvicorn", "nginx"].map(|name| count(&answers, name))
    };
    assert_eq!(by_weight(&site), [6, 4, 2]);

    let gunicorn_url = format!("http://{gunicorn_at}");
    drop(first);
    wait_until_told(&site, FAILS, &gunicorn_url);
    let [none, some, others] = by_weight(&site);
    assert_eq!((none, some + others), (0, 12));
    assert!(some > 0 && others > 0);

    let again = Foreign::start(&site, "gunicorn", &["-b", &gunicorn_at, "back:wsgi"]);
    wait_until_told(&site, PASSES, &gunicorn_url);
    assert_eq!(by_weight(&site), [6, 4, 2]);
    drop((again, uvicorn));
    assert!(site.stop().success());
}
