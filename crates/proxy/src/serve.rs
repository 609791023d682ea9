//! The way of one request from its head to whoever answers it.

use std::sync::atomic::{AtomicU16, Ordering};

use config::{Action, Address, Host, PathMatch, ProxyConfig, Route};
use logs::{Outcome, Protocol, Record, Remote, Scheme, Tls};
use message::{
    client_error::ClientError,
    downstream::Downstream,
    head::{BodyLength, Head, METHODS, Version},
    path,
    request::Request,
};
use websocket::handshake;

use crate::{
    app::{lull, mount::Mount},
    context::Context,
    dressed::Dressed,
    errors,
    files::{self, Served},
    forwarded, redirect, respond,
    upstream::{self, Question, Upgrade},
};

/// Answers a request.
pub(crate) async fn serve<D: Downstream>(context: &Context, down: &mut D, record: &mut Record) {
    note_head(record, down);
    let noted = Noted {
        down,
        record,
        status: AtomicU16::new(0),
    };
    route(context, noted.down, noted.record, &noted.status).await;
}

/// Tells the record at the end what was sent: also when the answer is dropped half-way, because the stream was reset or
/// the grace of a drain is over.
struct Noted<'a, D: Downstream> {
    down: &'a mut D,
    record: &'a mut Record,
    /// Of the answer that was begun by whoever answers for the route; 0 before.
    status: AtomicU16,
}

impl<D: Downstream> Drop for Noted<'_, D> {
    fn drop(&mut self) {
        self.record.bytes_in = self.down.bytes_in();
        self.record.bytes_out = self.down.bytes_out();
        if let status @ 1.. = *self.status.get_mut() {
            self.record.status = Some(status);
        }
    }
}

async fn route<D: Downstream>(context: &Context, down: &mut D, record: &mut Record, status: &AtomicU16) {
    let request = match understand(context, down, record) {
        Ok(request) => request,
        Err(fault) => {
            tracing::debug!(fault, "request refused");
            errors::refuse(context, down, record, 400, Outcome::Refused, &[]).await;
            return;
        }
    };
    let Some(site) = context.router.site(&request.host) else {
        unknown_host(&request.host);
        errors::refuse(context, down, record, 404, Outcome::UnknownHost, &[]).await;
        return;
    };
    record.site = context.router.site_name(site);
    let settings = &context.config.sites[site];
    let mut down = Dressed {
        inner: down,
        headers: &settings.headers,
        status,
    };
    if settings.redirect_https && !request.https {
        let host = host_or(&request, &settings.hosts, &down);
        record.status = Some(if matches!(down.head().method.as_str(), "GET" | "HEAD") {
            301
        } else {
            308
        });
        let port = https_port(&context.config);
        if let Err(error) = redirect::to_https(&mut down, &request, &host, port).await {
            errors::client_failed(context, &mut down, record, error).await;
        }
        return;
    }
    let Some(route) = context.router.route(site, &request.path) else {
        errors::refuse(context, &mut down, record, 404, Outcome::Ok, &[]).await;
        return;
    };
    record.route = context.router.route_name(site, route);
    let settings = &settings.routes[route];
    down.headers = &settings.headers;
    if refused(context, &mut down, record, settings).await {
        return;
    }
    let websocket = handshake::asked(down.head());
    if websocket && down.head().version == Version::Http2 && !takes_websockets(&settings.action) {
        // The client believes that whatever says 200 is a WebSocket.
        errors::refuse(context, &mut down, record, 501, Outcome::Refused, &[]).await;
        return;
    }
    let asked = Asked {
        request: &request,
        site,
        websocket,
    };
    if let Err(error) = answer(context, &mut down, record, &asked, settings).await {
        errors::client_failed(context, &mut down, record, error).await;
    }
}

/// What a request asks for.
struct Asked<'a> {
    request: &'a Request,
    /// Position of its site in the configuration.
    site: usize,
    /// A WebSocket.
    websocket: bool,
}

