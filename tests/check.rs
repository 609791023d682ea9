//! `appliance check`: everything that would go wrong at a start is told beforehand, all of it at once.

use std::{
    fs,
    net::Ipv6Addr,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

use crate::harness::{Site, app, certificate::Certificate, python, site::copy_tree, workspace};

/// Exit code, standard output and standard error of `check`.
fn check(site: &Site) -> (Option<i32>, String, String) {
    ended(site.command(&["check"]))
}

fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const TLS: &str = r#"
    [tls]
    certificates = [{ certificate = "site.crt", key = "site.key" }]
    [[listener]]
    address = "127.0.0.1:{tls_port}"
    tls = true
"#;

#[test]
fn a_good_site_is_in_order() {
    let site = Site::of_app("check-good", "hello", "", TLS);
    Certificate::new(&["example.org", "*.example.org"]).write(&site.directory, "site");
    let (code, told, complaints) = check(&site);
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{told}");
    for part in [
        "everything is in order",
        "app web: imports in ",
        "app web: 4 threads in each worker, so views run at the same time",
        "example.org, *.example.org, expires ",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(site.processes().is_empty(), "{:?}", site.processes());
}

#[test]
fn every_problem_of_the_text_is_told_at_once_with_its_place() {
    let site = Site::new("check-text");
    site.write(
        "site.toml",
        "[server]\ntreads = 2\ngrace = \"soon\"\n\n[[site]]\napp = \"wbe\"\n\n[app.web]\nwsgi = \"wsgi\"\nworkers = 0\n",
    );
    let (code, _, complaints) = check(&site);
    assert_eq!(code, Some(2), "{complaints}");
    for (place, excerpt) in [
        ("site.toml:2:1: ", "did you mean `threads`?"),
        ("site.toml:3:9: ", "3 | grace = \"soon\""),
        ("site.toml:6:7: ", "wbe"),
        ("site.toml:10:11: ", "10 | workers = 0"),
    ] {
        assert!(
            complaints.contains(place) && complaints.contains(excerpt),
            "{place}: {complaints}"
        );
    }
    assert!(complaints.contains("  |         ^^^^^^"), "{complaints}");

    // A start says the same.
    let (code, _, refusal) = ended(site.command(&[]));
    assert!(
        code == Some(2) && refusal.contains("site.toml:10:11: "),
        "{refusal}"
    );
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let site = Site::new("check-none");
    for arguments in [&["check"][..], &[]] {
        let (code, _, complaints) = ended(site.command(arguments));
        assert_eq!(code, Some(2));
        assert!(complaints.contains("site.toml"), "{complaints}");
    }
}

#[test]
fn without_conf_the_site_toml_of_the_current_directory_is_taken() {
    let site = Site::new("check-here");
    site.write("site.toml", "[[site]]\nrespond = \"here\"\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_appliance"));
    command.arg("check").current_dir(&site.directory);
    let (code, told, complaints) = ended(command);
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{told}");
    let file = site.directory.join("site.toml");
    assert!(
        told.starts_with(&format!("{}: understood", file.display())),
        "{told}"
    );
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let site = Site::of_app("check-mismatch", "hello", "", TLS);
    let (one, other) = (
        Certificate::new(&["example.org"]),
        Certificate::new(&["example.org"]),
    );
    site.write("site.crt", &one.certificate);
    site.write("site.key", &other.key);
    let (code, _, complaints) = check(&site);
    assert_eq!(code, Some(2), "{complaints}");
    assert!(
        complaints.contains("site.key: this key does not belong to the certificate "),
        "{complaints}"
    );
}

#[test]
fn an_expired_certificate_is_told() {
    let site = Site::of_app("check-expired", "hello", "", TLS);
    Certificate::expired(&["example.org"]).write(&site.directory, "site");
    let (code, told, complaints) = check(&site);
    assert_eq!(code, Some(0), "it is served all the same: {complaints}");
    assert!(told.contains("expires 2020-01-01, expired"), "{told}");
}

#[test]
fn a_path_that_the_run_user_can_not_reach_names_the_component() {
    if !app::root() {
        return;
    }
    let mut site = Site::in_the_open("check-closed");
    site.write("closed/inner/static/a.css", "a");
    fs::set_permissions(site.directory.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    copy_tree(
        &workspace().join("tests/apps/hello"),
        &site.directory.join("closed/inner/hello"),
    );
    site.config(
        r#"
        [server]
        user = "nobody"
        [app.web]
        wsgi = "wsgi"
        directory = "closed/inner/hello"
        python = "{python}"
        [[site]]
        app = "web"
        files = { "/static/" = "closed/inner/static/" }
        "#,
    );
    let (code, _, complaints) = check(&site);
    assert_eq!(code, Some(2), "{complaints}");
    let closed = site.directory.join("closed");
    let refused = format!(
        "user nobody may not enter {} (drwx------ root root)",
        closed.display()
    );
    assert_eq!(complaints.matches(&refused).count(), 2, "{complaints}");

    // So does a start, which serves what it can.
    site.expect_error("app=web").start();
    let log = site.error_log();
    assert_eq!(log.matches(&refused).count(), 2, "{log}");
    site.stop();

    // As root it would do.
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, told, complaints) = check(&site);
    assert_eq!(code, Some(0), "{told}{complaints}");
}

#[test]
fn an_interpreter_that_is_out_of_reach_is_told_once_and_by_its_key() {
    if !app::root() {
        return;
    }
    let site = Site::in_the_open("check-interpreter");
    let closed = site.directory.join("closed");
    fs::create_dir(&closed).unwrap();
    symlink(&python::python().path, closed.join("python")).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    copy_tree(
        &workspace().join("tests/apps/hello"),
        &site.directory.join("hello"),
    );
    site.config(
        r#"
        [server]
        user = "nobody"
        [app.web]
        wsgi = "wsgi"
        directory = "hello"
        python = "closed/python"
        [[site]]
        app = "web"
        "#,
    );
    let (code, _, complaints) = check(&site);
    assert_eq!(code, Some(2), "{complaints}");
    let refused = format!("user nobody may not enter {}", closed.display());
    assert_eq!(complaints.matches(&refused).count(), 1, "{complaints}");
    assert!(complaints.contains("problem: app.web.python: "), "{complaints}");
    assert!(!complaints.contains("does not boot"), "{complaints}");
}

/// A new project has no uploads yet, and its unit checks before it starts and reloads.
#[test]
fn a_directory_of_files_that_is_not_there_yet_keeps_nobody_from_a_start() {
    let mut site = Site::new("check-media");
    site.config(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\n[[site]]\nrespond = \"here\"\n\
         files = { \"/media/\" = \"media\", \"/static/\" = \"build/static\", \"= /robots.txt\" = \"robots.txt\" }\n",
    );
    let (code, told, complaints) = check(&site);
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{told}");
    for path in [
        "media: does not exist",
        "build does not exist",
        "robots.txt: does not exist",
    ] {
        let line = told.lines().find(|line| line.contains(path));
        assert!(
            line.is_some_and(|line| line.starts_with("warning: ") && line.contains("404 until it does")),
            "{path}: {told}"
        );
    }
    site.start();
    assert_eq!(site.get("/media/a.png").status, 404);
    site.write("media/a.png", "a picture");
    assert_eq!(site.get("/media/a.png").text(), "a picture");
    assert!(site.stop().success());
}

/// Each with the key, the path and what to do; the start does not invent other words.
#[test]
fn what_cannot_be_written_is_told_in_the_same_words_before_and_at_the_start() {
    let site = Site::new("check-unwritable");
    let socket = site.directory.join("a.sock");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let bare = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nrespond = \"x\"\n";
    for (table, key, path, told) in [
        (
            "log.access",
            "to",
            "a.sock",
            "is a socket, not a file; choose another path",
        ),
        (
            "log.error",
            "to",
            "./a.sock",
            "is a socket, not a file; choose another path",
        ),
        (
            "log.access",
            "to",
            "/proc/site.log",
            "/proc belongs to the kernel, which takes no files there",
        ),
        (
            "log.error",
            "to",
            "logs/site.log",
            "logs does not exist; make it, or correct the path",
        ),
        (
            "server",
            "pid_file",
            "/proc/site.pid",
            "/proc belongs to the kernel, which takes no files there",
        ),
        (
            "server",
            "pid_file",
            "a.sock",
            "is a socket, not a file; choose another path",
        ),
        (
            "server",
            "pid_file",
            "/dev/null",
            "is a device, not a file; choose another path",
        ),
    ] {
        site.write("site.toml", format!("[{table}]\n{key} = \"{path}\"\n{bare}"));
        let path = site.directory.join(path.trim_start_matches("./"));
        let line = format!("{table}.{key}: {}: ", path.display());
        for (arguments, expected) in [(&["check"][..], 2), (&[], 1)] {
            let (code, out, complaints) = ended(site.command(arguments));
            assert_eq!(code, Some(expected), "{out}{complaints}");
            let found = complaints.lines().find(|other| other.contains(&line));
            assert!(
                found.is_some_and(|found| found.contains(told)),
                "{line}{told}: {complaints}"
            );
            assert!(!complaints.contains("os error"), "{complaints}");
        }
    }
    for (path, told) in [
        (
            "nowhere/a.sock",
            "nowhere: does not exist; make it, or correct the path",
        ),
        (
            "site.toml/a.sock",
            "site.toml: is a file, not a directory; choose another path",
        ),
        (
            "/proc/a.sock",
            "/proc: belongs to the kernel, which takes no files there; choose another path",
        ),
    ] {
        let listener = format!("[[listener]]\naddress = \"unix:{path}\"\n[[site]]\nrespond = \"x\"\n");
        site.write("site.toml", listener);
        for (arguments, expected) in [(&["check"][..], 2), (&[], 1)] {
            let (code, out, complaints) = ended(site.command(arguments));
            assert_eq!(code, Some(expected), "{out}{complaints}");
            assert_eq!(complaints.matches(told).count(), 1, "{told}: {complaints}");
            assert!(!complaints.contains("os error"), "{complaints}");
        }
    }
}

/// Few machines need it, and nothing fails where it is wrong.
#[test]
fn a_state_directory_that_is_none_is_warned_of() {
    let site = Site::new("check-state-dir");
    site.write("afile", "x");
    for path in ["nowhere", "afile"] {
        let bare = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nrespond = \"x\"\n";
        site.write("site.toml", format!("[server]\nstate_dir = \"{path}\"\n{bare}"));
        let (code, told, complaints) = check(&site);
        assert_eq!((code, complaints.as_str()), (Some(0), ""), "{told}");
        assert!(told.contains("warning: server.state_dir: "), "{told}");
        assert!(
            told.contains("is not a directory; make it, or leave it out"),
            "{told}"
        );
    }
}

#[test]
fn a_certificate_that_is_not_there_is_told_once() {
    let mut site = Site::of_app("check-no-certificate", "hello", "", TLS);
    site.expect_error("site.crt: does not exist");
    for arguments in [&["check"][..], &[]] {
        let (code, told, complaints) = ended(site.command(arguments));
        assert!(code.is_some_and(|code| code != 0), "{told}{complaints}");
        let named = complaints.matches("site.crt: does not exist; make it").count();
        assert_eq!(named, 1, "{complaints}");
    }
}

#[test]
fn an_address_of_one_interface_is_in_order() {
    // The address in hexadecimal digits, then the number of its interface.
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let local = table.lines().find_map(|line| {
        let (address, rest) = line.split_once(' ')?;
        let interface = u32::from_str_radix(rest.split(' ').next()?, 16).ok()?;
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        address
            .is_unicast_link_local()
            .then(|| format!("[{address}%{interface}]:0"))
    });
    let Some(address) = local else {
        println!("skipped: needs an interface with a link-local address");
        return;
    };
    let site = Site::new("check-interface");
    site.write(
        "site.toml",
        format!("[[listener]]\naddress = \"{address}\"\n[[site]]\nrespond = \"x\"\n"),
    );
    let (code, told, complaints) = check(&site);
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{address}: {told}");
}

#[test]
fn a_port_that_the_kernel_keeps_for_root_is_told_before_and_at_the_start() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u16 = first
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024);
    let setpriv = Command::new("setpriv").arg("--version").output();
    if !app::root() || first < 1024 || setpriv.is_err() {
        println!("skipped: needs root, setpriv, and a kernel that keeps the low ports");
        return;
    }
    let site = Site::new("check-low-port");
    for address in ["127.0.0.1:997", "[::1]:81"] {
        site.write(
            "site.toml",
            format!("[[listener]]\naddress = \"{address}\"\n[[site]]\nrespond = \"x\"\n"),
        );
        for (arguments, code) in [(&["check"][..], 2), (&[], 1)] {
            let whole = site.command(arguments);
            let mut command = Command::new("setpriv");
            command
                .args(["--bounding-set", "-net_bind_service"])
                .arg(whole.get_program())
                .args(whole.get_args())
                .envs(whole.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let (ended, told, complaints) = ended(command);
            assert_eq!(ended, Some(code), "{told}{complaints}");
            for part in [address, "Permission denied", "ports below 1024 are root's"] {
                assert!(complaints.contains(part), "{part}: {told}{complaints}");
            }
        }
    }
}

