//! A real Flask application made by a factory, on every Python of the machine.

use crate::harness::{
    Site,
    python::{self, Python, on_each_python},
    wait_for,
};

fn flask(test: &str, python: &Python, more: &str) -> Site {
    let venv = python::virtualenv(python, &["flask"]);
    let site = Site::new(test);
    site.config(&format!(
        r#"
        [app.shop]
        wsgi = "site_app:create_app()"
        directory = "{{apps}}/flask_site"
        venv = "{}"
        workers = 2
        {more}

        [[site]]
        app = "shop"

        [[site]]
        hosts = ["mounted.example"]
        [[site.route]]
        path = "/shop"
        app = "shop"
        "#,
        venv.display()
    ));
    site
}

on_each_python!(the_application_runs_on_every_python_with_and_without_preload);

fn the_application_runs_on_every_python_with_and_without_preload(python: &Python) {
    for preload in [false, true] {
        let mut site = flask("flask-pythons", python, &format!("preload = {preload}"));
        site.start();
        let who = site.get("/who").text();
        assert!(
            who.contains(&format!("\"version\":\"{}.", python.version)),
            "{who}"
        );
        assert!(who.contains("\"address\":\"127.0.0.1\""), "{who}");
        assert!(site.stop().success());
    }
}

#[test]
fn an_application_mounted_below_a_prefix_knows_it() {
    let mut site = flask("flask-mount", python::python(), "");
    site.start();
    let who = site
        .connect()
        .get("/shop/who", &[("Host", "mounted.example")])
        .text();
    assert!(
        who.contains("\"root\":\"/shop\"") && who.contains("\"path\":\"/who\""),
        "{who}"
    );
    let who = site.get("/who").text();
    assert!(who.contains("\"root\":\"\""), "{who}");
    assert!(site.stop().success());
}

#[test]
fn bodies_come_back_whatever_their_size_and_framing() {
    let mut site = flask("flask-echo", python::python(), "");
    site.start();
    let mut client = site.connect();
    for size in [0, 1, 65_535, 65_536, 65_537, 3 << 20] {
        let body: Vec<u8> = (0..size).map(|i: usize| ((i * 31) >> 3) as u8).collect();
        let answer = client.request("POST", "/echo", &[("Content-Length", &size.to_string())], &body);
        assert_eq!(answer.status, 200);
        assert!(answer.body == body, "{size} bytes");
    }
    let chunked = b"4\r\nabcd\r\n3;ext=1\r\nefg\r\n0\r\nTrailer: x\r\n\r\n";
    let answer = client.request("POST", "/echo", &[("Transfer-Encoding", "chunked")], chunked);
    assert_eq!((answer.status, answer.text().as_str()), (200, "abcdefg"));
    assert!(site.stop().success());
}

#[test]
fn a_broken_view_is_a_500_and_the_worker_lives_on() {
    let mut site = flask("flask-broken", python::python(), "");
    site.expect_error("Exception on /broken");
    site.start();
    let workers = || {
        let mut pids: Vec<i32> = site
            .processes_named("worker shop")
            .iter()
            .map(|worker| worker.pid)
            .collect();
        pids.sort_unstable();
        (pids.len() == 2).then_some(pids)
    };
    let before = wait_for("both workers run", workers);
    let broken = site.get("/broken");
    assert!(broken.status == 500 && !broken.text().contains("RuntimeError"));
    assert_eq!(site.get("/missing").status, 404);
    assert_eq!(site.get("/").text(), "home\n");
    site.wait_for_log("RuntimeError: the view is broken");
    assert_eq!(workers(), Some(before), "the same processes");
    assert!(site.stop().success());
}
