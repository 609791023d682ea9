//! `appliance check`: everything that would go wrong at a start is told beforehand, all of it at once.

mod certificates;
mod interpreters;
mod paths;
mod terminal;

use std::{fs, net::Ipv6Addr, process::Command};

use crate::harness::{Site, app, certificate::Certificate, python, workspace};

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