#[test]
fn more_connections_than_open_files_are_told_before_and_at_the_start() {
    let mut site = Site::new("check-open-files");
    site.config("[[site]]\nrespond = \"x\"\n");
    let limited = ["-c", "ulimit -n 1024 && exec \"$0\" \"$@\""];
    let mut start = site.command_by("sh", &limited);
    start.arg("check");
    let (code, told, complaints) = ended(start);
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{told}");
    let warning = "connections_max is 10000, but the limit of open files (1024) has room for 576";
    let way_out = "write connections_max = 576 in [listener.limits]";
    assert!(told.contains(warning) && told.contains(way_out), "{told}");
    let start = site.command_by("sh", &limited);
    site.start_by(start);
    let log = site.error_log();
    assert!(log.contains(warning) && log.contains(way_out), "{log}");
    assert!(site.stop().success());
}

#[test]
fn an_application_that_raises_on_import_is_told_with_its_traceback() {
    let site = Site::of_app("check-broken", "forms", "wsgi = \"broken\"", "");
    let (code, _, complaints) = check(&site);
    assert_eq!(code, Some(3), "{complaints}");
    for part in [
        "app web does not boot",
        "FAILED  import",
        "RuntimeError: the database is not there",
        "in connect",
        "broken.py\", line ",
    ] {
        assert!(complaints.contains(part), "{part}: {complaints}");
    }
}

