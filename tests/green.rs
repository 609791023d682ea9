//! WSGI applications on greenlets, in real virtualenvs.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read, Write as _},
    net::TcpListener,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::harness::{
    Connection, Site,
    postgres::{Cluster, StandIn},
    python::{self, Python, on_each_python},
    site::copy_tree,
    wait_for, workspace,
};

/// A virtualenv with this library. That of the usual Python has everything that any of these tests needs.
fn virtualenv(python: &Python, library: &str) -> PathBuf {
    let mut packages = vec!["flask", "requests", library];
    if python == python::python() {
        packages.extend(["django", "psycopg[binary]", "psycopg2-binary", "psycogreen"]);
    }
    python::virtualenv(python, &packages)
}

/// A Flask application with one worker on this library.
fn flask(test: &str, python: &Python, library: &str, more: &str) -> Site {
    let site = Site::new(test);
    site.config(&format!(
        r#"
        [app.web]
        wsgi = "site_app:app"
        directory = "{{apps}}/green_flask"
        venv = "{}"
        env = {{ GATE = "{{dir}}" }}
        green = "{library}"
        workers = 1
        {more}

        [[site]]
        app = "web"
        "#,
        virtualenv(python, library).display()
    ));
    site
}

on_each_python!(fifty_views_wait_at_the_same_time_on_one_worker_of_every_python);

fn fifty_views_wait_at_the_same_time_on_one_worker_of_every_python(python: &Python) {
    for (library, preload) in [("gevent", true), ("gevent", false), ("eventlet", true)] {
        let mut site = flask("green-meet", python, library, &format!("preload = {preload}"));
        site.start();
        let meeting: Vec<_> = (0..50).map(|_| site.beside("/meet/50")).collect();
        for view in meeting {
            assert_eq!(view.join().unwrap().text(), "met\n");
        }
        assert!(site.stop().success());
    }
}

/// Answers when so many clients have asked, in whatever time that takes.
fn gathering(count: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut asking = Vec::new();
        for client in listener.incoming().take(count) {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4096]).unwrap();
            asking.push(client);
        }
        for mut client in asking {
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\ngathered";
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    port
}

#[test]
fn blocking_clients_of_another_server_wait_at_the_same_time() {
    for library in ["gevent", "eventlet"] {
        let mut site = flask("green-fetch", python::python(), library, "");
        site.start();
        let port = gathering(30);
        let fetching: Vec<_> = (0..30).map(|_| site.beside(&format!("/fetch/{port}"))).collect();
        for view in fetching {
            assert_eq!(view.join().unwrap().text(), "gathered");
        }
        assert!(site.stop().success());
    }
}

/// Drivers in C wait outside of what is patched. psycopg 3 sees gevent and does otherwise; of eventlet it has to be told.
#[test]
fn twenty_queries_are_in_flight_at_the_same_time_on_one_worker() {
    for (library, environment) in [
        ("gevent", "{}"),
        ("eventlet", "{ PSYCOPG_WAIT_FUNC = \"wait_select\" }"),
    ] {
        let mut site = Site::in_the_open("green-query");
        site.config(&format!(
            r#"
            [app.web]
            wsgi = "site_app:app"
            directory = "{{apps}}/green_query"
            venv = "{}"
            env = {environment}
            green = "{library}"
            workers = 1

            [[site]]
            app = "web"
            "#,
            virtualenv(python::python(), library).display()
        ));
        site.start();
        let ask = |driver: &str, port: u16| {
            let asking: Vec<_> = (0..20)
                .map(|_| site.beside(&format!("/query/{driver}/{port}")))
                .collect();
            for view in asking {
                let answer = view.join().unwrap();
                assert_eq!(answer.text(), "met", "{library} and {driver}: {}", answer.status);
            }
        };
        let real = Cluster::start(&site);
        for driver in ["psycopg", "psycopg2"] {
            let (port, server) = StandIn::start(20);
            ask(driver, port);
            assert_eq!(server.most(), 20, "{library} and {driver}");
            if let Some(real) = &real {
                let holder = real.hold(20);
                ask(driver, real.port);
                assert_eq!(holder.join().unwrap(), "20", "{library} and {driver}");
            }
        }
        drop(real);
        assert!(site.stop().success());
    }
}

