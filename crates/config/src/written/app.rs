//! `[app.NAME]`

use std::time::Duration;

use super::{
    Other, Section,
    interface::{interface, keepalive},
    interpreter::{environment, interpreter},
    server,
};
use crate::{App, Interface, Timeouts};

/// `has_user` tells that the server's user is there for apps without one of their own.
pub(crate) fn app(name: &str, section: Section<'_>) -> App {
    let surroundings = section.reading.surroundings;
    let title = |table: &str| format!("[app.{name}.{table}]");
    let websocket = section.section(
        "websocket",
        &title("websocket"),
        "websocket = { ping_interval = \"20s\" }",
    );
    let (interface, target) = interface(name, &section, &websocket);
    let asgi = matches!(interface, Interface::Asgi(_));
    let directory = section.value("directory").and_then(|value| {
        let directory = value.path()?;
        if !surroundings.is_directory(&directory) {
            match surroundings.closed(&directory) {
                Some(closed) => value.problem(closed),
                None => value.problem_with_help(
                    format!("no directory at {}", directory.display()),
                    "make it, or name the one in which the application is imported",
                ),
            }
        }
        Some(directory)
    });
    let directory = directory.unwrap_or_else(|| section.reading.directory.clone());
    // One process per processor keeps them all busy; the interpreter lock allows no more with fewer.
    let cpus = surroundings.cpus() as u64;
    let workers = section
        .value("workers")
        .and_then(|value| value.number_or_auto(1..=WORKERS_MAX, cpus));
    let queue = section.section("queue", &title("queue"), "queue = { length = 1000 }");
    let app = App {
        name: name.to_owned(),
        interface,
        keepalive: keepalive(&websocket),
        target,
        python: interpreter(&section, &directory),
        directory,
        env: environment(&section, &title("env")),
        workers: workers.unwrap_or(cpus.clamp(1, WORKERS_MAX)) as usize,
        // Halves the memory of workers and their boot time; a module that starts threads is noticed and imported later.
        preload: section.boolean("preload").unwrap_or(true),
        timeout: timeouts(
            section.section("timeout", &title("timeout"), "timeout = { request = \"30s\" }"),
            asgi,
        ),
        // Enough for a reload with a slow import under load, and an overload is still told within a second or so.
        queue_length_max: queue.number("length", 0..=1_000_000).unwrap_or(1000) as usize,
        // Visitors are gone by then, and balancers (Heroku's 30 s, for one) have given up.
        queue_timeout: queue
            .duration("timeout", Duration::from_millis(10)..=HOUR)
            .unwrap_or(Duration::from_secs(30)),
        user: section.value("user").and_then(|value| server::run_user(&value)),
        // Few applications call sudo or a setgid mail program; a hole in any could use them.
        no_new_privileges: section.boolean("no_new_privileges").unwrap_or(true),
    };
    queue.finish(&[]);
    websocket.finish(&[]);
    section.finish(OTHERS);
    app
}

fn timeouts(section: Section<'_>, asgi: bool) -> Timeouts {
    if let Some(value) = section.value("shutdown").filter(|_| !asgi) {
        value.problem("`shutdown` is for `asgi`: WSGI knows no end of an application");
    }
    let second = Duration::from_secs(1);
    let timeouts = Timeouts {
        // Imports of large projects on a cold disk take half of it.
        boot: section
            .duration("boot", second..=HOUR)
            .unwrap_or(Duration::from_secs(60)),
        // gunicorn's 30 s also counts uploads, ours does not; nginx's `proxy_read_timeout` is this.
        request: section
            .duration("request", second / 10..=24 * HOUR)
            .unwrap_or(Duration::from_secs(60)),
        // gunicorn's `graceful_timeout`.
        drain: section
            .duration("drain", Duration::ZERO..=24 * HOUR)
            .unwrap_or(Duration::from_secs(30)),
        // Closing pools of connections takes moments; what hangs must not hold up a reload.
        shutdown: section
            .duration("shutdown", Duration::ZERO..=HOUR)
            .unwrap_or(Duration::from_secs(10)),
    };
    section.finish(&[
        Other::Later("idle", "leave it out, idle workers stay"),
        Other::Meant("queue", "`timeout` in [app.NAME.queue]"),
    ]);
    timeouts
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A mistyped number must not fork the machine to death.
const WORKERS_MAX: u64 = 1024;

const OTHERS: &[Other] = &[
    Other::Later("uwsgi", "use `wsgi`, or serve it as an [upstream.NAME] over http"),
    Other::Meant("gevent", "green = \"gevent\""),
    Other::Meant("eventlet", "green = \"eventlet\""),
    Other::Meant("worker_class", "`wsgi` or `asgi`, and `green` for greenlets"),
    Other::Meant("worker_connections", "`connections`"),
    Other::Meant("ws_max_size", "`message_max` in [app.NAME.websocket]"),
    Other::Meant("ws_ping_interval", "`ping_interval` in [app.NAME.websocket]"),
    Other::Meant("proxy_request_buffering", "`request_buffering`"),
    Other::Meant("app", "wsgi = \"module:callable\" or asgi = \"module:callable\""),
    Other::Meant(
        "target",
        "wsgi = \"module:callable\" or asgi = \"module:callable\"",
    ),
    Other::Meant("wsgi_app", "`wsgi`"),
    Other::Later("recycle", "leave it out, crashed and stuck workers are replaced"),
    Other::Later(
        "hooks",
        "leave it out, database connections are closed around a fork",
    ),
    Other::Later("cron", "use cron or a systemd timer"),
    Other::Later("tasks", "run the task queue as a service of its own"),
    Other::Later("min", "write `workers` as one number"),
    Other::Later("max", "write `workers` as one number"),
    Other::Meant("chdir", "`directory`"),
    Other::Meant("pythonpath", "env = { PYTHONPATH = \"...\" }"),
    Other::Meant("no_new_privs", "`no_new_privileges`"),
    Other::Meant("home", "`venv`"),
    Other::Meant("virtualenv", "`venv`"),
    Other::Meant("processes", "`workers`"),
    Other::Meant("module", "`wsgi`"),
    Other::Meant("callable", "wsgi = \"module:callable\""),
    Other::Meant("preload_app", "`preload`"),
    Other::Meant("graceful_timeout", "`drain` in [app.NAME.timeout]"),
];
