//! The way of one request from its head to whoever answers it.

use config::{Action, Address, Host, PathMatch, ProxyConfig, Route};
use logs::{Outcome, Protocol, Record, Remote, Scheme, Tls};
use message::{
    downstream::Downstream,
    head::{Head, Version},
    path,
    refused::{Refused, Unanswered},
    request::Request,
};
use websocket::handshake;

use crate::{
    app::{app_request::AppRequest, lull, mount::Mount},
    context::Context,
    errors,
    files::{self, Served},
    filter, forwarded,
    layers::Layers,
    redirect, respond,
    upstream::{self, Question, Upgrade},
};

/// Answers a request.
pub(crate) async fn serve<D: Downstream>(context: &Context, down: &mut D, record: &mut Record) {
    note_head(record, down);
    let mut noted = Noted {
        layers: Layers::new(down),
        record,
    };
    let Noted { layers, record } = &mut noted;
    if let Err(unanswered) = route(context, layers, record).await {
        errors::end(&context.router, layers, record, unanswered).await;
    }
}

/// Tells the record at the end what was sent: also when the answer is dropped half-way, because the stream was reset or
/// the grace of a drain is over.
struct Noted<'a, D: Downstream> {
    layers: Layers<'a, D>,
    record: &'a mut Record,
}

impl<D: Downstream> Drop for Noted<'_, D> {
    fn drop(&mut self) {
        self.layers.tell(self.record);
    }
}

/// Finds out who answers, and lets him.
async fn route<'a, D: Downstream>(
    context: &'a Context,
    down: &mut Layers<'a, D>,
    record: &mut Record,
) -> Result<(), Unanswered> {
    let request = understand(context, down, record)?;
    let site = filter::host::site(&context.router, &request)?;
    record.site = context.router.site_name(site);
    let settings = &context.config.sites[site];
    down.set_headers(&settings.headers);
    if settings.redirect_https && !request.https {
        let host = host_or(&request, &settings.hosts, down);
        let port = https_port(&context.config);
        return Ok(redirect::to_https(down, &request, &host, port).await?);
    }
    // A page that is not there is an answer like any other.
    let Some(route) = context.router.route(site, &request.path) else {
        return Err(Refused::new(404, Outcome::Ok).into());
    };
    record.route = context.router.route_name(site, route);
    let settings = &settings.routes[route];
    down.set_headers(&settings.headers);
    let websocket = handshake::asked(down.head());
    let asked = filter::Asked {
        head: down.head(),
        websocket,
    };
    filter::check(&asked, settings)?;
    down.limit_body(settings.body_bytes_max);
    let asked = Asked {
        request: &request,
        site,
        websocket,
    };
    answer(context, down, record, &asked, settings).await
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

async fn answer<D: Downstream>(
    context: &Context,
    down: &mut D,
    record: &mut Record,
    asked: &Asked<'_>,
    route: &Route,
) -> Result<(), Unanswered> {
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
            let asked = AppRequest {
                request,
                mount,
                listener: &context.config.listeners[down.connection().listener],
                drain: &context.drain,
            };
            if websocket {
                // Apart, so that the way of a request is not as large as that of a WebSocket.
                let open = async {
                    if app.takes_websockets() {
                        app.open_websocket(down, &asked, record).await
                    } else {
                        app.open_bridge(down, &asked, record).await
                    }
                };
                Box::pin(open).await
            } else {
                app.answer(down, &asked, *request_buffering, record).await
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
                let mut refused = Refused::new(status, outcome);
                refused.fields.extend(field);
                Err(refused.into())
            }
        },
        Action::Redirect(redirect) => {
            let host = host_or(request, &context.config.sites[site].hosts, down);
            Ok(redirect::answer(down, request, redirect, &host).await?)
        }
        Action::Respond(respond) => Ok(respond::answer(down, respond).await?),
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
                client_timeout: context.config.listeners[down.connection().listener]
                    .limits
                    .body_timeout,
                drain: &context.drain,
            };
            upstream::answer(down, &question, record).await
        }
    }
}

fn understand<D: Downstream>(context: &Context, down: &D, record: &mut Record) -> Result<Request, Refused> {
    fn malformed(fault: impl std::fmt::Display) -> Refused {
        tracing::debug!(%fault, "request refused");
        Refused::new(400, Outcome::Refused)
    }
    let head = down.head();
    let server = &context.config.server;
    let mut request = forwarded::understand(head, down.connection(), server).map_err(malformed)?;
    note_request(record, &request);
    // `OPTIONS *` asks about the server as a whole; whatever answers `/` is the best to ask.
    let (encoded, query) = match head.target.as_slice() {
        b"*" if head.method == "OPTIONS" => (&b"/"[..], &b""[..]),
        target => path::split(target).map_err(malformed)?,
    };
    (request.path, request.written) = path::normalise(encoded).map_err(malformed)?;
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
