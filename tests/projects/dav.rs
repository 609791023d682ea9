//! WsgiDAV: methods that no page has, answers of 207 and 423, a Destination field, uploads with and without a
//! length.

use std::fs;

use super::{content, in_two_generations, venv};
use crate::harness::{Response, Site};

const CONFIG: &str = r#"
    [app.root]
    wsgi = "site_app:app"
    directory = "{apps}/dav_site"
    venv = "{venv}"
    workers = 1
    env = { SHARE = "{dir}/share" }

    [app.mounted]
    wsgi = "site_app:app"
    directory = "{apps}/dav_site"
    venv = "{venv}"
    workers = 1
    env = { SHARE = "{dir}/share", MOUNTED = "/dav" }

    [[site]]
    app = "root"

    [[site.route]]
    path = "/dav"
    app = "mounted"
"#;

const LOCK: &str = r#"<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>
    <D:locktype><D:write/></D:locktype></D:lockinfo>"#;

/// What a file manager does with a share.
#[track_caller]
fn works_with(site: &Site, version: &str, place: &str) {
    let file = content(1_200_000);
    site.write("file.bin", &file);
    let to = |path: &str| format!("{place}/{path}");
    let ask = |path: &str, arguments: &[&str]| site.curl(version, &to(path), arguments);
    let expect = |answer: &Response, status: u16, what: &str| {
        assert_eq!(
            answer.status,
            status,
            "{version} {place} {what}: {}",
            answer.text()
        );
    };

    let options = ask("", &["-X", "OPTIONS"]);
    assert!(
        options.header("dav").is_some_and(|dav| dav.contains('2')),
        "{options:?}"
    );
    expect(&ask("box", &["-X", "MKCOL"]), 201, "MKCOL");
    expect(&ask("box", &["-X", "MKCOL"]), 405, "MKCOL again");
    expect(&ask("box/gr%C3%BCn.bin", &["-T", "file.bin"]), 201, "PUT");
    let unknown = site.curl_with(version, &to("box/flow.bin"), &["-T", "-"], &file);
    expect(&unknown, 201, "PUT without a length");
    expect(
        &ask("box/empty", &["-X", "PUT", "-H", "Content-Length: 0"]),
        201,
        "an empty PUT",
    );

    let listed = ask("box/", &["-X", "PROPFIND", "-H", "Depth: 1"]);
    expect(&listed, 207, "PROPFIND");
    for name in ["gr%C3%BCn.bin", "flow.bin", "empty"] {
        let href = format!("{place}/box/{name}<");
        assert!(
            listed.text().contains(&href),
            "{version} {href}: {}",
            listed.text()
        );
    }
    let part = ask("box/flow.bin", &["-r", "1000-200999"]);
    expect(&part, 206, "GET of a part");
    assert!(part.body == file[1000..201_000], "{version} {place}");

    let destination = format!(
        "Destination: https://localhost:{}{place}/box/moved.bin",
        site.tls_port
    );
    expect(
        &ask("box/gr%C3%BCn.bin", &["-X", "MOVE", "-H", &destination]),
        201,
        "MOVE",
    );
    assert!(ask("box/moved.bin", &[]).body == file, "{version} {place}");
    expect(&ask("box/gr%C3%BCn.bin", &[]), 404, "GET of what was moved");

    let locked = ask(
        "box/moved.bin",
        &["-X", "LOCK", "--data", LOCK, "-H", "Timeout: Second-60"],
    );
    expect(&locked, 200, "LOCK");
    let token = format!("Lock-Token: {}", locked.header("lock-token").unwrap());
    expect(
        &ask("box/moved.bin", &["-T", "file.bin"]),
        423,
        "PUT of what is locked",
    );
    expect(
        &ask("box/moved.bin", &["-X", "UNLOCK", "-H", &token]),
        204,
        "UNLOCK",
    );
    expect(&ask("box", &["-X", "DELETE"]), 204, "DELETE");
    expect(&ask("box/", &["-X", "PROPFIND"]), 404, "PROPFIND of what is gone");
}

#[test]
fn a_share_is_filled_listed_locked_and_emptied() {
    let config = CONFIG.replace("{venv}", &venv().display().to_string());
    let mut site = Site::certified("dav", &config);
    // It is there before the application looks for it.
    fs::create_dir_all(site.directory.join("share")).unwrap();
    site.start();
    in_two_generations(&site, |version| {
        for place in ["", "/dav"] {
            works_with(&site, version, place);
        }
    });
    assert!(site.stop().success());
}