/// Whatever an application raises, prints, or is called.
#[test]
fn nothing_that_an_application_says_acts_on_the_terminal() {
    let wicked = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}redro\u{2066}\u{9b}1m";
    let cases = [
        (
            format!("raise RuntimeError('{wicked}\\neverything is in order')\n"),
            "wsgi",
        ),
        (format!("print('{wicked}')\nimport os\nos._exit(1)\n"), "wsgi"),
        (
            format!("# {wicked}\nraise ImportError('x', name='{wicked}')\n"),
            "wsgi",
        ),
        ("application = print\n".to_owned(), "w\u{202e}sgi"),
        (
            format!("import sys\nsys.modules['{wicked}'] = sys\nimport no_such_module\n"),
            "wsgi",
        ),
    ];
    for (module, target) in cases {
        let site = Site::new("check-wicked");
        site.write("wsgi.py", &module);
        site.config(&format!(
            "[log.error]\nto = \"stderr\"\n[app.web]\nwsgi = \"{target}\"\npython = \"{{python}}\"\nworkers = 1\n[[site]]\napp = \"web\"\n"
        ));
        let started = ended(site.command(&[]));
        for (code, told, complaints) in [check(&site), started] {
            assert!(matches!(code, Some(2 | 3)), "{module}: {code:?}");
            let shown = told + &complaints;
            let acts = |c: char| !matches!(c, '\n' | '\t') && config::is_invisible(c);
            assert!(!shown.contains(acts), "{module}: {shown:?}");
            assert!(
                !shown.lines().any(|line| line == "everything is in order"),
                "{shown}"
            );
        }
    }
}

