//! What a correct file means: defaults, and the rules that connect tables.

use std::{net::SocketAddr, path::Path, time::Duration};

use config::{Action, Address, AppIndex, Config, Host, PathMatch, To};

use crate::surroundings::{MadeUp, read};

fn report(text: &str) -> String {
    MadeUp::default()
        .config(text)
        .map_or_else(|problems| problems.to_string(), |_| String::new())
}

/// One made-up user for the proxy, another for the app.
const USERS: &str = "[server]\nuser = \"www-data\"\n[app.web]\nwsgi = \"web\"\nuser = \"shop\"\n\
                     [app.live]\nasgi = \"live\"\n[[site]]\napp = \"web\"\nhosts = [\"a\"]\n[[site]]\napp = \"live\"\n";

#[test]
fn an_app_that_shares_the_user_of_the_proxy_is_told_with_the_lines_that_separate_them() {
    let told = |text: &str| read(text).check_users(&MadeUp::default());
    let warnings = told(USERS);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in [
        "app `live` runs as www-data, as the proxy does",
        "`useradd --system live`",
        "[app.live]\n      user = \"live\"\n",
    ] {
        assert!(warnings[0].contains(part), "{part}: {warnings:?}");
    }
    // A user that is there already needs not be made.
    let there = told(&USERS.replace("live", "blog"));
    assert!(!there[0].contains("useradd"), "{there:?}");
    // Who writes the same user twice means it, and who is not root cannot do better.
    let meant = USERS.replace("\"live\"\n[[site]]", "\"live\"\nuser = \"www-data\"\n[[site]]");
    assert_eq!(told(&meant), [""; 0]);
    let ordinary = MadeUp {
        root: false,
        ..MadeUp::default()
    };
    let config = ordinary.config(USERS).expect("a configuration");
    assert_eq!(config.check_users(&ordinary), [""; 0]);
    assert_eq!(told(&USERS.replace("www-data", "0")), [""; 0]);
}

#[test]
fn connections_beyond_the_limit_of_open_files_are_told_with_what_fits() {
    let told = |text: &str, open_files_max: u64| {
        let machine = MadeUp {
            open_files_max,
            ..MadeUp::default()
        };
        let config = machine.config(text).expect("a configuration");
        config
            .warnings
            .into_iter()
            .find(|warning| warning.contains("open files"))
    };
    let site = "[[site]]\nrespond = \"x\"\n";
    assert_eq!(told(site, 20_000), None);
    assert_eq!(told(site, u64::MAX), None);
    let one = told(site, 1024).expect("a warning");
    for part in [
        "connections_max is 10000, but the limit of open files (1024) has room for 576:",
        "raise the limit to 16103 (",
        "or write connections_max = 576 in [listener.limits]",
    ] {
        assert!(one.contains(part), "{part}: {one}");
    }
    // What is written does.
    let lower = "[listener.limits]\nconnections_max = 576\n";
    let listener = "[[listener]]\naddress = \":80\"\n";
    assert_eq!(told(&format!("{listener}{lower}{site}"), 1024), None);
    assert_eq!(told(site, 16_103), None);
    // Each listener has its own where that is written; of what is not, a second one promises no more.
    let two = format!("{listener}[[listener]]\naddress = \":81\"\n{site}");
    assert_eq!(told(&two, 20_000), None);
    let three = format!("{two}[[listener]]\naddress = \":82\"\n");
    assert_eq!(told(&three, 20_000), None);
    let low = told(&two, 1024).expect("a warning");
    assert!(
        low.contains("connections_max of all 2 listeners is 10000"),
        "{low}"
    );
    let many = "[listener.limits]\nconnections_max = 9000\n";
    let two = format!("{listener}{many}[[listener]]\naddress = \":81\"\n{many}{site}");
    let two = told(&two, 20_000).expect("a warning");
    assert!(
        two.contains("connections_max of all 2 listeners is 18000"),
        "{two}"
    );
    let mixed = format!("{listener}{many}[[listener]]\naddress = \":81\"\n{site}");
    let mixed = told(&mixed, 20_000).expect("a warning");
    assert!(mixed.contains("is 19000,"), "{mixed}");
    // A server behind us needs a connection for each client.
    let behind = "[upstream.api]\nservers = [\"http://127.0.0.1:1\"]\n[[site]]\nupstream = \"api\"\n";
    let behind = told(behind, 20_000).expect("a warning");
    assert!(behind.contains("write connections_max = 6218 "), "{behind}");
    // No limit is high enough for everything, and none too low to say so.
    let huge = "[listener.limits]\nconnections_max = 1_000_000\n";
    let huge = told(&format!("{listener}{huge}{site}"), u64::MAX).expect("a warning");
    assert!(!huge.contains("raise"), "{huge}");
    let none = told(site, 0).expect("a warning");
    assert!(none.contains("write a smaller connections_max"), "{none}");
}

