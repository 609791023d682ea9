//! WebSockets of WSGI applications whose libraries speak the protocol themselves: Flask-Sock,
//! simple-websocket and Flask-SocketIO as they are, on threads and on greenlets, over HTTP/1.1 and HTTP/2.

use std::{path::PathBuf, process::Command};

use crate::harness::{
    Connection, Message, Site, WebSocket, certificate::Certificate, processes, python, wait_for, workspace,
};

pub(crate) fn virtualenv() -> PathBuf {
    python::virtualenv(
        python::python(),
        &[
            "flask-sock",
            "simple-websocket",
            "flask-socketio",
            "python-socketio[client]",
            "gevent",
            "h2",
        ],
    )
}

/// A site of one of the applications, plain and over TLS.
fn site(test: &str, target: &str, keys: &str) -> Site {
    let site = Site::new(test);
    Certificate::new(&["localhost"]).write(&site.directory, "localhost");
    site.config(&format!(
        r#"
        [tls]
        certificates = [{{ certificate = "localhost.crt", key = "localhost.key" }}]

        [[listener]]
        address = "127.0.0.1:{{port}}"

        [[listener]]
        address = "127.0.0.1:{{tls_port}}"
        tls = true

        [app.web]
        wsgi = "{target}"
        directory = "{{apps}}/wsgi_sockets"
        venv = "{}"
        env = {{ GATE = "{{dir}}", MODE = "threading" }}
        workers = 1
        {keys}

        [[site]]
        https = "off"
        app = "web"
        "#,
        virtualenv().display()
    ));
    site
}