/// Nor what a configuration says, which somebody may have sent.
#[test]
fn nothing_in_a_configuration_acts_on_the_terminal() {
    let wicked = "\u{202e}x\u{2066}";
    for text in [
        format!("[server]\nuser = \"{wicked}\"\n"),
        format!("\"{wicked}\" = 1\n"),
        format!("[app.\"{wicked}\"]\nwsgi = \"x\"\n"),
        "[server]\nuser = \"\\u001b[2J\"\n".to_owned(),
        "[server]\n\"\\u001b[2J\" = 1\n".to_owned(),
        "[server]\npid_file = \"\u{202e}/x\"\n[[site]]\nrespond = \"x\"\n".to_owned(),
        "[server]\nuser = \u{1b}[2J\n".to_owned(),
    ] {
        let site = Site::new("check-wicked-conf");
        site.write("site.toml", &text);
        let mut missing = Command::new(site.command(&[]).get_program());
        missing.args(["--conf", "/no/\u{1b}[2J"]);
        for (_, told, complaints) in [check(&site), ended(site.command(&[])), ended(missing)] {
            let acts = |c: char| !matches!(c, '\n' | '\t') && config::is_invisible(c);
            let shown = told + &complaints;
            assert!(!shown.contains(acts), "{text:?}: {shown:?}");
            assert!(!shown.is_empty());
        }
    }
}