#[test]
fn a_proxy_without_a_user_beside_apps_with_users_is_nobody() {
    let bare = USERS.replace("[server]\nuser = \"www-data\"\n", "");
    let config = read(&bare);
    let nobody = config.server.user.as_ref().expect("a user");
    assert_eq!((nobody.name.as_str(), nobody.uid), ("nobody", 65534));
    let [warning] = config.warnings.as_slice() else {
        panic!("one warning: {:?}", config.warnings);
    };
    assert!(
        warning.contains("`nobody` is the user of the proxy, app `live`\n"),
        "{warning}"
    );
    assert!(warning.contains("[server] user = "), "{warning}");
    // Where no app has a user, or only root, nothing was asked for.
    assert_eq!(read(&bare.replace("user = \"shop\"\n", "")).server.user, None);
    assert_eq!(read(&bare.replace("\"shop\"", "\"0\"")).server.user, None);
}

const DJANGO: &str = r#"
[app.web]
wsgi = "mysite.wsgi:application"

[[site]]
hosts = ["Example.org", "*.example.org"]
files = { "/static/" = "static/", "= /robots.txt" = "robots.txt" }
app = "web"
"#;

#[test]
fn a_django_site_is_eight_lines() {
    let config = read(DJANGO);
    assert_eq!(config.directory, Path::new("/srv/site"));
    let app = &config.apps[0];
    assert_eq!(
        (app.name.as_str(), app.target.as_str()),
        ("web", "mysite.wsgi:application")
    );
    assert_eq!(app.directory, Path::new("/srv/site"));
    assert_eq!(app.python, Path::new("/srv/site/.venv/bin/python"));
    assert_eq!((app.workers, app.preload, app.env.len()), (4, true, 0));
    let site = &config.sites[0];
    assert_eq!(site.name, "example.org");
    let hosts = [
        Host::Exact("example.org".into()),
        Host::Below(".example.org".into()),
    ];
    assert_eq!(site.hosts, hosts);
    let paths: Vec<_> = site.routes.iter().map(|route| route.path.clone()).collect();
    let expected = [
        PathMatch::Exact("/robots.txt".into()),
        PathMatch::Prefix("/static".into()),
        PathMatch::Prefix("/".into()),
    ];
    assert_eq!(paths, expected);
    let Action::Files(files) = &site.routes[1].action else {
        panic!("static files expected")
    };
    assert_eq!(
        (files.root.as_path(), files.strip.as_str()),
        (Path::new("/srv/site/static"), "/static")
    );
    let Action::Files(file) = &site.routes[0].action else {
        panic!("a file expected")
    };
    assert_eq!(
        (file.root.as_path(), file.strip.as_str()),
        (Path::new("/srv/site/robots.txt"), "/robots.txt")
    );
    assert_eq!(
        site.routes[2].action,
        Action::App {
            app: AppIndex(0),
            mount: String::new(),
            strip: false,
            request_buffering: true,
        }
    );
}

#[test]
fn without_certificates_one_plain_listener_is_open_on_8000() {
    let config = read(DJANGO);
    let addresses: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| (listener.address.to_string(), listener.tls))
        .collect();
    assert_eq!(addresses, [("0.0.0.0:8000".to_owned(), false)]);
    assert!(!config.sites[0].redirect_https);
}

#[test]
fn with_certificates_80_redirects_to_443() {
    let tls = "[tls]\ncertificates = [{ certificate = \"a.pem\", key = \"a.key\" }]\n";
    let config = read(&format!("{tls}{DJANGO}"));
    let ports: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| (listener.address.to_string(), listener.tls, listener.http2))
        .collect();
    assert_eq!(
        ports,
        [
            ("0.0.0.0:80".to_owned(), false, false),
            ("0.0.0.0:443".to_owned(), true, true)
        ]
    );
    assert!(config.sites[0].redirect_https);
    assert_eq!(config.tls.certificates[0].key, Path::new("/srv/site/a.key"));
    let off = read(&format!("{tls}[[site]]\nhttps = \"off\"\nrespond = \"ok\""));
    assert!(!off.sites[0].redirect_https);
}

