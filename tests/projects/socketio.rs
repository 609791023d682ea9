//! python-socketio and engineio with their own clients: long polling, the upgrade to a WebSocket, rooms,
//! bytes, a reload.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{client, client_command, site};
use crate::harness::{
    Site,
    curl::VERSIONS,
    python::{ASGI_PACKAGES, python, virtualenv},
    workspace,
};

const CONFIG: &str = r#"
    [server]
    grace = "2s"

    [app.web]
    asgi = "main:app"
    directory = "{apps}/socketio_site"
    venv = "{venv}"
    workers = 1
    timeout = { drain = "1s" }
"#;

/// A site with the application at its root and whatever `more` has.
fn socketio(test: &str, more: &str) -> Site {
    site(
        test,
        &format!("{CONFIG}\n[[site]]\nhttps = \"off\"\napp = \"web\"\n{more}"),
    )
}

/// What a scenario of the client tells.
#[track_caller]
fn scenario(site: &Site, scheme: &str, path: &str, name: &str, transports: &str) -> Value {
    let port = if scheme == "https" {
        site.tls_port
    } else {
        site.port
    };
    let url = format!("{scheme}://localhost:{port}");
    let told = client(
        site,
        "socketio_site",
        "client.py",
        &[&url, path, name, transports],
    );
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// What those in the rooms tell when everything is right.
fn talked(transport: &str, path: &str) -> Value {
    json!({
        "entered": [true, true, true],
        "said": ["ada", "hello 🎈"],
        "answered": ["bob", "you too"],
        "alone": true,
        "mirrored": true,
        "transport": transport,
        "served": transport,
        "path": path,
    })
}

#[test]
fn people_in_rooms_hear_each_other_by_polling_by_an_upgrade_and_by_a_websocket_alone() {
    let mut site = socketio("socketio-talk", "");
    for (scheme, transports, ends_as) in [
        ("http", "polling", "polling"),
        ("http", "both", "websocket"),
        ("https", "both", "websocket"),
        ("https", "websocket", "websocket"),
    ] {
        let told = scenario(&site, scheme, "socket.io", "talk", transports);
        assert_eq!(told, talked(ends_as, "/socket.io/"), "{scheme} {transports}");
    }
    assert_eq!(site.get("/").text(), "home\n");
    assert!(site.stop().success());
}

#[test]
fn the_clients_for_event_loops_and_of_engineio_alone_are_served() {
    let mut site = socketio(
        "socketio-loop",
        r#"
        [app.engine]
        asgi = "main:engine"
        directory = "{apps}/socketio_site"
        venv = "{venv}"
        workers = 1

        [[site.route]]
        path = "/engine.io/"
        mount = ""
        app = "engine"
        "#,
    );
    for transports in ["polling", "both", "websocket"] {
        let ends_as = if transports == "both" {
            "websocket"
        } else {
            transports
        };
        let told = scenario(&site, "http", "socket.io", "loop", transports);
        assert_eq!(told, json!({ "transport": ends_as, "mirrored": true }));
        let told = scenario(&site, "http", "engine.io", "engine", transports);
        assert_eq!(told, json!({ "transport": ends_as }));
    }
    let told = scenario(&site, "http", "socket.io", "refused", "both");
    assert_eq!(told, json!({ "refused": "who are you?" }));
    assert!(site.stop().success());
}

#[test]
fn it_is_served_below_a_path_and_with_bodies_that_are_on_their_way() {
    let mut site = site(
        "socketio-below",
        &format!(
            "{}\n[[site]]\nhttps = \"off\"\nrespond = \"nothing\"\n[[site.route]]\npath = \"/below\"\napp = \"web\"\nrequest_buffering = false\n",
            CONFIG.replace("main:app", "main:below")
        ),
    );
    for transports in ["polling", "both"] {
        let ends_as = if transports == "both" {
            "websocket"
        } else {
            transports
        };
        let told = scenario(&site, "http", "below/socket.io", "talk", transports);
        assert_eq!(told, talked(ends_as, "/below/socket.io/"), "{transports}");
    }
    assert!(site.stop().success());
}

#[test]
fn a_client_comes_back_by_itself_through_a_reload() {
    for transports in ["both", "polling"] {
        let mut site = socketio("socketio-reload", "");
        let url = format!("http://localhost:{}", site.port);
        let arguments = [url.as_str(), "socket.io", "again", transports];
        let mut client = client_command(&site, "socketio_site", "client.py", &arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
        let mut told = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
        let ends_as = if transports == "both" {
            "websocket"
        } else {
            transports
        };
        assert_eq!(told(), json!({ "connected": ends_as }));
        site.signal("HUP");
        assert_eq!(
            told(),
            json!({ "another": true, "entered": true, "transport": ends_as })
        );
        assert!(client.wait().unwrap().success());
        assert!(site.stop().success());
    }
}

#[test]
fn the_polling_of_a_browser_over_either_version_of_http_is_served() {
    let mut site = socketio("socketio-versions", "");
    for version in VERSIONS {
        let target = "/socket.io/?EIO=4&transport=polling";
        let opened = site.curl(version, target, &[]).text();
        let open: Value = serde_json::from_str(opened.strip_prefix('0').expect(&opened)).unwrap();
        let target = format!("{target}&sid={}", open["sid"].as_str().unwrap());
        let send = |text: &str| site.curl(version, &target, &["--data", text]).text();
        assert_eq!(send(r#"40{"name":"ada"}"#), "OK", "{version}");
        // The greeting of the namespace and the event may come one after the other.
        let mut heard = String::new();
        for _ in 0..3 {
            if !heard.contains("welcome") {
                heard += &site.curl(version, &target, &[]).text();
            }
        }
        assert!(heard.contains("welcome"), "{version} {heard}");
        // Five acknowledges the call that has this number.
        assert_eq!(send(r#"425["transport"]"#), "OK", "{version}");
        let told = site.curl(version, &target, &[]).text();
        assert_eq!(told, r#"435["polling"]"#, "{version}");
    }
    assert!(site.stop().success());
}

#[test]
fn a_websocket_over_http2_is_served() {
    let mut site = socketio("socketio-http2", "");
    let python = virtualenv(python(), ASGI_PACKAGES).join("bin/python");
    let output = Command::new(python)
        .arg(workspace().join("tests/apps/wsgi_sockets/http2_client.py"))
        .args([
            &site.tls_port.to_string(),
            "/socket.io/?EIO=4&transport=websocket",
            r#"40{"name":"ada"}"#,
            r#"425["transport"]"#,
            // The client hears as many messages as it sends; to these the server says nothing.
            "3",
            "3",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "200 ",
        "\n0{\"sid\":",
        "\n40{\"sid\":",
        "\n42[\"welcome\",",
        "\n435[\"websocket\"]\n",
    ] {
        assert!(
            output.status.success() && said.contains(part),
            "{part:?} in {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(site.stop().success());
}
