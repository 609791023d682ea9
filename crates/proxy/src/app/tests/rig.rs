//! An app with its workers and clients.

use std::{sync::Arc, time::Duration};

use config::{Buffers, Config, ProxyConfig};
use logs::{Record, Remote};
use message::{client_error::ClientError, downstream::Downstream, refused::Unanswered, request::Request};
use tokio::{
    runtime::Handle,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use wire::control::FromProxy;

use super::{
    client::Client,
    worker::{self, Seen},
};
use crate::{
    app::{
        App, LinkParts, app_request::AppRequest, dispatcher::Rules, lull::Lull, mount::Mount, nanoseconds,
        spare::Spare,
    },
    context::Context,
    drain::Drain,
    errors,
    router::Router,
};

/// Longest time that anything here may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Rig {
    pub(super) app: Arc<App>,
    pub(super) seen: Arc<Seen>,
    pub(super) reports: UnboundedReceiver<FromProxy>,
    pub(super) context: Arc<Context>,
    evented: bool,
    threads: usize,
    request_buffering: bool,
}

pub(super) struct Settings {
    pub(super) threads: usize,
    pub(super) queue_length_max: usize,
    pub(super) queue_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) memory_bytes: usize,
    pub(super) shared_bytes: usize,
    pub(super) response_bytes_max: u64,
    pub(super) files_max: usize,
    /// `None`: WSGI.
    pub(super) websocket: Option<config::WebSocket>,
    pub(super) keepalive: config::Keepalive,
    pub(super) evented: bool,
    pub(super) request_buffering: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: 1,
            queue_length_max: 100,
            queue_timeout: PATIENCE,
            request_timeout: PATIENCE,
            memory_bytes: 256 << 10,
            shared_bytes: 32 << 20,
            response_bytes_max: 64 << 20,
            files_max: 100,
            websocket: Some(config::WebSocket {
                message_bytes_max: 16 << 20,
                compression: true,
            }),
            keepalive: config::Keepalive {
                interval: Duration::ZERO,
                timeout: PATIENCE,
            },
            evented: false,
            request_buffering: true,
        }
    }
}

impl Rig {
    pub(super) fn new(settings: &Settings) -> Self {
        let context = Arc::new(Context {
            config: ProxyConfig::from(
                &Config::parse(
                    "[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nfiles = { \"/\" = \"/\" }\n",
                    std::path::Path::new("/site.toml"),
                )
                .expect("valid"),
            ),
            router: Router::new(&[]),
            apps: Vec::new(),
            upstreams: Vec::new(),
            tls: Vec::new(),
            log: logs::AccessLog::off(),
            drain: Drain::new(),
        });
        let (sender, reports) = unbounded_channel();
        let rules = Rules {
            queue_length_max: settings.queue_length_max,
            queue_timeout_ns: nanoseconds(settings.queue_timeout),
            request_timeout_ns: nanoseconds(settings.request_timeout),
            window: settings.threads,
            evented: settings.evented,
        };
        let buffers = Buffers {
            memory_bytes: settings.memory_bytes,
            shared_bytes: settings.shared_bytes,
            response_bytes_max: settings.response_bytes_max,
            directory: std::env::temp_dir(),
        };
        let runtimes = vec![Handle::current()];
        let lull = Arc::new(Lull::new(runtimes.len()).expect("eventfd"));
        let app = App::with_rules(
            "web",
            rules,
            &buffers,
            &Spare::new(buffers.shared_bytes),
            settings.files_max,
            settings.websocket.clone(),
            settings.keepalive,
            sender,
            runtimes,
            lull,
        );
        Self {
            app,
            seen: Arc::default(),
            reports,
            context,
            evented: settings.evented,
            threads: settings.threads,
            request_buffering: settings.request_buffering,
        }
    }

    pub(super) fn worker(&self, link: u64) {
        self.app.link(LinkParts {
            evented: self.evented,
            concurrency: self.threads,
            ..worker::start(link, &self.seen)
        });
    }

    pub(super) async fn send(&self, client: &mut Client) -> (Result<(), ClientError>, Record) {
        let path = message::downstream::Downstream::head(client).target.clone();
        let request = Request {
            host: "example.org".to_owned(),
            port: 80,
            path,
            request_id: "id".to_owned(),
            ..Request::default()
        };
        let mut record = Record::new(Remote::Unix);
        let asked = self.asked(&request);
        let answer = self
            .app
            .answer(client, &asked, self.request_buffering, &mut record);
        let outcome = tokio::time::timeout(PATIENCE, answer)
            .await
            .expect("patience is over");
        let outcome = end(client, &mut record, outcome).await;
        (outcome, record)
    }

    /// The request as the app gets it, at the root.
    pub(super) fn asked<'a>(&'a self, request: &'a Request) -> AppRequest<'a> {
        AppRequest {
            request,
            mount: Mount::default(),
            listener: &self.context.config.listeners[0],
            drain: &self.context.drain,
        }
    }

    pub(super) async fn get(&self, path: &str) -> (Client, Record) {
        let mut client = Client::new("GET", path);
        let (outcome, record) = self.send(&mut client).await;
        assert_eq!(outcome, Ok(()));
        (client, record)
    }

    pub(super) async fn report(&mut self) -> FromProxy {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv());
        report.await.expect("patience is over").expect("open")
    }

    pub(super) fn ran(&self) -> Vec<String> {
        self.seen.run.lock().expect("lock").clone()
    }
}

/// Ends a request as the front does; what its client did is left to the test.
pub(super) async fn end<D: Downstream>(
    down: &mut D,
    record: &mut Record,
    outcome: Result<(), Unanswered>,
) -> Result<(), ClientError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(Unanswered::Client(error)) => Err(error),
        Err(Unanswered::Refused(refused)) => {
            errors::refuse(&Router::new(&[]), down, record, &refused).await;
            Ok(())
        }
    }
}

pub(super) async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("patience is over");
}

/// Waits for all of them, on this one task.
pub(super) async fn all_at_once(requests: impl Iterator<Item: Future>) {
    let mut all: Vec<_> = requests.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|request| request.as_mut().poll(context).is_pending());
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}
