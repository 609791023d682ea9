//! FastAPI, on the oldest and the newest Python it can be installed on, with either event loop.

use crate::harness::{
    Site,
    python::{self, ASGI_PACKAGES, Python},
};

/// The system's Python, and the newest other one.
fn two_pythons() -> Vec<(&'static Python, &'static [&'static str])> {
    let newest = python::pythons()
        .iter()
        .filter(|other| *other != python::python())
        .max_by_key(|other| {
            other
                .version
                .split('.')
                .nth(1)
                .and_then(|minor| minor.parse::<u32>().ok())
        });
    let mut two: Vec<(_, &'static [&'static str])> = vec![(python::python(), ASGI_PACKAGES)];
    two.extend(newest.map(|newest| (newest, &["fastapi", "python-multipart"][..])));
    two
}

fn fastapi(test: &str, python: &Python, packages: &[&str], keys: &str) -> Site {
    let venv = python::virtualenv(python, packages);
    let keys = format!("asgi = \"main:app\"\nvenv = \"{}\"\n{keys}", venv.display());
    let mut site = Site::of_app(test, "fastapi_site", &keys, "");
    site.start();
    site
}

#[test]
fn the_tutorial_works_on_two_pythons() {
    for (python, packages) in two_pythons() {
        let mut site = fastapi(
            "fastapi-tutorial",
            python,
            packages,
            "workers = 1\nlifespan = \"on\"",
        );
        let mut client = site.connect();
        let version = client.get("/version", &[]).text();
        assert_eq!(version, format!("{{\"version\":\"{}\"}}", python.version));

        // JSON both ways, checked, with the state that the lifespan made.
        assert_eq!(
            client.get("/items/1", &[]).text(),
            r#"{"name":"lamp","price":9.5}"#
        );
        assert_eq!(client.get("/items/2", &[]).status, 404);
        assert_eq!(client.get("/items/x", &[]).status, 422);
        let json = [("Content-Type", "application/json")];
        let put = client.request("PUT", "/items/2", &json, br#"{"name": "chair", "price": 20}"#);
        assert_eq!(
            put.text(),
            r#"{"number":2,"name":"chair","price":20.0,"tags":[]}"#
        );
        let wrong = client.request("PUT", "/items/2", &json, br#"{"name": "chair", "price": -1}"#);
        assert!(
            wrong.status == 422 && wrong.text().contains("greater than 0"),
            "{}",
            wrong.text()
        );

        // Dependencies.
        assert_eq!(client.get("/me", &[]).status, 422);
        assert_eq!(client.get("/me", &[("X-Token", "guess")]).status, 401);
        assert_eq!(
            client.get("/me", &[("X-Token", "secret")]).text(),
            r#"{"name":"ada"}"#
        );

        // Two synchronous endpoints block at the same time, in threads.
        let (one, other) = (site.beside("/meet"), site.beside("/meet"));
        let texts = one.join().unwrap().text() + &other.join().unwrap().text();
        assert!(
            texts.contains("\"place\":0") && texts.contains("\"place\":1"),
            "{texts}"
        );
        assert!(!texts.contains("\"main\":true"), "{texts}");

        let form = [("Content-Type", "multipart/form-data; boundary=frontier")];
        let body = b"--frontier\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n--frontier\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
            twelve bytes\r\n--frontier--\r\n";
        let uploaded = client.request("POST", "/upload", &form, body).text();
        assert_eq!(
            uploaded,
            r#"{"name":"a.txt","type":"text/plain","size":12,"note":"hi"}"#
        );

        assert_eq!(client.request("POST", "/later", &[], b"").status, 200);
        crate::harness::wait_for("the background task", || {
            (site.get("/later").text() == "[\"done\"]").then_some(())
        });
        let schema = client.get("/openapi.json", &[]);
        assert!(schema.status == 200 && schema.text().contains("\"/items/{number}\""));
        assert_eq!(client.get("/docs", &[]).status, 200);

        let mut socket = site.websocket("/ws?name=ada");
        socket.text("[1, 2, 39]");
        assert_eq!(socket.read_text(), r#"{"to":"ada","sum":42}"#);
        socket.close(1000);
        socket.read();

        drop(client);
        assert!(site.stop().success());
        let log = site.error_log();
        assert!(
            log.contains("startup") && log.contains("shutdown"),
            "the lifespan: {log}"
        );
    }
}
