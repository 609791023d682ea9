//! The demo that the README begins with, as `deploy/try.sh` runs it.

use std::fs;

use crate::harness::{Connection, Site, certificate::Certificate, site::copy_tree, wait_for, workspace};

#[test]
fn the_demo_shows_a_page_its_files_an_application_and_the_logs() {
    let mut site = Site::new("demo");
    copy_tree(&workspace().join("deploy/demo"), &site.directory);
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    let text = fs::read_to_string(site.directory.join("site.toml")).unwrap();
    let text = text
        .replace(":8000", &format!(":{}", site.port))
        .replace(":8443", &format!(":{}", site.tls_port));
    site.write("site.toml", text);
    site.start();

    let mut plain = site.connect();
    let mut secure = Connection::open_tls(site.tls_port, certificate.client(), "localhost");
    for (client, scheme) in [(&mut plain, "http"), (&mut secure, "https")] {
        let page = client.get("/", &[]).text();
        assert!(
            page.contains("It works") && page.contains("/static/demo.css"),
            "{page}"
        );
        let style = client.get("/static/demo.css", &[]);
        assert_eq!(
            (style.status, style.header("content-type")),
            (200, Some("text/css; charset=utf-8"))
        );
        let page = client.get("/app", &[]).text();
        for part in ["GET /app", "127.0.0.1", &format!("<code>{scheme}</code>")] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let sent = client.request("POST", "/app", &[], b"word=a").text();
        assert!(sent.contains("You sent 6 bytes."), "{sent}");
        assert_eq!(client.get("/missing", &[]).status, 404);
    }
    for line in [
        "\"GET / HTTP/1.1\" 200 ",
        "\"GET /static/demo.css HTTP/1.1\" 200 ",
        "\"POST /app HTTP/1.1\" 200 ",
        ": the application answers GET /\n",
    ] {
        wait_for(&format!("{line:?} twice on the terminal"), || {
            (site.output().matches(line).count() == 2).then_some(())
        });
    }
    drop((plain, secure));
    assert!(site.stop().success());
}