#[test]
fn django_serves_its_pages_on_greenlets() {
    for library in ["gevent", "eventlet"] {
        let mut site = Site::new("green-django");
        copy_tree(
            &workspace().join("tests/apps/django_site"),
            &site.directory.join("project"),
        );
        site.config(&format!(
            r#"
            [app.web]
            wsgi = "mysite.wsgi:application"
            directory = "project"
            venv = "{}"
            green = "{library}"
            workers = 1

            [[site]]
            hosts = ["localhost"]
            app = "web"
            "#,
            virtualenv(python::python(), library).display()
        ));
        site.start();
        let pages: Vec<_> = (0..20).map(|_| site.beside("/")).collect();
        for page in pages {
            assert_eq!(page.join().unwrap().text(), "home\n");
        }
        // Through sessions and templates.
        let page = site.get("/admin/login/");
        assert!(page.text().contains("csrfmiddlewaretoken"), "{}", page.text());
        assert!(site.stop().success());
    }
}

#[test]
fn a_hundred_event_streams_stay_open_while_others_are_served() {
    for library in ["gevent", "eventlet"] {
        let mut site = flask("green-events", python::python(), library, "");
        site.start();
        let mut streams: Vec<Connection> = (0..100)
            .map(|_| {
                let mut client = site.connect();
                client
                    .send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    .unwrap();
                client
            })
            .collect();
        for client in &mut streams {
            assert_eq!(client.read_head().unwrap().status, 200);
            let event = client.read_chunk().unwrap().unwrap();
            assert_eq!(event, b"data: first\n\n");
        }
        // Of clients that leave nothing is left.
        streams.truncate(60);
        let body = "x".repeat(1 << 20);
        let answer = site.connect().request("POST", "/length", &[], body.as_bytes());
        assert_eq!(answer.text(), "1048576\n");
        site.write("go", "");
        for client in &mut streams {
            assert_eq!(client.read_chunk().unwrap().unwrap(), b"data: last\n\n");
            assert_eq!(client.read_chunk().unwrap(), None);
        }
        assert!(site.stop().success());
    }
}

/// An open event stream whose first event has come.
fn stream(site: &Site) -> Connection {
    let mut client = site.connect();
    client
        .send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(client.read_chunk().unwrap().unwrap(), b"data: first\n\n");
    client
}

