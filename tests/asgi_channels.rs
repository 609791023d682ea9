//! Django Channels: the tutorial's chat, with Django's views beside it; and Django in both worlds at once.

use crate::harness::{
    Connection, Message, Site, WebSocket,
    python::{self, ASGI_PACKAGES},
};

fn of_project(test: &str, config: &str) -> Site {
    let mut site = Site::new(test);
    let venv = python::virtualenv(python::python(), ASGI_PACKAGES);
    site.config(&config.replace("{venv}", &venv.display().to_string()));
    site.start();
    site
}

fn channels(test: &str) -> Site {
    of_project(
        test,
        r#"
        [app.web]
        asgi = "mysite.asgi:application"
        directory = "{apps}/channels_site"
        venv = "{venv}"
        workers = 1

        [[site]]
        app = "web"
        "#,
    )
}

/// A session, as the cookie that the login gives.
fn session(site: &Site, name: &str) -> String {
    let answer = site.get(&format!("/login/{name}"));
    let cookie = answer.header("set-cookie").expect("a session");
    cookie.split(';').next().unwrap().to_owned()
}

/// A WebSocket of a page of this site.
fn chat(site: &Site, room: &str, headers: &[(&str, &str)]) -> WebSocket {
    let headers = [headers, &[("Origin", "http://localhost")]].concat();
    WebSocket::ask(
        Connection::open(site.port),
        &format!("/ws/chat/{room}/"),
        &headers,
    )
    .unwrap()
}

#[test]
fn the_chat_of_the_tutorial_knows_who_speaks_and_who_left() {
    let mut site = channels("channels-chat");
    let cookie = session(&site, "ada");
    let mut ada = chat(&site, "blue", &[("Cookie", &cookie)]);
    assert_eq!(ada.read_text(), r#"{"welcome": "ada"}"#);
    let mut bob = chat(&site, "blue", &[]);
    assert_eq!(bob.read_text(), r#"{"welcome": "somebody"}"#);
    let mut eve = chat(&site, "red", &[]);
    eve.read_text();
    ada.text(r#"{"message": "hello"}"#);
    for socket in [&mut ada, &mut bob] {
        assert_eq!(socket.read_text(), r#"{"message": "ada: hello"}"#);
    }
    bob.close(1001);
    assert_eq!(bob.read(), Message::Close(1001, String::new()));
    assert_eq!(ada.read_text(), r#"{"message": "somebody left: 1001"}"#);

    // Another room has heard nothing, and synchronous consumers run in threads.
    eve.text(r#"{"message": "alone"}"#);
    assert_eq!(eve.read_text(), r#"{"message": "somebody: alone"}"#);
    let origin = [("Origin", "http://localhost")];
    let mut sync = WebSocket::ask(Connection::open(site.port), "/ws/sync/", &origin).unwrap();
    sync.text("hi");
    assert_eq!(sync.read_text(), "hi main=False");
    drop((ada, eve, sync));
    assert!(site.stop().success());
}

#[test]
fn a_page_from_elsewhere_is_refused_its_websocket() {
    let mut site = channels("channels-origin");
    let origin = [("Origin", "http://evil.example")];
    let refused = WebSocket::ask(Connection::open(site.port), "/ws/chat/blue/", &origin);
    assert_eq!(refused.err().map(|answer| answer.status), Some(403));
    let origin = [("Origin", "http://localhost")];
    assert!(WebSocket::ask(Connection::open(site.port), "/ws/chat/blue/", &origin).is_ok());
    assert!(site.stop().success());
}

#[test]
fn views_of_both_kinds_are_served_beside_the_chat() {
    let mut site = channels("channels-views");
    assert_eq!(site.get("/").text(), "home\n");
    assert_eq!(site.get("/slow").text(), "slow\n");
    assert_eq!(site.get("/stream").text(), "0\n1\n2\n");
    let how = site.get("/how").text();
    assert!(
        how.contains("\"ASGIRequest\"") && how.contains("\"127.0.0.1\""),
        "{how}"
    );
    assert!(site.stop().success());
}

#[test]
fn django_alone_under_asgi_is_served_and_says_once_what_it_costs() {
    for preload in [true, false] {
        let mut site = of_project(
            "django-asgi",
            &r#"
            [app.web]
            asgi = "mysite.asgi:django_application"
            directory = "{apps}/channels_site"
            venv = "{venv}"
            workers = 3
            preload = {preload}

            [[site]]
            app = "web"
            "#
            .replace("{preload}", &preload.to_string()),
        );
        assert_eq!(site.get("/slow").text(), "slow\n");
        site.wait_for_log_times("worker ready", 3);
        // What a worker prints comes by another way than its word that it is ready.
        assert!(site.stop().success());
        let log = site.error_log();
        assert_eq!(log.matches("is Django under ASGI").count(), 1, "{log}");
    }
}

#[test]
fn wsgi_and_asgi_share_a_site_and_a_log() {
    let mut site = of_project(
        "two-worlds",
        r#"
        [app.web]
        wsgi = "mysite.wsgi:application"
        directory = "{apps}/channels_site"
        venv = "{venv}"
        workers = 1

        [app.live]
        asgi = "mysite.asgi:application"
        directory = "{apps}/channels_site"
        venv = "{venv}"
        workers = 1

        [[site]]
        app = "web"

        [[site.route]]
        path = "/ws/"
        mount = "/"
        app = "live"
        "#,
    );
    let how = site.get("/how").text();
    assert!(how.contains("\"WSGIRequest\""), "{how}");
    // The session that one world gave is known in the other.
    let cookie = session(&site, "ada");
    let mut ada = chat(&site, "blue", &[("Cookie", &cookie)]);
    assert_eq!(ada.read_text(), r#"{"welcome": "ada"}"#);
    ada.text(r#"{"message": "hello"}"#);
    assert_eq!(ada.read_text(), r#"{"message": "ada: hello"}"#);
    ada.close(1000);
    ada.read();
    let records = site.records(3);
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            (
                record["target"].as_str().unwrap(),
                record["status"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("/how", 200), ("/login/ada", 200), ("/ws/chat/blue/", 101)]
    );
    assert!(site.stop().success());
}