#[test]
fn listeners_have_addresses_of_every_kind() {
    let address = |text: &str| {
        read(&format!(
            "[[listener]]\naddress = \"{text}\"\n[[site]]\nrespond = \"ok\""
        ))
        .listeners
        .remove(0)
        .address
    };
    let tcp = |text: &str| Address::Tcp(text.parse::<SocketAddr>().expect("an address"));
    assert_eq!(address(":8000"), tcp("0.0.0.0:8000"));
    assert_eq!(address("127.0.0.1:0"), tcp("127.0.0.1:0"));
    assert_eq!(address("[::]:8000"), tcp("[::]:8000"));
    assert_eq!(address("unix:/run/x.sock"), Address::Unix("/run/x.sock".into()));
    assert_eq!(address("unix:x.sock"), Address::Unix("/srv/site/x.sock".into()));
}

#[test]
fn the_path_of_a_unix_socket_is_measured_as_it_is_bound() {
    // 107 bytes once it stands below /srv/site, then one more.
    let (fits, long) = ("x".repeat(97), "x".repeat(98));
    let listener =
        |path: &str| format!("[[listener]]\naddress = \"unix:{path}\"\n[[site]]\nrespond = \"ok\"");
    let peer =
        |path: &str| format!("[upstream.api]\nservers = [\"unix:{path}\"]\n[[site]]\nupstream = \"api\"");
    for text in [listener(&fits), peer(&fits)] {
        assert_eq!(report(&text), "");
    }
    for text in [listener(&long), peer(&long)] {
        let told = report(&text);
        assert!(
            told.contains(&format!("/srv/site/{long} has 108 bytes")) && told.contains("at most 107"),
            "{told}"
        );
    }
}

#[test]
fn the_environment_is_the_file_with_the_table_on_top() {
    let config = read(
        "[app.web]\nwsgi = \"web\"\nenv_file = \".env\"\nenv = { DEBUG = \"1\" }\n[[site]]\napp = \"web\"",
    );
    let environment: Vec<_> = config.apps[0].env.iter().collect();
    assert_eq!(
        environment,
        [
            (&"DEBUG".to_owned(), &"1".to_owned()),
            (&"SECRET_KEY".to_owned(), &"from the file".to_owned())
        ]
    );
}

#[test]
fn a_wrong_line_of_an_env_file_is_named_and_its_value_is_not() {
    let machine = MadeUp {
        env_file: "A=1\nB='hush\n",
        ..MadeUp::default()
    };
    let text = "[app.web]\nwsgi = \"web\"\nenv_file = \".env\"\n[[site]]\napp = \"web\"";
    let report = machine
        .config(text)
        .map_or_else(|problems| problems.to_string(), |_| String::new());
    assert!(
        report.contains("/srv/site/.env:2: the quote is never closed"),
        "{report}"
    );
    assert!(!report.contains("hush"), "{report}");
}

#[test]
fn the_interpreter_is_the_one_named() {
    let python = |line: &str| {
        read(&format!(
            "[app.web]\nwsgi = \"web\"\n{line}\n[[site]]\napp = \"web\""
        ))
        .apps
        .remove(0)
        .python
    };
    assert_eq!(python("venv = \"../env\""), Path::new("/srv/env/bin/python"));
    assert_eq!(
        python("venv = \"current/../env\""),
        Path::new("/srv/releases/env/bin/python")
    );
    assert_eq!(
        python("venv = \"current/env\""),
        Path::new("/srv/site/current/env/bin/python")
    );
    assert_eq!(
        python("python = \"python3.12\""),
        Path::new("/usr/bin/python3.12")
    );
    assert_eq!(
        python("directory = \"src\""),
        Path::new("/srv/site/src/.venv/bin/python")
    );
}