#[test]
fn streams_outlive_a_reload_until_the_drain_ends_and_nobody_else_fails() {
    for (library, ended_by_application) in [
        ("gevent", true),
        ("gevent", false),
        ("eventlet", true),
        ("eventlet", false),
    ] {
        let mut site = flask("green-reload", python::python(), library, "");
        if !ended_by_application {
            let text = std::fs::read_to_string(site.directory.join("site.toml")).unwrap();
            site.write(
                "site.toml",
                format!("{text}\n[app.web.timeout]\ndrain = \"1s\"\n"),
            );
        }
        site.start();
        let old = site.get("/pid").text();
        let streams: Vec<_> = (0..20).map(|_| stream(&site)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicUsize::new(0));
        let others: Vec<_> = (0..4)
            .map(|_| {
                let (port, stop, answers) = (site.port, Arc::clone(&stop), Arc::clone(&answers));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let answer = Connection::open(port).get("/pid", &[]);
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        site.signal("HUP");
        wait_for("the new generation", || {
            (site.get("/pid").text() != old).then_some(())
        });
        if ended_by_application {
            site.write("go", "");
        }
        for mut client in streams {
            if ended_by_application {
                assert_eq!(client.read_chunk().unwrap().unwrap(), b"data: last\n\n");
                assert_eq!(client.read_chunk().unwrap(), None);
            } else {
                // It does not look as if the application had ended it.
                let end = client.read_chunk().map_err(|error| error.kind());
                assert_eq!(end, Err(ErrorKind::UnexpectedEof));
            }
        }
        wait_for("the old worker is gone", || {
            (site.processes_named("worker web").len() == 1).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        for client in others {
            client.join().unwrap();
        }
        assert!(answers.load(Ordering::Relaxed) > 4);
        assert!(site.stop().success());
    }
}

#[test]
fn slow_clients_of_large_answers_keep_nobody_waiting() {
    for library in ["gevent", "eventlet"] {
        let mut site = flask("green-slow", python::python(), library, "");
        site.start();
        let mut slow: Vec<Connection> = (0..4)
            .map(|_| {
                let mut client = site.connect();
                client
                    .send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    .unwrap();
                client
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(site.get("/meet/1").text(), "met\n");
        }
        for client in &mut slow {
            let body = client.read_response("GET").unwrap().body;
            assert!(body.len() == 480 * 65536 && body.iter().all(|&byte| byte == b'b'));
        }
        assert!(site.stop().success());
    }
}

#[test]
fn a_view_past_its_time_is_a_504_and_its_worker_goes_on() {
    for library in ["gevent", "eventlet"] {
        let more = "[app.web.timeout]\nrequest = \"1s\"";
        let mut site = flask("green-past", python::python(), library, more);
        site.expect_error("request ran past timeout.request");
        site.start();
        let before = site.get("/pid").text();
        assert_eq!(site.get("/hang").status, 504);
        site.wait_for_log("GET /hang: ran past its deadline and is ended");
        site.wait_for_log("time.sleep(1000)");
        assert_eq!(site.get("/pid").text(), before);
        let id = site.records(3)[1]["request_id"].as_str().unwrap().to_owned();
        let log = site.error_log();
        let printed = log.lines().find(|line| line.contains("about to hang")).unwrap();
        assert!(printed.contains(&id), "{printed}");
        assert!(site.stop().success());
    }
}

#[test]
fn the_standard_library_is_patched_before_the_application_is_imported() {
    for (library, preload) in [
        ("gevent", false),
        ("gevent", true),
        ("eventlet", false),
        ("eventlet", true),
    ] {
        let venv = virtualenv(python::python(), library);
        let mut keys = String::new();
        writeln!(keys, "venv = \"{}\"", venv.display()).unwrap();
        writeln!(keys, "green = \"{library}\"\npreload = {preload}").unwrap();
        let site = Site::new("green-bare");
        site.config(&format!(
            "[app.web]\nwsgi = \"wsgi\"\ndirectory = \"{{apps}}/green_bare\"\n{keys}\n[[site]]\napp = \"web\"\n"
        ));
        let mut site = site;
        site.start();
        let text = site.get("/").text();
        assert!(
            text.split(' ').all(|module| module.starts_with(library)),
            "{text}"
        );
        assert!(site.stop().success());
    }
}

/// An application that has patched the standard library by the time that the rest of it runs.
const PATCHED: &str = "
import os, threading, time
lock, here = threading.Lock(), threading.Barrier(4)

def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/meet':
        here.wait(30)
        with lock:
            time.sleep(0.01)
    elif path == '/hang':
        time.sleep(1000)
    start_response('200 OK', [])
    return [b'%d' % os.getpid()]
";

#[test]
fn an_application_that_patches_itself_runs_its_requests_at_the_same_time_without_a_word_of_green() {
    for (library, patches, module, hangs) in [
        (
            "gevent",
            "from gevent import monkey\nmonkey.patch_all()\n",
            "site_app",
            true,
        ),
        (
            "eventlet",
            "import eventlet\neventlet.monkey_patch()\n",
            "site_app",
            false,
        ),
        (
            "gevent",
            "import gevent.monkey\ngevent.monkey.patch_all()\n",
            "settings",
            false,
        ),
    ] {
        let mut site = Site::new("green-self");
        let app = match module {
            "site_app" => format!("{patches}{PATCHED}"),
            other => {
                site.write(&format!("app/{other}.py"), patches);
                format!("import {other}\n{PATCHED}")
            }
        };
        site.write("app/site_app.py", app);
        site.config(&format!(
            r#"
            [app.web]
            wsgi = "site_app:app"
            directory = "{{dir}}/app"
            venv = "{}"
            workers = 1
            threads = 4
            timeout = {{ request = "{}" }}

            [[site]]
            app = "web"
            "#,
            virtualenv(python::python(), library).display(),
            if hangs { "3s" } else { "60s" }
        ));
        let check = site.command(&["check"]).output().unwrap();
        let told = String::from_utf8_lossy(&check.stdout);
        let greenlets =
            format!("with {library}, so each worker runs 4 requests at a time, each in a greenlet");
        assert!(
            check.status.success() && told.contains(&greenlets) && !told.contains("4 threads"),
            "{told}"
        );
        site.expect_error("request ran past timeout.request");
        site.start();
        site.wait_for_log("4 requests at a time, each in a greenlet");
        // Eight meet by four and want one lock.
        let meeting: Vec<_> = (0..8).map(|_| site.beside("/meet")).collect();
        let mut workers: Vec<_> = meeting
            .into_iter()
            .map(|view| view.join().unwrap().text())
            .collect();
        workers.dedup();
        assert_eq!(workers.len(), 1, "{workers:?}");
        if hangs {
            // It is ended alone.
            assert_eq!(site.get("/hang").status, 504);
            assert_eq!(site.get("/").text(), workers[0]);
        }
        assert!(site.stop().success());
    }
}

/// What works under gunicorn as it is started without a word: views one after the other, in the main
/// greenlet.
const ONE_BY_ONE: &str = "
import asyncio, greenlet

running = 0

def app(environ, start_response):
    global running
    running += 1
    alone = running == 1 and greenlet.getcurrent().parent is None
    with lock:
        asyncio.run(asyncio.sleep(0.02))
        time.sleep(0.02)
    running -= 1
    start_response('200 OK', [])
    return [b'alone' if alone else b'among others']
";

#[test]
fn an_application_that_patches_itself_works_without_a_word_of_threads_as_it_does_under_gunicorn() {
    let lock = "import threading, time\nlock = threading.Lock()\n";
    let (gevent, eventlet) = (
        "from gevent import monkey\nmonkey.patch_all()\n",
        "import eventlet\neventlet.monkey_patch()\n",
    );
    for (library, begin, preload) in [
        ("gevent", format!("{gevent}{lock}"), true),
        // The lock stays a real one, which greenlets that want it never get.
        ("gevent", format!("{lock}{gevent}"), true),
        ("gevent", format!("{lock}{gevent}"), false),
        ("eventlet", format!("{eventlet}{lock}"), true),
    ] {
        let mut site = Site::new("green-one");
        site.write("app/site_app.py", format!("{begin}{ONE_BY_ONE}"));
        site.config(&format!(
            "[app.web]\nwsgi = \"site_app:app\"\ndirectory = \"app\"\nvenv = \"{}\"\nworkers = 2\n\
             preload = {preload}\n[[site]]\napp = \"web\"\n",
            virtualenv(python::python(), library).display()
        ));
        let check = site.command(&["check"]).output().unwrap();
        let told = String::from_utf8_lossy(&check.stdout);
        let runs = format!("with {library}, so each worker runs one request at a time, in its main thread");
        assert!(check.status.success() && told.contains(&runs), "{told}");
        assert!(!told.contains("threads in each worker"), "{told}");
        site.start();
        site.wait_for_log(&runs);
        let views: Vec<_> = (0..8).map(|_| site.beside("/")).collect();
        for view in views {
            assert_eq!(
                view.join().unwrap().text(),
                "alone",
                "{library}, preload {preload}"
            );
        }
        assert!(site.stop().success());
    }
}

#[test]
fn an_application_that_patches_all_but_threads_works_without_a_word_of_threads_too() {
    let begin = "from gevent import monkey\nmonkey.patch_all(thread=False)\nimport subprocess\n";
    let view = "def app(environ, start_response):\n    start_response('200 OK', [])\n    \
                return [subprocess.check_output(['echo', 'alone'])]\n";
    let mut site = Site::new("green-partly");
    site.write("app/site_app.py", format!("{begin}{view}"));
    site.config(&format!(
        "[app.web]\nwsgi = \"site_app:app\"\ndirectory = \"app\"\nvenv = \"{}\"\nworkers = 1\n\
         [[site]]\napp = \"web\"\n",
        virtualenv(python::python(), "gevent").display()
    ));
    site.start();
    site.wait_for_log("with gevent, so each worker runs one request at a time, in its main thread");
    let views: Vec<_> = (0..8).map(|_| site.beside("/")).collect();
    for view in views {
        assert_eq!(view.join().unwrap().text(), "alone\n");
    }
    assert!(site.stop().success());
}