#[test]
fn a_wrong_target_is_told_with_what_there_is() {
    for (target, parts) in [
        ("wsgy", &["no module named \"wsgy\"", "forms.py"][..]),
        (
            "forms:handlr",
            &["has no \"handlr\"", "did you mean \"handler\"?"],
        ),
        ("asynchronous:app", &["ASGI"]),
        ("asynchronous", &["ASGI"]),
    ] {
        let site = Site::of_app("check-target", "forms", &format!("wsgi = \"{target}\""), "");
        let (code, _, complaints) = check(&site);
        assert_eq!(code, Some(3), "{target}: {complaints}");
        for part in parts {
            assert!(complaints.contains(part), "{target}: {part}: {complaints}");
        }
    }
}

#[test]
fn problems_of_certificates_paths_and_applications_are_told_together() {
    let site = Site::of_app(
        "check-together",
        "forms",
        "wsgi = \"broken\"",
        &format!("files = {{ \"/static/\" = \"not-there/\" }}\n{TLS}"),
    );
    let certificate = Certificate::new(&["example.org"]);
    site.write("site.crt", &certificate.certificate);
    site.write("site.key", "no key");
    let (code, _, complaints) = check(&site);
    assert_eq!(code, Some(2), "{complaints}");
    for part in ["site.key: holds no private key", "the database is not there"] {
        assert!(complaints.contains(part), "{part}: {complaints}");
    }
}

#[test]
fn the_default_configuration_is_in_order() {
    let site = Site::new("check-default");
    site.write(
        "site.toml",
        fs::read_to_string(workspace().join("conf/site.toml")).unwrap(),
    );
    let (code, told, complaints) = check(&site);
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{told}");
}

/// The examples name users, paths and certificates of an imagined machine, so here the machine is made to fit: their absolute paths
/// are put below the site's directory and the sites they talk about are laid out there.
#[test]
fn the_examples_are_in_order_where_their_files_are() {
    for example in fs::read_dir(workspace().join("conf/examples")).unwrap() {
        let example = example.unwrap().path();
        let site = Site::in_the_open("check-example");
        let root = site.directory.display().to_string();
        let text = fs::read_to_string(&example)
            .unwrap()
            .replace("\"/srv/", &format!("\"{root}/srv/"))
            .replace("\"/etc/", &format!("\"{root}/etc/"))
            .replace("\"/var/", &format!("\"{root}/var/"));
        let of_root: Vec<_> = text
            .lines()
            .map(|line| {
                if line.starts_with("user = ") {
                    "user = \"root\""
                } else {
                    line
                }
            })
            .collect();
        site.write("site.toml", of_root.join("\n"));
        let hello = fs::read_to_string(workspace().join("tests/apps/hello/wsgi.py")).unwrap();
        for module in [
            "srv/mysite/mysite/wsgi.py",
            "srv/blog/blog/wsgi.py",
            "srv/chat/chat/wsgi.py",
        ] {
            site.write(module, &hello);
        }
        let live =
            "async def app(scope, receive, send):\n    raise NotImplementedError\n\n\napplication = app\n";
        for module in ["srv/api/main.py", "srv/chat/chat/asgi.py"] {
            site.write(module, live);
        }
        site.write("srv/api/.env", "TOKEN=x\n");
        site.write(
            "srv/gateway/gateway.py",
            format!("{hello}\n\napp = application\n"),
        );
        let green = python::virtualenv(python::python(), &["gevent"]);
        std::os::unix::fs::symlink(green, site.directory.join("srv/gateway/.venv")).unwrap();
        let shop = format!("{hello}\n\napp = application\n\n\ndef create_app():\n    return application\n");
        site.write("srv/shop/shop/__init__.py", shop);
        site.write("srv/mysite/.env", "SECRET_KEY=x\n");
        for file in [
            "srv/mysite/static/favicon.ico",
            "srv/mysite/media/x",
            "srv/shop/shop/static/x",
            "srv/blog/static/x",
            "srv/blog/media/x",
            "srv/chat/static/x",
            "srv/docs/x",
            "var/log/appliance/x",
        ] {
            site.write(file, "");
        }
        let venv = Command::new(python::python().path.as_path())
            .args(["-m", "venv", "--without-pip"])
            .arg(site.directory.join("srv/shop/.venv"))
            .status();
        assert!(venv.unwrap().success());
        let certificate = Certificate::new(&["example.org", "*.example.org", "example.net", "*.example.net"]);
        for name in ["example.org", "api.example.org", "chat.example.org"] {
            let live = format!("etc/letsencrypt/live/{name}");
            site.write(&format!("{live}/fullchain.pem"), &certificate.certificate);
            site.write(&format!("{live}/privkey.pem"), &certificate.key);
        }
        for name in ["example.org", "example.net"] {
            site.write(&format!("etc/ssl/{name}.pem"), &certificate.certificate);
            site.write(&format!("etc/ssl/private/{name}.key"), &certificate.key);
        }
        let (code, told, complaints) = check(&site);
        assert_eq!(code, Some(0), "{}: {told}{complaints}", example.display());
    }
}

