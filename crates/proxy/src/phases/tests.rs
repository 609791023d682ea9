//! Whole connections: a house with a listener, a server behind it, and its access log.

mod backend;
mod http1;
mod http2;
mod http2_batches;
mod http2_servers;
mod servers;
mod upgrade;
mod websocket;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{self, Waker},
    time::{Duration, Instant},
};

use config::{Config, ProxyConfig};
use logs::AccessLog;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    sync::mpsc::unbounded_channel,
};

use crate::{
    app::{App, lull::Lull, spare::Spare},
    context::Context,
    drain::Drain,
    listening::{Front, Listening},
    router::Router,
    tls::{self, Pem},
    upstream::{self, Upstream},
};

/// Patience for what should take milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy in this process, with one listener on a port of the kernel's choice.
struct House {
    context: Arc<Context>,
    address: SocketAddr,
    directory: TempDir,
}

impl House {
    /// Opens with this configuration, whose first listener is `127.0.0.1:0`.
    fn open(conf: &str) -> Self {
        Self::open_in(TempDir::new().unwrap(), conf)
    }

    fn open_in(directory: TempDir, conf: &str) -> Self {
        let log = directory.path().join("access.json");
        let conf = format!(
            "[log.access]\nto = {:?}\nformat = \"json\"\n{conf}",
            log.to_str().unwrap()
        );
        let config =
            Config::parse(&conf, &directory.path().join("site.toml")).unwrap_or_else(|bad| panic!("{bad}"));
        let config = ProxyConfig::from(&config);
        let pems = config.tls.certificates.iter().map(Pem::read);
        let pems: Vec<_> = pems.collect::<Result<_, _>>().unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listening = Arc::new(Listening::new(0, socket.into(), &config.listeners[0]));
        let (reporter, _) = unbounded_channel();
        let lull = Arc::new(Lull::new(1).unwrap());
        let upstreams = config.upstreams.iter();
        let upstreams: Vec<_> = upstreams
            .map(|upstream| Arc::new(Upstream::new(upstream, config.server.threads, Vec::new())))
            .collect();
        // No name is to be looked up, so that nothing is waited for.
        let known = HashMap::new();
        let mut cx = task::Context::from_waker(Waker::noop());
        let begun = pin!(upstream::begin(&upstreams, &known, &reporter)).poll(&mut cx);
        assert!(begun.is_ready());
        let context = Arc::new(Context {
            router: Router::new(&config.sites),
            apps: config
                .apps
                .iter()
                .map(|app| {
                    App::new(
                        app,
                        &config.server.buffers,
                        &Spare::new(config.server.buffers.shared_bytes),
                        100,
                        reporter.clone(),
                        vec![Handle::current()],
                        Arc::clone(&lull),
                    )
                })
                .collect(),
            upstreams,
            tls: tls::listeners(&config, &pems, b"secret").unwrap(),
            log: AccessLog::new(config.access_log.as_ref().unwrap(), None).unwrap(),
            drain: Drain::new(),
            config,
        });
        let front = Front {
            context: Arc::clone(&context),
        };
        tokio::spawn(listening.accept(front));
        Self {
            context,
            address,
            directory,
        }
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }

    async fn connect(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
            input: Vec::new(),
        }
    }

    /// The access lines, once there are `count`.
    async fn lines(&self, count: usize) -> Vec<String> {
        let log = self.directory().join("access.json");
        let since = Instant::now();
        loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count || since.elapsed() > PATIENCE {
                assert_eq!(lines.len(), count, "{text}");
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A client that speaks raw HTTP/1.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next answer: its head, and its body as its framing says.
    async fn answer(&mut self) -> (String, String) {
        let head = self.until(b"\r\n\r\n").await;
        let lower = head.to_ascii_lowercase();
        let body = if let Some(rest) = lower.split("content-length: ").nth(1) {
            let length = rest.split("\r\n").next().unwrap().parse().unwrap();
            self.take(length).await
        } else if lower.contains("transfer-encoding: chunked") {
            self.until(b"0\r\n\r\n").await
        } else {
            String::new()
        };
        (head, body)
    }

    async fn until(&mut self, mark: &[u8]) -> String {
        loop {
            if let Some(at) = memchr::memmem::find(&self.input, mark) {
                return self.take(at + mark.len()).await;
            }
            assert!(
                self.more().await,
                "closed; had {:?}",
                String::from_utf8_lossy(&self.input)
            );
        }
    }

    async fn take(&mut self, length: usize) -> String {
        while self.input.len() < length {
            assert!(
                self.more().await,
                "closed; had {:?}",
                String::from_utf8_lossy(&self.input)
            );
        }
        let rest = self.input.split_off(length);
        String::from_utf8(std::mem::replace(&mut self.input, rest)).unwrap()
    }

    /// Everything up to the end of the connection.
    async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&self.input).into_owned()
    }

    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.input));
        // A reset is an end, too.
        read.await.expect("an answer in time").unwrap_or(0) > 0
    }
}

/// Does an answer's head have this field line?
fn has(head: &str, line: &str) -> bool {
    head.split("\r\n").any(|field| field.eq_ignore_ascii_case(line))
}