/// What every path of a route begins with, without the closing slash.
fn route_prefix(path: &PathMatch) -> &str {
    let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = path;
    path.trim_end_matches('/')
}

/// Does this route lead to somebody who may know WebSockets?
fn takes_websockets(action: &Action) -> bool {
    match action {
        Action::App { .. } | Action::Upstream(_) => true,
        Action::Files(_) | Action::Redirect(_) | Action::Respond(_) => false,
    }
}

/// A 404 for every page is a riddle where a name was forgotten in `hosts`. Told for the first few only: who
/// looks for hosts that are not there must not fill the log.
fn unknown_host(host: &str) {
    static TOLD: AtomicU16 = AtomicU16::new(0);
    if TOLD.load(Ordering::Relaxed) < UNKNOWN_HOSTS_TOLD
        && TOLD.fetch_add(1, Ordering::Relaxed) < UNKNOWN_HOSTS_TOLD
    {
        tracing::info!(
            host,
            "no site has this host: 404; each [[site]] names its `hosts`"
        );
    } else {
        tracing::debug!(host, "no site has this host");
    }
}

const UNKNOWN_HOSTS_TOLD: u16 = 20;

/// Refuses what the route does not allow, before anything is read or run.
async fn refused<D: Downstream>(context: &Context, down: &mut D, record: &mut Record, route: &Route) -> bool {
    let head = down.head();
    let allowed = match route.methods.as_slice() {
        // TRACE would send cookies and credentials back to a script; nginx refuses it everywhere too.
        [] => head.method != "TRACE",
        // On HTTP/2 the GET of a WebSocket is a CONNECT.
        methods if handshake::asked(head) => methods.iter().any(|method| method == "GET"),
        methods => methods.contains(&head.method),
    };
    if !allowed {
        let allow = match (route.methods.as_slice(), &route.action) {
            ([], Action::Files(_)) => files::METHODS.to_owned(),
            ([], _) => METHODS.to_owned(),
            (methods, _) => methods.join(", "),
        };
        errors::refuse(context, down, record, 405, Outcome::Refused, &[("allow", &allow)]).await;
        return true;
    }
    if let BodyLength::Known(len) = head.body
        && len > route.body_bytes_max
    {
        errors::refuse(context, down, record, 413, Outcome::Refused, &[]).await;
        return true;
    }
    down.limit_body(route.body_bytes_max);
    false
}

async fn answer<D: Downstream>(
    context: &Context,
    down: &mut D,
    record: &mut Record,
    asked: &Asked<'_>,
    route: &Route,
) -> Result<(), ClientError> {
    let Asked {
        request,
        site,
        websocket,
    } = *asked;
    if !matches!(route.action, Action::App { .. }) {
        lull::other_work();
    }
    match &route.action {
        Action::App {
            app,
            mount,
            strip,
            request_buffering,
        } => {
            let app = &context.apps[app.0];
            let mount = Mount {
                prefix: mount,
                strip: *strip,
                route: route_prefix(&route.path),
            };
            if websocket {
                // Apart, so that the way of a request is not as large as that of a WebSocket.
                let open = async {
                    if app.takes_websockets() {
                        app.open_websocket(context, down, request, mount, record).await
                    } else {
                        app.open_bridge(context, down, request, mount, record).await
                    }
                };
                Box::pin(open).await
            } else {
                app.answer(context, down, request, mount, *request_buffering, record)
                    .await
            }
        }
        Action::Files(files) => match files::answer(down, request, files, &route.headers).await? {
            Served::Sent => Ok(()),
            Served::Cut => {
                record.outcome = Some(Outcome::Internal);
                Ok(())
            }
            Served::Refused { status, field } => {
                // A missing file is an answer like any other.
                let outcome = match status {
                    503 => Outcome::Overload,
                    500.. => Outcome::Internal,
                    _ => Outcome::Ok,
                };
                let field = field.as_ref().map(|(name, value)| (*name, value.as_str()));
                errors::refuse(context, down, record, status, outcome, field.as_slice()).await;
                Ok(())
            }
        },
        Action::Redirect(redirect) => {
            let host = host_or(request, &context.config.sites[site].hosts, down);
            redirect::answer(down, request, redirect, &host).await
        }
        Action::Respond(respond) => respond::answer(down, respond).await,
        Action::Upstream(route) => {
            let host = match down.head().host.is_empty() {
                true => host_or(request, &context.config.sites[site].hosts, down),
                false => String::new(),
            };
            let question = Question {
                upstream: &context.upstreams[route.upstream.0],
                request,
                strip: &route.strip,
                host: &host,
                upgrade: websocket.then(|| Upgrade::of(down.head())).flatten(),
            };
            upstream::answer(context, down, &question, record).await
        }
    }
}

