//! A real Django project behind the real program, over HTTPS, as its administrator and its users see it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::{
    Connection, Response, Site,
    certificate::Certificate,
    python::{self, Python, on_each_python},
    site::copy_tree,
    workspace,
};

const CONFIG: &str = r#"
    [app.web]
    wsgi = "mysite.wsgi:application"
    directory = "project"
    venv = "{venv}"
    workers = 2

    [tls]
    certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]

    [[listener]]
    address = "127.0.0.1:{port}"

    [[listener]]
    address = "127.0.0.1:{tls_port}"
    tls = true

    [[site]]
    hosts = ["localhost"]
    body_max = "300MiB"
    files = { "/static/" = "project/static/", "/media/" = "project/media/" }
    app = "web"
"#;

/// A site with a migrated project, an administrator and collected static files.
fn django(test: &str, python: &Python) -> (Site, Certificate) {
    let mut site = Site::new(test);
    let venv = python::virtualenv(python, &["django"]);
    let project = site.directory.join("project");
    copy_tree(&workspace().join("tests/apps/django_site"), &project);
    manage(&venv, &project, &["migrate", "--verbosity=0"]);
    manage(&venv, &project, &["collectstatic", "--noinput", "--verbosity=0"]);
    manage(
        &venv,
        &project,
        &[
            "createsuperuser",
            "--noinput",
            "--username=admin",
            "--email=admin@example.org",
        ],
    );
    fs::create_dir_all(project.join("media")).unwrap();
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    site.config(&CONFIG.replace("{venv}", &venv.display().to_string()));
    site.start();
    (site, certificate)
}

fn manage(venv: &Path, project: &Path, arguments: &[&str]) {
    let output = Command::new(venv.join("bin/python"))
        .arg("manage.py")
        .args(arguments)
        .env("DJANGO_SUPERUSER_PASSWORD", "correct horse")
        .current_dir(project)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Cookies that an answer sets, as a Cookie field.
fn cookies(response: &Response) -> String {
    response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .filter_map(|(_, value)| value.split(';').next())
        .collect::<Vec<_>>()
        .join("; ")
}

fn form_token(page: &str) -> &str {
    let marker = "name=\"csrfmiddlewaretoken\" value=\"";
    let start = page.find(marker).expect("the page has a form with a token") + marker.len();
    page[start..].split('"').next().unwrap()
}

fn the_administrator_logs_in_over_https(python: &Python) {
    let (mut site, certificate) = django("django-admin", python);
    let mut client = Connection::open_tls(site.tls_port, certificate.client(), "localhost");

    let page = client.get("/admin/login/?next=/admin/", &[]);
    assert_eq!(page.status, 200, "{}", page.text());
    let style = client.get("/static/admin/css/base.css", &[]);
    assert_eq!(
        (style.status, style.header("content-type")),
        (200, Some("text/css; charset=utf-8"))
    );

    let form = format!(
        "csrfmiddlewaretoken={}&username=admin&password=correct+horse&next=/admin/",
        form_token(&page.text())
    );
    let cookie = cookies(&page);
    let origin = format!("https://localhost:{}", site.tls_port);
    let host = format!("localhost:{}", site.tls_port);
    let headers = [
        ("Host", host.as_str()),
        ("Cookie", cookie.as_str()),
        ("Origin", origin.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let answer = client.request("POST", "/admin/login/?next=/admin/", &headers, form.as_bytes());
    assert_eq!(
        answer.status,
        302,
        "CSRF and the password are accepted: {}",
        answer.text()
    );
    let home = client.get("/admin/", &[("Host", &host), ("Cookie", &cookies(&answer))]);
    assert!(home.status == 200 && home.text().contains("Site administration"));

    // Without the token the same form is refused: the check is really on.
    let forged = client.request(
        "POST",
        "/admin/login/",
        &headers[..3],
        b"username=admin&password=correct+horse",
    );
    assert_eq!(forged.status, 403);
    assert!(site.stop().success());
}

// Django's newest release supports only newer Pythons; pip picks the newest that fits each.
on_each_python!(the_administrator_logs_in_over_https);

#[test]
fn two_hundred_megabytes_go_up_and_come_back() {
    let (mut site, certificate) = django("django-upload", python::python());
    let block: Vec<u8> = (0..1u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let blocks = 200;
    let head = "--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big.bin\"\r\n\
                Content-Type: application/octet-stream\r\n\r\n";
    let tail = "\r\n--frontier--\r\n";
    let size = block.len() * blocks;

    let mut client = Connection::open_tls(site.tls_port, certificate.client(), "localhost");
    client
        .send(format!(
            "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=frontier\r\n\
             Content-Length: {}\r\n\r\n{head}",
            head.len() + size + tail.len()
        ))
        .unwrap();
    for _ in 0..blocks {
        client.send(&block).unwrap();
    }
    client.send(tail).unwrap();
    let answer = client.read_response("POST").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        answer.text().contains(&format!("\"size\": {size}")),
        "{}",
        answer.text()
    );

    // From the application (file_wrapper) and from the web server (media), byte for byte.
    for target in ["/download/big.bin", "/media/big.bin"] {
        let answer = client.get(target, &[]);
        assert_eq!((answer.status, answer.body.len()), (200, size), "{target}");
        assert!(
            answer.body.chunks(block.len()).all(|chunk| chunk == block),
            "{target}"
        );
    }
    drop(client);
    assert!(site.stop().success());
}

#[test]
fn plain_http_is_redirected_to_https() {
    let (mut site, _) = django("django-redirect", python::python());
    let redirect = site.get("/stream?x=1");
    assert_eq!(redirect.status, 301);
    assert_eq!(redirect.header("location"), Some("https://localhost/stream?x=1"));
    assert!(site.stop().success());
}

#[test]
fn parts_of_a_stream_arrive_as_they_are_made() {
    let (mut site, certificate) = django("django-parts", python::python());
    let mut client = Connection::open_tls(site.tls_port, certificate.client(), "localhost");
    client
        .send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"first\n"[..]));
    // Only now may the application make the second part.
    site.write("project/seen", "");
    assert_eq!(client.read_chunk().unwrap().as_deref(), Some(&b"second\n"[..]));
    assert_eq!(client.read_chunk().unwrap(), None);
    assert!(site.stop().success());
}

#[test]
fn an_exception_is_a_500_for_the_client_and_a_traceback_in_the_log() {
    let (mut site, certificate) = django("django-broken", python::python());
    site.expect_error("the view is broken")
        .expect_error("Internal Server Error: /broken");
    let mut client = Connection::open_tls(site.tls_port, certificate.client(), "localhost");
    let answer = client.get("/broken", &[]);
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("RuntimeError"));
    site.wait_for_log("RuntimeError: the view is broken");
    assert!(site.stop().success());
}

#[test]
fn the_application_sees_the_real_client_and_scheme() {
    let (mut site, certificate) = django("django-who", python::python());
    let mut client = Connection::open_tls(site.tls_port, certificate.client(), "localhost");
    let who = client
        .get(
            "/who",
            &[("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "http")],
        )
        .text();
    assert!(
        who.contains("\"address\": \"127.0.0.1\"") && who.contains("\"secure\": true"),
        "{who}"
    );
    assert!(site.stop().success());
}