#[test]
fn links_that_an_application_may_make_are_told_where_they_are_followed() {
    if !app::root() {
        return;
    }
    let site = Site::in_the_open("check-links");
    for directory in ["media", "inside", "static"] {
        site.write(&format!("{directory}/x"), "x");
        let mode = fs::Permissions::from_mode(if directory == "static" { 0o755 } else { 0o777 });
        fs::set_permissions(site.directory.join(directory), mode).unwrap();
    }
    copy_tree(
        &workspace().join("tests/apps/hello"),
        &site.directory.join("hello"),
    );
    site.config(
        r#"
        [app.web]
        wsgi = "wsgi"
        directory = "hello"
        python = "{python}"
        user = "nobody"
        [[site]]
        app = "web"
        [site.files]
        "/media/" = "media"
        "/inside/" = { root = "inside", symlinks = "inside" }
        "/static/" = "static"
        "#,
    );
    let (code, told, complaints) = check(&site);
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{told}");
    let warning = format!(
        "warning: {}: user nobody of app web may make",
        site.directory.join("media").display()
    );
    assert!(told.contains(&warning), "{told}");
    assert_eq!(told.matches("symbolic links here").count(), 1, "{told}");
}

/// Requests of one client go to any worker.
#[test]
fn what_keeps_state_in_the_process_is_named_where_there_are_several() {
    const ASGI: &str = "async def app(scope, receive, send):\n    pass\n";
    let site = |module: &str, workers: usize, packages: &[&str]| {
        let site = Site::new("check-stateful");
        for framework in ["streamlit", "gradio", "nicegui", "gradio_client"] {
            site.write(&format!("{framework}.py"), "");
        }
        site.write("main.py", module);
        let python = python::virtualenv(python::python(), packages);
        site.config(&format!(
            "[app.live]\nasgi = \"main:app\"\nworkers = {workers}\nvenv = \"{}\"\n[[site]]\napp = \"live\"\n",
            python.display()
        ));
        check(&site)
    };
    let layer = |layers: &str| {
        format!(
            "from django.conf import settings\nsettings.configure(CHANNEL_LAYERS={layers})\nimport channels\n{ASGI}"
        )
    };
    let in_memory = layer("{'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer'}}");
    let redis = layer("{'default': {'BACKEND': 'channels_redis.core.RedisChannelLayer'}}");
    let socket_io =
        |manager: &str| format!("import socketio\nserver = socketio.AsyncServer({manager})\n{ASGI}");
    let publishes = "client_manager=__import__('socketio.async_pubsub_manager').async_pubsub_manager.AsyncPubSubManager()";
    let flask = "import flask_socketio, flask\nsocketio = flask_socketio.SocketIO(flask.Flask('x'), async_mode='threading')\n";
    let socket_io_packages = &["python-socketio", "flask-socketio"];
    for (module, packages, named) in [
        (format!("import streamlit\n{ASGI}"), &[][..], "Streamlit"),
        (format!("import gradio, nicegui\n{ASGI}"), &[], "Gradio, NiceGUI"),
        (in_memory, &["channels"], "channels.layers.InMemoryChannelLayer"),
        (
            socket_io(""),
            socket_io_packages,
            "python-socketio without a client_manager",
        ),
        (
            format!("{flask}{ASGI}"),
            socket_io_packages,
            "Flask-SocketIO without a message_queue",
        ),
    ] {
        let (code, told, complaints) = site(&module, 2, packages);
        assert_eq!((code, complaints.as_str()), (Some(0), ""), "{told}");
        assert!(
            told.contains("warning: app live runs in 2 processes"),
            "{named}: {told}"
        );
        assert!(
            told.contains(named) && told.contains("write workers = 1"),
            "{named}: {told}"
        );
        let (_, told, _) = site(&module, 1, packages);
        assert!(!told.contains("keeps state"), "{named}: {told}");
    }
    for (module, packages) in [
        (format!("import gradio_client\n{ASGI}"), &[][..]),
        (redis, &["channels"]),
        (socket_io(publishes), socket_io_packages),
    ] {
        let (code, told, complaints) = site(&module, 2, packages);
        assert_eq!((code, complaints.as_str()), (Some(0), ""), "{told}");
        assert!(!told.contains("keeps state"), "{module}: {told}");
    }
}

