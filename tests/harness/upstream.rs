//! A server behind the one under test: one thread per connection, and a memory of what it was sent.
//! With TLS on request.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::{ServerConnection, StreamOwned};

use super::{certificate::Certificate, wait::PATIENCE};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// Values of all fields of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The value of a field that is there once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        match self.all(name)[..] {
            [value] => value,
            ref values => panic!("{name} of {}: {values:?}", self.target),
        }
    }
}

/// A running server. What it answers depends on the path: `/echo` the body of the request; `/held` waits for
/// [`release`](Self::release); `/big?N` N bytes; an upgrade is accepted and every byte after it is sent back;
/// `/break` closes the connection instead; `/torn` begins an answer that ends with the connection, and tears
/// that (with TLS, without its goodbye); `/raw?NAME` an answer of [`RAW`]; everything else the server's
/// name. A client that waits for `100 Continue` is told so, but for `?wordless`, and `/refused` is a 401 in
/// its place.
pub(crate) struct Upstream {
    /// What `servers` in the configuration needs.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    received: Mutex<Vec<Received>>,
    open: Mutex<bool>,
    opened: Condvar,
    stopped: AtomicBool,
    /// Connections that came, and those of them that this side has closed.
    accepted: AtomicUsize,
    closed: AtomicUsize,
}

trait Stream: Read + Write + Send + 'static {
    fn second(&self) -> io::Result<Box<dyn Stream>>;
    fn shut(&self);
    /// Ends it without a goodbye, where there would be one.
    fn tear(&self) {
        self.shut();
    }
}

/// Both halves of a connection with TLS, which one thread uses in turn.
#[derive(Clone)]
struct Tls(Arc<Mutex<StreamOwned<ServerConnection, TcpStream>>>);

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        lock(&self.0).read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        lock(&self.0).flush()
    }
}

impl Stream for Tls {
    fn second(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.clone()))
    }
    fn shut(&self) {
        let mut stream = lock(&self.0);
        stream.conn.send_close_notify();
        let _ = stream.flush();
        let _ = stream.sock.shutdown(Shutdown::Both);
    }
    fn tear(&self) {
        let _ = lock(&self.0).sock.shutdown(Shutdown::Both);
    }
}