/// What a client of the applications' directory says.
fn client(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(virtualenv().join("bin/python"))
        .arg(workspace().join("tests/apps/wsgi_sockets").join(script))
        .args(arguments)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(site: &Site, target: &str) -> u16 {
    match WebSocket::ask(site.connect(), target, &[]) {
        Ok(_) => panic!("{target} is accepted"),
        Err(answer) => answer.status,
    }
}

#[test]
fn flask_sock_and_simple_websocket_speak_with_their_clients_on_every_host() {
    for keys in [
        "",
        "preload = false",
        "threads = 1",
        "green = \"gevent\"",
        "green = \"gevent\"\npreload = false",
    ] {
        let mut site = site("wsgi-sock", "site_app:app", keys);
        site.start();
        // The last one asks for the development server's way of ending.
        for (target, mark) in [("/echo", ""), ("/simple", "!"), ("/werkzeug/echo", "")] {
            let mut socket = WebSocket::ask(
                site.connect(),
                target,
                &[
                    ("Sec-WebSocket-Extensions", "x-unknown"),
                    ("Sec-WebSocket-Protocol", "other, chat"),
                ],
            )
            .unwrap_or_else(|answer| panic!("{target}: {answer:?}"));
            assert_eq!(socket.answer.header("upgrade"), Some("websocket"));
            if target == "/echo" {
                assert_eq!(socket.answer.header("sec-websocket-protocol"), Some("chat"));
            }
            for size in [0, 1, 126, 70_000, 1_000_000] {
                socket.text(&"x".repeat(size));
                assert_eq!(
                    socket.read_text(),
                    format!("{}{mark}", "x".repeat(size)),
                    "{target} {keys}"
                );
            }
            socket.close(1000);
            assert_eq!(socket.read(), Message::Close(1000, String::new()));
            assert_eq!(socket.read(), Message::Lost);
        }
        let mut left = WebSocket::open(site.port, "/leave");
        assert_eq!(left.read_text(), "bye");
        assert_eq!(left.read(), Message::Close(1000, String::new()));
        drop(left);
        let records = site.records(4);
        for record in &records {
            assert_eq!(
                (&record["status"], &record["outcome"]),
                (&101.into(), &"ok".into()),
                "{record}"
            );
        }
        assert!(
            records[0]["bytes_in"].as_u64() > Some(1_000_000),
            "{}",
            records[0]
        );
        assert!(
            records[0]["bytes_out"].as_u64() > Some(1_000_000),
            "{}",
            records[0]
        );
        let log = site.error_log();
        assert!(!log.contains(" ERROR ") && !log.contains("Traceback"), "{log}");
        assert!(site.stop().success());
    }
}

#[test]
fn over_http2_the_application_sees_the_handshake_of_http1() {
    let mut site = site("wsgi-http2", "site_app:app", "");
    site.start();
    let port = site.tls_port.to_string();
    let ask = |arguments: &[&str]| client("http2_client.py", &[&[port.as_str()], arguments].concat());
    let said = ask(&["/echo", "hallo", "welt", "*1000000"]);
    assert_eq!(
        said,
        "200 chat False False\nhallo\nwelt\n1000000 bytes\nclosed 1000\nended\n"
    );
    assert_eq!(
        ask(&["/leave", "x"]),
        "200 chat False False\nbye\nclosed 1000\nended\n"
    );
    // A page is none, and what it says of itself is not an acceptance.
    assert_eq!(ask(&["/plain"]), "501 None False False\n");
    assert_eq!(ask(&["/nowhere"]), "404 None False False\n");
    let records = site.records(4);
    let statuses: Vec<_> = records
        .iter()
        .map(|record| record["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 200, 501, 404]);
    assert!(
        records[0]["bytes_out"].as_u64() > Some(1_000_000),
        "{}",
        records[0]
    );
    assert!(site.stop().success());
}

#[test]
fn socket_io_polls_and_upgrades_on_threads_and_on_greenlets() {
    for keys in ["threads = 8", "green = \"gevent\"\nenv = { MODE = \"gevent\" }"] {
        let mut site = site("wsgi-socketio", "socketio_app:app", "");
        let text = std::fs::read_to_string(site.directory.join("site.toml")).unwrap();
        let mode = if keys.contains("gevent") {
            "gevent"
        } else {
            "threading"
        };
        let text = text.replace("MODE = \"threading\"", &format!("MODE = \"{mode}\""));
        let first = keys.lines().next().unwrap();
        site.write(
            "site.toml",
            text.replace("workers = 1", &format!("workers = 1\n{first}")),
        );
        site.start();
        let url = format!("http://127.0.0.1:{}", site.port);
        for (transports, expected) in [
            ("polling,websocket", "websocket"),
            ("websocket", "websocket"),
            ("polling", "polling"),
        ] {
            let said = client("socketio_client.py", &[&url, transports]);
            let words: Vec<_> = said.split_whitespace().collect();
            assert_eq!(
                (words.first(), words.last()),
                (Some(&expected), Some(&"400000")),
                "{keys}: {said}"
            );
            assert!(said.contains("hello 2"), "{said}");
        }
        let log = site.error_log();
        assert!(!log.contains(" ERROR ") && !log.contains("Traceback"), "{log}");
        assert!(site.stop().success());
    }
}

#[test]
fn an_application_that_knows_no_websockets_is_asked_as_ever() {
    let mut site = site("wsgi-plain", "site_app:app", "");
    site.start();
    let answer = WebSocket::ask(site.connect(), "/plain", &[]).err().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "plain"));
    let answer = WebSocket::ask(site.connect(), "/environ", &[]).err().unwrap();
    assert_eq!(answer.text(), "('websocket', 'Upgrade', True)");
    // What is no handshake comes without a socket, and its connection goes on.
    let mut connection = site.connect();
    for fields in [
        &[][..],
        &[("Upgrade", "h2c"), ("Connection", "Upgrade")],
        &[("Upgrade", "websocket"), ("Connection", "Upgrade")],
    ] {
        let told = connection.get("/environ", fields).text();
        assert!(told.ends_with("False)"), "{fields:?}: {told}");
    }
    assert!(site.stop().success());
}

#[test]
fn what_an_application_writes_has_to_be_an_acceptance() {
    let mut site = site(
        "wsgi-rubbish",
        "site_app:app",
        "[app.web.timeout]\nrequest = \"1s\"",
    );
    site.expect_error("the application ");
    site.expect_error("ran past timeout.request");
    site.expect_error("still runs");
    // Killed, because a request that stands still would last for the whole grace.
    site.expect_error("proxy ends without its supervisor");
    site.start();
    for target in ["/rubbish", "/forged", "/half"] {
        assert_eq!(refused(&site, target), 502, "{target}");
    }
    site.wait_for_log_times("the application answered wrongly on its socket", 3);
    site.wait_for_log("it does not begin with HTTP/1.1 101");
    site.wait_for_log("Sec-WebSocket-Accept does not answer the client's key");
    site.wait_for_log("head without an end");
    // What ends libraries is an error of those who have not answered.
    for target in ["/stops", "/refused"] {
        assert_eq!(refused(&site, target), 500, "{target}");
    }
    site.wait_for_log("ConnectionRefusedError: a database");
    assert_eq!(refused(&site, "/silent"), 504);
    site.wait_for_log("ran past timeout.request");
    site.signal("KILL");
}

#[test]
fn a_websocket_outlives_the_deadline_of_requests_and_its_client_sets_its_thread_free() {
    let keys = "threads = 1\n[app.web.timeout]\nrequest = \"1s\"";
    let mut site = site("wsgi-long", "site_app:app", keys);
    site.start();
    let mut socket = WebSocket::open(site.port, "/echo");
    let waits = site.beside("/page");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    socket.text("still here");
    assert_eq!(socket.read_text(), "still here");
    assert!(!waits.is_finished(), "the only thread is held");
    drop(socket);
    assert_eq!(waits.join().unwrap().status, 200);
    // One that only writes ends as well, and without an error.
    let mut ticks = WebSocket::open(site.port, "/tick");
    assert_eq!(ticks.read_text(), "tick");
    drop(ticks);
    site.lines_of("ticked", 1);
    assert_eq!(site.get("/page").status, 200);
    let records = site.records(4);
    let gone = records
        .iter()
        .filter(|record| record["outcome"] == "client_gone")
        .count();
    assert_eq!(gone, 2, "{records:#?}");
    let log = site.error_log();
    assert!(!log.contains(" ERROR ") && !log.contains("Traceback"), "{log}");
    assert!(site.stop().success());
}

#[test]
fn a_thread_that_does_not_hear_that_its_client_has_left_is_late_in_the_end() {
    let keys = "threads = 1\n[app.web.timeout]\nrequest = \"1s\"\ndrain = \"1s\"";
    let mut site = site("wsgi-deaf", "site_app:app", keys);
    site.expect_error("ran past timeout.request");
    site.expect_error("still runs");
    site.start();
    let mut deaf = WebSocket::open(site.port, "/deaf");
    assert_eq!(deaf.read_text(), "I hear nothing");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(
        !site.error_log().contains("timeout.request"),
        "{}",
        site.error_log()
    );
    drop(deaf);
    // By another worker.
    assert_eq!(site.get("/page").text(), "page");
    site.wait_for_log("ran past timeout.request");
    assert_eq!(site.records(2)[0]["status"], 101);
    assert!(site.stop().success());
}

#[test]
fn a_fault_behind_the_acceptance_is_told_to_both_sides() {
    let mut site = site("wsgi-fault", "site_app:app", "");
    site.expect_error("Exception on /raise");
    site.expect_error("died");
    site.start();
    let mut socket = WebSocket::open(site.port, "/raise");
    assert_eq!(socket.read_text(), "before");
    // Flask answers 500 for its view, which comes too late.
    assert_eq!(socket.read(), Message::Lost);
    site.wait_for_log("a fault of the view");

    let mut socket = WebSocket::open(site.port, "/echo");
    socket.text("here");
    assert_eq!(socket.read_text(), "here");
    let worker = site.processes_at_least("worker web/0", 1)[0].pid;
    processes::signal_pid(worker, "KILL");
    assert_eq!(socket.read(), Message::Close(1011, String::new()));
    let mut again = wait_for("the next worker", || {
        WebSocket::ask(Connection::open(site.port), "/echo", &[]).ok()
    });
    again.text("again");
    assert_eq!(again.read_text(), "again");
    again.close(1000);
    assert_eq!(again.read(), Message::Close(1000, String::new()));
    assert!(site.stop().success());
}

#[test]
fn at_a_reload_and_at_a_stop_clients_are_closed_with_1012() {
    for keys in ["threads = 8", "green = \"gevent\""] {
        let mut site = site("wsgi-reload", "site_app:app", keys);
        site.start();
        let mut sockets: Vec<_> = (0..5).map(|_| WebSocket::open(site.port, "/echo")).collect();
        for socket in &mut sockets {
            socket.text("before");
            assert_eq!(socket.read_text(), "before");
        }
        site.signal("HUP");
        for socket in &mut sockets {
            assert_eq!(socket.read(), Message::Close(1012, String::new()));
            socket.close(1012);
            assert_eq!(socket.read(), Message::Lost);
        }
        site.wait_for_log("generation=2");
        let mut again = wait_for("the new generation", || {
            WebSocket::ask(Connection::open(site.port), "/echo", &[]).ok()
        });
        again.text("after");
        assert_eq!(again.read_text(), "after");
        site.signal("TERM");
        assert_eq!(again.read(), Message::Close(1012, String::new()));
        drop(again);
        assert!(site.wait().success());
        let log = site.error_log();
        assert!(!log.contains(" ERROR ") && !log.contains("Traceback"), "{log}");
    }
}

#[test]
fn eventlets_own_websockets_find_their_socket() {
    let mut site = Site::new("wsgi-eventlet");
    let app = "from eventlet.websocket import WebSocketWSGI\n\
        @WebSocketWSGI\n\
        def app(ws):\n\
        \x20   while True:\n\
        \x20       message = ws.wait()\n\
        \x20       if message is None:\n\
        \x20           break\n\
        \x20       ws.send(message * 2)\n";
    site.write("app/chat.py", app);
    let venv = python::virtualenv(python::python(), &["eventlet"]);
    let keys = format!(
        "wsgi = \"chat:app\"\ngreen = \"eventlet\"\nworkers = 1\nvenv = \"{}\"",
        venv.display()
    );
    site.config(&format!(
        "[app.web]\ndirectory = \"{{dir}}/app\"\n{keys}\n[[site]]\napp = \"web\"\n"
    ));
    site.start();
    let mut sockets: Vec<_> = (0..20).map(|_| WebSocket::open(site.port, "/")).collect();
    for socket in &mut sockets {
        socket.text(&"x".repeat(400_000));
    }
    for socket in &mut sockets {
        assert_eq!(socket.read_text().len(), 800_000);
        socket.close(1000);
        assert!(matches!(socket.read(), Message::Close(..)));
    }
    let log = site.error_log();
    assert!(!log.contains(" ERROR ") && !log.contains("Traceback"), "{log}");
    assert!(site.stop().success());
}