#[test]
fn a_python_that_cannot_run_the_engine_is_refused_by_its_version() {
    let site = Site::of_app("check-old-python", "hello", "", "");
    let good = fs::read_to_string(site.directory.join("site.toml")).unwrap();
    let versions = std::env::var_os("PYENV_ROOT")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")))
        .map(|root| root.join("versions"));
    let mut old = 0;
    for directory in versions
        .and_then(|all| fs::read_dir(all).ok())
        .into_iter()
        .flatten()
        .flatten()
    {
        let python = directory.path().join("bin/python");
        let name = directory.file_name().into_string().unwrap();
        let mut numbers = name.split('.').map_while(|number| number.parse::<u32>().ok());
        let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
            continue;
        };
        if (major, minor) >= (3, 9) || !python.exists() {
            continue;
        }
        old += 1;
        let usual = format!("{:?}", python::python().path);
        site.write("site.toml", good.replace(&usual, &format!("{python:?}")));
        let (code, told, complaints) = check(&site);
        assert_eq!(code, Some(3), "{name}: {told}{complaints}");
        let refusal = format!("CPython {major}.{minor} is not supported, 3.9 or later is");
        assert!(complaints.contains(&refusal), "{name}: {complaints}");
    }
    if old == 0 {
        println!("skipped: needs a Python older than 3.9");
    }
}

#[test]
fn a_free_threaded_python_and_an_absent_uvloop_are_refused_by_name() {
    let venv = python::virtualenv(python::python(), &[]);
    let site = Site::new("check-free-threaded");
    // What such a build says of itself; the engine must not be loaded into one.
    site.write("odd/sitecustomize.py", "import sys\nsys.abiflags = 't'\n");
    site.config(&app::of_app(
        "hello",
        &format!("venv = {venv:?}\nenv = {{ PYTHONPATH = \"{{dir}}/odd\" }}"),
        "",
    ));
    let (code, told, complaints) = check(&site);
    assert_eq!(code, Some(3), "{told}{complaints}");
    assert!(complaints.contains("free-threaded CPython 3."), "{complaints}");
    // Wherever no such Python is installed, the same of its version.
    for (version, says) in [
        (
            "(3, 8, 18, 'final', 0)",
            "CPython 3.8 is not supported, 3.9 or later is",
        ),
        (
            "(2, 7, 18, 'final', 0)",
            "CPython 2.7 is not supported, 3.9 or later is",
        ),
    ] {
        let text = format!("import sys\nsys.version_info = {version}\n");
        site.write("odd/sitecustomize.py", text);
        let (code, told, complaints) = check(&site);
        assert_eq!(code, Some(3), "{told}{complaints}");
        assert!(complaints.contains(says), "{complaints}");
    }
    let site = Site::new("check-uvloop");
    site.write("app/main.py", "async def app(scope, receive, send):\n    pass\n");
    let keys = format!("asgi = \"main:app\"\nvenv = {venv:?}\nloop = \"uvloop\"");
    site.config(&app::of_app("", &keys, "").replace("{apps}/", "app"));
    let (code, told, complaints) = check(&site);
    assert_eq!(code, Some(3), "{told}{complaints}");
    assert!(complaints.contains("uvloop is not installed for"), "{complaints}");
}