impl Stream for TcpStream {
    fn second(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn shut(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Stream for UnixStream {
    fn second(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn shut(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Upstream {
    /// On a free port of 127.0.0.1.
    pub(crate) fn tcp(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::run(name, url, move || listener.accept().map(|(stream, _)| stream))
    }

    /// On a free port of 127.0.0.1, with TLS.
    pub(crate) fn tls(name: &str, certificate: &Certificate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let config = certificate.server();
        Self::run(name, url, move || {
            let (socket, _) = listener.accept()?;
            socket.set_nodelay(true)?;
            let session = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            Ok(Tls(Arc::new(Mutex::new(StreamOwned::new(session, socket)))))
        })
    }

    /// On a Unix socket.
    pub(crate) fn unix(name: &str, path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let url = format!("unix:{}", path.display());
        Self::run(name, url, move || listener.accept().map(|(stream, _)| stream))
    }

    fn run<S: Stream>(name: &str, url: String, accept: impl Fn() -> io::Result<S> + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            received: Mutex::default(),
            open: Mutex::new(false),
            opened: Condvar::new(),
            stopped: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
        });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Ok(stream) = accept() {
                if server.stopped.load(Ordering::SeqCst) {
                    break;
                }
                server.accepted.fetch_add(1, Ordering::SeqCst);
                let server = Arc::clone(&server);
                std::thread::spawn(move || {
                    match server.serve(&stream) {
                        Ok(()) => stream.shut(),
                        Err(_) => stream.tear(),
                    }
                    server.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { url, shared }
    }

    /// Everything received so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// The one request with this target.
    #[track_caller]
    pub(crate) fn received_at(&self, target: &str) -> Received {
        let received = self.received();
        let mut found = received.iter().filter(|request| request.target == target);
        match (found.next(), found.next()) {
            (Some(request), None) => request.clone(),
            _ => panic!("not exactly one request for {target}: {received:?}"),
        }
    }

    /// Connections so far: those that came, and how many of them this side has closed.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.shared.accepted), count(&self.shared.closed))
    }

    /// Lets those that wait go on.
    pub(crate) fn release(&self) {
        *lock(&self.shared.open) = true;
        self.shared.opened.notify_all();
    }
}

impl Drop for Upstream {
    /// The thread that accepts is woken by a last connection.
    fn drop(&mut self) {
        self.release();
        self.shared.stopped.store(true, Ordering::SeqCst);
        let schemes = ["http://", "https://"];
        if let Some(address) = schemes.iter().find_map(|scheme| self.url.strip_prefix(scheme)) {
            let _ = TcpStream::connect(address);
        } else if let Some(path) = self.url.strip_prefix("unix:") {
            let _ = UnixStream::connect(path);
        }
    }
}

impl Shared {
    fn serve(&self, stream: &impl Stream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.second()?);
        let mut writer = stream.second()?;
        while let Some(request) = read_request(&mut reader, &mut writer)? {
            let target = request.target.clone();
            let upgrade = request.all("upgrade").first().copied().map(str::to_owned);
            let body = request.body.clone();
            lock(&self.received).push(request);
            if let Some(protocol) = upgrade {
                write!(
                    writer,
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
                )?;
                return echo(&mut reader, &mut writer);
            }
            let answer = match target.split_once('?').unwrap_or((&target, "")) {
                ("/echo", _) => body,
                ("/big", size) => vec![b'x'; size.parse().unwrap_or(0)],
                ("/break", _) => return Ok(()),
                ("/refused", _) => return Ok(()),
                ("/torn", _) => {
                    writer.write_all(b"HTTP/1.1 200 OK\r\n\r\nnot all of")?;
                    writer.flush()?;
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                ("/raw", name) => {
                    let (raw, last) = RAW
                        .iter()
                        .find(|raw| raw.0 == name)
                        .map_or(("", true), |raw| (raw.1, raw.2));
                    writer.write_all(raw.as_bytes())?;
                    writer.flush()?;
                    if last {
                        return Ok(());
                    }
                    continue;
                }
                (path, _) => {
                    if path.starts_with("/held") {
                        self.hold();
                    }
                    self.name.clone().into_bytes()
                }
            };
            write!(
                writer,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Upstream: {}\r\n\r\n",
                answer.len(),
                self.name
            )?;
            writer.write_all(&answer)?;
            writer.flush()?;
        }
        Ok(())
    }

    fn hold(&self) {
        let open = lock(&self.open);
        let _ = self
            .opened
            .wait_timeout_while(open, Duration::from_secs(60), |open| !*open);
    }
}

/// Answers in all framings: name, bytes, and whether the connection ends after it.
const RAW: [(&str, &str, bool); 17] = [
    (
        "chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        false,
    ),
    ("close", "HTTP/1.1 200 OK\r\n\r\nup to the end", true),
    ("last", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast", true),
    ("empty", "HTTP/1.1 204 No Content\r\nX-Kept: yes\r\n\r\n", false),
    (
        "unchanged",
        "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
        false,
    ),
    (
        "hints",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter",
        false,
    ),
    (
        "trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
        false,
    ),
    (
        "twice",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo",
        false,
    ),
    (
        "broken",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
        false,
    ),
    (
        "broken-size",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        false,
    ),
    (
        "broken-extension",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"\r\nabc\r\n0\r\n\r\n",
        false,
    ),
    (
        "latest",
        "HTTP/1.9 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlater\r\n0\r\n\r\n",
        false,
    ),
    (
        "other-version",
        "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nlater",
        false,
    ),
    (
        "later",
        "HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nlater",
        false,
    ),
    ("garbage", "220 mail.example ESMTP\r\n", false),
    (
        "lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        false,
    ),
    (
        "short",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        true,
    ),
];

/// `None` when the client has no further request.
fn read_request(reader: &mut impl BufRead, writer: &mut impl Write) -> io::Result<Option<Received>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace().map(str::to_owned);
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Received {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    if !request.all("expect").is_empty() {
        if request.target == "/refused" {
            let head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n";
            write!(writer, "{head}Content-Length: 0\r\n\r\n")?;
            reader.read_to_end(&mut request.body)?;
            return Ok(Some(request));
        }
        if !request.target.ends_with("?wordless") {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
    }
    if request.all("transfer-encoding").contains(&"chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            let start = request.body.len();
            request.body.resize(start + size, 0);
            reader.read_exact(&mut request.body[start..])?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = request.all("content-length").first() {
        let length = length.parse().map_err(io::Error::other)?;
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}

fn echo(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        writer.write_all(&buffer[..read])?;
        writer.flush()?;
    }
}

/// A TCP address where nobody listens.
pub(crate) fn nobody() -> String {
    format!("http://127.0.0.1:{}", super::free_port())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const _: () = assert!(
    PATIENCE.as_secs() < 60,
    "a held request outlasts the patience of its client"
);