#[test]
fn a_user_may_be_a_name_a_number_and_have_a_group() {
    let user = |text: &str| {
        let config = read(&format!(
            "[server]\nuser = \"{text}\"\n[[site]]\nrespond = \"ok\""
        ));
        let user = config.server.user.expect("a user");
        (user.uid, user.gid, user.groups)
    };
    assert_eq!(user("www-data"), (33, 33, vec![33, 50]));
    assert_eq!(user("www-data:staff"), (33, 50, vec![50, 33]));
    assert_eq!(user("1234"), (1234, 1234, vec![1234]));
    assert_eq!(user("1234:99"), (1234, 99, vec![99, 1234]));
}

#[test]
fn a_user_is_ignored_with_a_warning_when_we_are_not_root() {
    let machine = MadeUp {
        root: false,
        ..MadeUp::default()
    };
    let config = machine
        .config("[server]\nuser = \"www-data\"\n[[site]]\nrespond = \"ok\"")
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.server.user, None);
    assert!(config.warnings[0].contains("only root may become another user"));
}

#[test]
fn logs_go_where_they_are_told() {
    let config = read(DJANGO);
    assert_eq!(config.access_log.map(|log| log.to), Some(To::Stdout));
    assert_eq!(config.error_log.to, To::Stderr);
    let config = read(
        "[log]\naccess = { to = \"log/access.log\" }\nerror = { to = \"/var/log/e\", level = \"debug\" }\n[[site]]\nrespond = \"ok\"",
    );
    assert_eq!(
        config.access_log.map(|log| log.to),
        Some(To::File("/srv/site/log/access.log".into()))
    );
    assert_eq!(config.error_log.to, To::File("/var/log/e".into()));
    let config = read(
        "[log]\naccess = { to = \"access.log\" }\nerror = { to = \"site.err\" }\n[[site]]\nrespond = \"ok\"",
    );
    assert_eq!(
        config.access_log.map(|log| log.to),
        Some(To::File("/srv/site/access.log".into()))
    );
    assert_eq!(config.error_log.to, To::File("/srv/site/site.err".into()));
    let config = read("[log.access]\nto = \"off\"\n[[site]]\nrespond = \"ok\"");
    assert_eq!(config.access_log, None);
}

#[test]
fn amounts_reach_their_places() {
    let config = read(
        r#"
[server]
threads = "auto"
grace = "5s"
trusted_proxies = ["10.1.2.3/8", "::1"]
buffers = { memory = "1MiB", shared = "64MiB", directory = "/scratch" }
[[listener]]
address = ":80"
limits = { idle_timeout = "500ms", body_rate_min = "0", head_max = "64k" }
[app.web]
wsgi = "web"
workers = "auto"
timeout = { request = "2m" }
queue = { length = 0 }
[[site]]
app = "web"
"#,
    );
    assert_eq!((config.server.threads, config.apps[0].workers), (2, 4));
    assert_eq!(config.server.grace, Duration::from_secs(5));
    let networks: Vec<_> = config
        .server
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(config.server.buffers.memory_bytes, 1 << 20);
    assert_eq!(config.server.buffers.shared_bytes, 64 << 20);
    assert_eq!(config.server.buffers.directory, Path::new("/scratch"));
    let limits = &config.listeners[0].limits;
    assert_eq!(limits.idle_timeout, Duration::from_millis(500));
    assert_eq!((limits.body_rate_min, limits.head_bytes_max), (0, 65536));
    assert_eq!(config.apps[0].timeout.request, Duration::from_secs(120));
    assert_eq!(config.apps[0].queue_length_max, 0);
}

#[test]
fn bodies_wait_where_the_run_user_may_write_and_not_in_the_state_directory() {
    let config = read("[server]\nuser = \"www-data\"\n[[site]]\nrespond = \"ok\"\n");
    assert_eq!(
        config.server.state_dir.as_deref(),
        Some(Path::new("/var/lib/appliance"))
    );
    assert_eq!(config.server.buffers.directory, Path::new("/var/tmp"));
}

#[test]
fn a_thousand_mistakes_are_cut_to_a_hundred() {
    let text: String = (0..1000).map(|n| format!("zz{n} = 1\n")).collect();
    let report = report(&text);
    assert_eq!(
        report.matches("unknown key").count(),
        99,
        "one is the missing site"
    );
    assert!(report.contains("and 901 more problems"));
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let problems = Config::load(Path::new("/nowhere/site.toml")).expect_err("no such file");
    assert_eq!(problems.len(), 1);
    assert!(
        problems
            .to_string()
            .starts_with("/nowhere/site.toml: cannot be read: ")
    );
}
