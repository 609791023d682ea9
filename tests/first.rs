//! The main job in one test: a file, an application and one log behind one port.

use crate::harness::Site;

#[test]
fn a_file_and_an_application_are_served_and_logged() {
    let mut site = Site::new("first");
    site.write("static/hello.txt", "from a file\n");
    site.config(
        r#"
        [app.web]
        wsgi = "wsgi:application"
        directory = "{apps}/hello"
        python = "{python}"
        workers = 2

        [[site]]
        files = { "/static/" = "static/" }
        app = "web"
        "#,
    );
    site.start();

    let file = site.get("/static/hello.txt");
    assert_eq!((file.status, file.text().as_str()), (200, "from a file\n"));
    let page = site.get("/anything?x=1");
    assert_eq!((page.status, page.text().as_str()), (200, "hello\n"));
    assert_eq!(page.header("content-type"), Some("text/plain"));

    let lines = site.access_lines(2);
    assert!(
        lines[0].contains("\"target\":\"/static/hello.txt\""),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains("\"app\":\"web\""), "{}", lines[1]);
    assert!(site.stop().success());
    assert!(site.processes().is_empty(), "{:?}", site.processes());
}
