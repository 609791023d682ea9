//! How an application is called, and with what it is run.

use std::time::Duration;

use super::{Section, Value, target::target};
use crate::{Asgi, EventLoop, Green, Interface, Keepalive, Lifespan, WebSocket, WsgiHost};

/// Interface and target of `[app.NAME]`, whose `[app.NAME.websocket]` is `messages`.
pub(super) fn interface(name: &str, section: &Section<'_>, messages: &Section<'_>) -> (Interface, String) {
    let (wsgi, asgi) = (section.value("wsgi"), section.value("asgi"));
    let named = wsgi
        .as_ref()
        .or(asgi.as_ref())
        .and_then(target)
        .unwrap_or_default();
    match (&wsgi, &asgi) {
        (None, None) => section.problem(
            format!("app `{name}` has neither `wsgi` nor `asgi`"),
            "name its callable: wsgi = \"mysite.wsgi:application\" or asgi = \"main:app\"",
        ),
        (Some(_), Some(asgi)) => asgi.problem_with_help(
            format!("app `{name}` has `wsgi` and `asgi`"),
            "write an [app.NAME] for each and give each its routes",
        ),
        _ => {}
    }
    let interface = if wsgi.is_none() && asgi.is_some() {
        refuse(
            section,
            &["threads", "green"],
            "is for `wsgi`: an ASGI worker has one event loop",
        );
        Interface::Asgi(Asgi {
            event_loop: event_loop(section),
            lifespan: lifespan(section),
            // uvicorn has no limit; a worker with more than this has no memory left for its work.
            connections: connections(section).unwrap_or(10_000),
            request_buffering: section.boolean("request_buffering").unwrap_or(REQUEST_BUFFERING),
            // Middleware that looks at bodies finds none in the event that such an answer is made of.
            pathsend: section.boolean("pathsend").unwrap_or(false),
            websocket: websocket(messages),
        })
    } else {
        const ASGI_ONLY: &[&str] = &["loop", "lifespan", "request_buffering", "pathsend"];
        refuse(section, ASGI_ONLY, "is for `asgi`");
        refuse(
            messages,
            &["message_max", "compression"],
            "is for `asgi`: a WSGI application speaks the WebSocket protocol itself",
        );
        Interface::Wsgi(wsgi_host(section))
    };
    (interface, named)
}

/// What an app says to its routes; `None` when only whole requests can be given to it. Reports nothing.
pub(super) fn request_buffering(section: &Section<'_>) -> Option<bool> {
    let asgi = section.has("asgi") && !section.has("wsgi");
    let written = section.value("request_buffering");
    asgi.then(|| {
        written
            .and_then(|value| value.item.get_ref().as_bool())
            .unwrap_or(REQUEST_BUFFERING)
    })
}

/// Keys that belong to another interface.
fn refuse(section: &Section<'_>, keys: &[&'static str], why: &str) {
    for key in keys {
        if let Some(value) = section.value(key) {
            value.problem(format!("`{key}` {why}"));
        }
    }
}

fn wsgi_host(section: &Section<'_>) -> WsgiHost {
    let green = section.value("green").and_then(|value| green(&value));
    match green {
        Some(green) => {
            refuse(
                section,
                &["threads"],
                "and `green` exclude each other: greenlets are `connections`",
            );
            // gunicorn's `worker_connections`.
            WsgiHost::Green(green, connections(section).unwrap_or(1000))
        }
        None => {
            if !section.has("green") {
                refuse(
                    section,
                    &["connections"],
                    "is for `asgi` and `green`: here it is `threads`",
                );
            }
            // A view that waits for a database or another service must not stop its processor. The development servers of
            // Django and Flask run threads too, so code that cannot has been noticed.
            let written = section.number("threads", 1..=1000);
            WsgiHost::Threads {
                count: written.unwrap_or(4) as usize,
                // Greenlets in the place of threads hang at a lock that was made before the patch, and share
                // one loop of asyncio. One at a time is what gunicorn's default gives such an application,
                // and what all of them work with.
                patched: written.unwrap_or(1) as usize,
            }
        }
    }
}

fn green(value: &Value<'_>) -> Option<Green> {
    let green = value.choice(&[("gevent", Green::Gevent), ("eventlet", Green::Eventlet)], &[])?;
    if green == Green::Eventlet {
        value.reading.warning(
            value.span(),
            "eventlet is at the end of its life and its authors advise against new use",
            "write green = \"gevent\"",
        );
    }
    Some(green)
}

fn connections(section: &Section<'_>) -> Option<usize> {
    section
        .number("connections", 1..=CONNECTIONS_MAX)
        .map(|number| number as usize)
}

fn event_loop(section: &Section<'_>) -> EventLoop {
    const LOOPS: &[(&str, EventLoop)] = &[
        ("auto", EventLoop::Auto),
        ("asyncio", EventLoop::Asyncio),
        ("uvloop", EventLoop::Uvloop),
    ];
    let chosen = section.value("loop").and_then(|value| value.choice(LOOPS, &[]));
    chosen.unwrap_or(EventLoop::Auto)
}

fn lifespan(section: &Section<'_>) -> Lifespan {
    const LIFESPANS: &[(&str, Lifespan)] = &[
        ("auto", Lifespan::Auto),
        ("on", Lifespan::On),
        ("off", Lifespan::Off),
    ];
    let chosen = section
        .value("lifespan")
        .and_then(|value| value.choice(LIFESPANS, &[]));
    chosen.unwrap_or(Lifespan::Auto)
}

fn websocket(section: &Section<'_>) -> WebSocket {
    WebSocket {
        // uvicorn's `ws_max_size`.
        message_bytes_max: section.size("message_max", 1..=1 << 30).unwrap_or(16 << 20),
        compression: section.boolean("compression").unwrap_or(true),
    }
}

/// Of `[app.NAME.websocket]`, whatever the interface.
pub(super) fn keepalive(section: &Section<'_>) -> Keepalive {
    Keepalive {
        // uvicorn's; routers forget silent connections after a minute or more.
        interval: section
            .duration("ping_interval", Duration::ZERO..=DAY)
            .unwrap_or(Duration::from_secs(20)),
        timeout: section
            .duration("ping_timeout", Duration::from_millis(100)..=DAY)
            .unwrap_or(Duration::from_secs(20)),
    }
}

/// No worker ever waits for a slow client, and most applications read a body whole before they do anything with it.
const REQUEST_BUFFERING: bool = true;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Entries of a link page.
const CONNECTIONS_MAX: u64 = 30_000;