fn understand<D: Downstream>(context: &Context, down: &D, record: &mut Record) -> Result<Request, String> {
    let head = down.head();
    let server = &context.config.server;
    let mut request =
        forwarded::understand(head, down.connection(), server).map_err(|error| error.to_string())?;
    note_request(record, &request);
    // `OPTIONS *` asks about the server as a whole; whatever answers `/` is the best to ask.
    let (encoded, query) = match head.target.as_slice() {
        b"*" if head.method == "OPTIONS" => (&b"/"[..], &b""[..]),
        target => path::split(target).map_err(|error| error.to_string())?,
    };
    (request.path, request.written) = path::normalise(encoded).map_err(|error| error.to_string())?;
    request.query = query.to_vec();
    Ok(request)
}

/// The host the client asked for; for an old client that named none, one that leads here.
fn host_or<D: Downstream>(request: &Request, hosts: &[Host], down: &D) -> String {
    if !request.host.is_empty() {
        return request.host.clone();
    }
    let named = hosts.iter().find_map(|host| match host {
        Host::Exact(name) => Some(name.clone()),
        Host::Below(_) => None,
    });
    named.unwrap_or_else(|| match down.connection().local.map(|local| local.ip()) {
        Some(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        Some(address) => address.to_string(),
        None => "localhost".into(),
    })
}

/// Where we speak HTTPS: 443 if that is one of the places, 0 when there is none.
fn https_port(config: &ProxyConfig) -> u16 {
    let mut port = 0;
    for listener in config.listeners.iter().filter(|listener| listener.tls) {
        match listener.address {
            Address::Tcp(address) if address.port() == 443 => return 443,
            Address::Tcp(address) if port == 0 => port = address.port(),
            _ => {}
        }
    }
    port
}

/// What the record learns from head and connection.
fn note_head<D: Downstream>(record: &mut Record, down: &D) {
    let (head, connection) = (down.head(), down.connection());
    record.set_request(head.method.as_bytes(), &head.target);
    record.protocol = Some(match head.version {
        Version::Http10 => Protocol::Http10,
        Version::Http11 => Protocol::Http11,
        Version::Http2 => Protocol::Http2,
    });
    record.scheme = match connection.tls {
        Some(_) => Scheme::Https,
        None => Scheme::Http,
    };
    record.tls = connection.tls.as_ref().map(|tls| Tls {
        version: tls.version,
        cipher: tls.cipher,
    });
    note_fields(record, head);
}

fn note_fields(record: &mut Record, head: &Head) {
    if !head.host.is_empty() {
        record.set_host(&head.host);
    }
    if let Some(referer) = head.fields.get("referer") {
        record.set_referer(referer);
    }
    if let Some(agent) = head.fields.get("user-agent") {
        record.set_user_agent(agent);
    }
}

/// What the record learns from the request as understood.
fn note_request(record: &mut Record, request: &Request) {
    if let Some(client) = request.client {
        record.client = Remote::Inet(client, request.client_port);
    }
    if request.https {
        record.scheme = Scheme::Https;
    } else {
        record.scheme = Scheme::Http;
    }
    record.set_request_id(request.request_id.as_bytes());
}

#[cfg(test)]
mod tests;
