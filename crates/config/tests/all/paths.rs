//! Permissions along real paths, seen for a user we need not be.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
};

use config::{Config, Identity, Need, Paths, path_problem};

/// Nobody owns anything here.
fn stranger() -> Identity {
    Identity {
        name: "www-data".into(),
        uid: 54_321,
        gid: 54_321,
        groups: vec![54_321],
        home: None,
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own file");
}

/// `open/site/static/a.css`, readable by everybody.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir_all(tree.path().join("site/static")).expect("a directory");
    fs::write(tree.path().join("site/static/a.css"), "a").expect("a file");
    for directory in ["", "site", "site/static"] {
        mode(&tree.path().join(directory), 0o755);
    }
    mode(&tree.path().join("site/static/a.css"), 0o644);
    tree
}

#[test]
fn the_component_that_refuses_is_named() {
    let tree = tree();
    let leaf = tree.path().join("site/static/a.css");
    assert_eq!(path_problem(&leaf, &stranger(), Need::Read), None);
    mode(&tree.path().join("site"), 0o700);
    let problem = path_problem(&leaf, &stranger(), Need::Read).expect("the directory is closed");
    let expected = format!(
        "{}: user www-data may not enter {} (drwx------ ",
        leaf.display(),
        tree.path().join("site").display()
    );
    assert!(problem.starts_with(&expected), "{problem}");
}

#[test]
fn the_leaf_needs_the_bit_that_is_used() {
    let tree = tree();
    let file = tree.path().join("site/static/a.css");
    let problem = path_problem(&file, &stranger(), Need::Execute).unwrap_or_default();
    assert!(problem.contains("may not execute"), "{problem}");
    mode(&file, 0o600);
    let problem = path_problem(&file, &stranger(), Need::Read).unwrap_or_default();
    assert!(problem.contains("may not read"), "{problem}");
    let directory = tree.path().join("site/static");
    mode(&directory, 0o711);
    assert_eq!(path_problem(&directory, &stranger(), Need::Enter), None);
    let problem = path_problem(&directory, &stranger(), Need::List).unwrap_or_default();
    assert!(problem.contains("may not list"), "{problem}");
    let problem = path_problem(&directory, &stranger(), Need::Read).unwrap_or_default();
    assert!(problem.contains(": is a directory, not a file; "), "{problem}");
}

#[test]
fn a_group_that_is_shut_out_is_not_helped_by_the_bits_of_others() {
    let tree = tree();
    let file = tree.path().join("site/static/a.css");
    mode(&file, 0o604);
    let mut member = stranger();
    member.groups.push(Identity::current().gid);
    assert!(path_problem(&file, &member, Need::Read).is_some());
    assert_eq!(path_problem(&file, &stranger(), Need::Read), None);
}

#[test]
fn links_are_followed_and_what_they_point_to_is_checked() {
    let tree = tree();
    let (inside, link) = (tree.path().join("site/static"), tree.path().join("link"));
    symlink("site/static", &link).expect("a link");
    assert_eq!(
        path_problem(&link.join("../static/a.css"), &stranger(), Need::Read),
        None
    );
    mode(&inside, 0o700);
    let problem = path_problem(&link.join("a.css"), &stranger(), Need::Read).unwrap_or_default();
    let named = format!("may not enter {} ", inside.display());
    assert!(problem.contains(&named), "{problem}");
    symlink(tree.path().join("loop"), tree.path().join("loop")).expect("a link");
    let problem = path_problem(&tree.path().join("loop"), &stranger(), Need::Read).unwrap_or_default();
    assert!(problem.contains("too many symbolic links"), "{problem}");
}

#[test]
fn what_is_missing_is_told_with_its_place() {
    let tree = tree();
    let problem =
        path_problem(&tree.path().join("sites/static"), &stranger(), Need::Enter).unwrap_or_default();
    assert!(problem.contains("/sites does not exist; make it"), "{problem}");
    let below_a_file = tree.path().join("site/static/a.css/x");
    let problem = path_problem(&below_a_file, &stranger(), Need::Read).unwrap_or_default();
    assert!(problem.contains("a.css is not a directory; "), "{problem}");
}

#[test]
fn a_file_that_is_to_be_written_needs_a_directory_that_takes_it() {
    let tree = tree();
    let at = |path: &str| tree.path().join(path);
    let us = Identity::current();
    assert_eq!(path_problem(&at("site/new.log"), &us, Need::Write), None);
    assert_eq!(path_problem(&at("site/static/a.css"), &us, Need::Write), None);
    let problem = path_problem(&at("logs/new.log"), &us, Need::Write).unwrap_or_default();
    assert!(problem.contains("/logs does not exist; make it"), "{problem}");
    let problem = path_problem(&at("site"), &us, Need::Write).unwrap_or_default();
    assert!(problem.contains(": is a directory, not a file; "), "{problem}");
    let problem = path_problem(&at("site/new.log"), &stranger(), Need::Write).unwrap_or_default();
    assert!(problem.contains("may not make a file in"), "{problem}");
    let problem = path_problem(&at("site/static/a.css"), &stranger(), Need::Write).unwrap_or_default();
    assert!(problem.contains("may not write"), "{problem}");
    // A log may be a device or a pipe.
    assert_eq!(
        path_problem(Path::new("/dev/null"), &stranger(), Need::Write),
        None
    );
    assert_eq!(path_problem(Path::new("/dev/stdout"), &us, Need::Write), None);
    // What root may write to by its mode, and yet nobody can.
    let _socket = UnixListener::bind(at("site/socket")).expect("a socket");
    let root = Identity {
        uid: 0,
        ..Identity::current()
    };
    for (path, told) in [
        (at("site/socket").as_path(), "is a socket, not a file"),
        (Path::new("/proc/site.log"), "/proc belongs to the kernel"),
        (Path::new("/proc/self/site.log"), "belongs to the kernel"),
        (Path::new("/sys/site.log"), "/sys "),
        (at(&"x".repeat(256)).as_path(), "more than 255 bytes"),
    ] {
        let problem = path_problem(path, &root, Need::Write).unwrap_or_default();
        assert!(
            problem.contains(told) && problem.ends_with("; choose another path"),
            "{path:?}: {problem}"
        );
    }
    // The same to everybody: no mode of these places is in the way.
    for user in [&root, &stranger()] {
        for (path, need) in [("/proc", Need::Make), ("/proc/site.log", Need::Own)] {
            let problem = path_problem(Path::new(path), user, need).unwrap_or_default();
            assert!(problem.contains("belongs to the kernel"), "{problem}");
        }
    }
}

#[test]
fn a_configuration_tells_every_path_that_cannot_be_used() {
    let tree = tree();
    let text = r#"
[server]
pid_file = "run/site.pid"
control = "nowhere/site.ctl"
[log.access]
to = "logs/access.log"
[log.error]
to = "logs/error.log"
[tls]
certificates = [{ certificate = "a.pem", key = "a.key" }]
[app.web]
wsgi = "web"
python = "/bin/sh"
[[site]]
app = "web"
files = { "/static/" = "site/static", "/media/" = "media", "/same/" = "media" }
"#;
    let config =
        Config::parse(text, &tree.path().join("site.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    let Paths { problems, warnings } = config.check_paths();
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("media: does not exist, so")),
        "{warnings:?}"
    );
    assert!(
        warnings
            .iter()
            .any(|line| line.starts_with("server.control: ") && line.contains("nowhere")),
        "{warnings:?}"
    );
    let keys: Vec<_> = problems
        .iter()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(
        keys,
        ["log.access.to", "log.error.to", "server.pid_file"],
        "{problems:?}"
    );
}

#[test]
fn links_are_guarded_where_an_app_may_make_them() {
    let tree = tree();
    for directory in ["media", "public/uploads", "inside", "release"] {
        fs::create_dir_all(tree.path().join(directory)).expect("a directory");
    }
    for (directory, bits) in [
        ("media", 0o777),
        ("public/uploads", 0o777),
        ("inside", 0o777),
        ("release", 0o755),
    ] {
        mode(&tree.path().join(directory), bits);
    }
    let text = r#"
[app.web]
wsgi = "web"
python = "/bin/sh"
[[site]]
app = "web"
[site.files]
"/media/" = "media"
"/public/" = "public"
"/inside/" = { root = "inside", symlinks = "inside" }
"/release/" = "release"
"/later/" = "not-there"
"#;
    let warnings = |uid: u32| {
        let config = Config::parse(text, &tree.path().join("site.toml"));
        let mut config = config.unwrap_or_else(|problems| panic!("{problems}"));
        config.apps[0].user = Some(Identity { uid, ..stranger() });
        let mut warnings = config.check_paths().warnings;
        warnings.retain(|line| line.contains("symbolic links"));
        warnings
    };
    let told = warnings(54_321);
    let named: Vec<_> = told
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(path, _)| path)
        .collect();
    let writable =
        ["public/uploads", "media"].map(|directory| tree.path().join(directory).display().to_string());
    assert_eq!(named, writable, "{told:?}");
    assert!(
        told[1].contains("user www-data of app web") && told[1].contains("symlinks = \"inside\""),
        "{told:?}"
    );
    assert_eq!(warnings(0), [""; 0], "root reads every file anyway");
}

#[test]
fn what_a_start_would_miss_is_told_before() {
    let tree = tree();
    let text = "[server.buffers]\ndirectory = \"spool\"\n[[listener]]\naddress = \"unix:run/site.sock\"\n\
                [[site]]\nrespond = \"x\"\n";
    let config = Config::parse(text, &tree.path().join("site.toml")).unwrap_or_else(|bad| panic!("{bad}"));
    let problems = config.check_paths().problems;
    let at = |key: &str, name: &str| {
        let path = tree.path().join(name);
        format!(
            "{key}: {}: does not exist; make it, or correct the path",
            path.display()
        )
    };
    assert_eq!(
        problems,
        [
            at("server.buffers.directory", "spool"),
            at("listener.address", "run")
        ]
    );
    for directory in ["spool", "run"] {
        fs::create_dir(tree.path().join(directory)).expect("a directory");
    }
    assert_eq!(config.check_paths().problems, [""; 0]);

    // What a start would not replace stands where the socket is to be.
    let socket = tree.path().join("run/site.sock");
    fs::write(&socket, "notes").expect("a file");
    let problems = config.check_paths().problems;
    let told = format!(
        "listener.address: {}: a file that is not a socket is there",
        socket.display()
    );
    assert!(
        problems.len() == 1 && problems[0].starts_with(&told),
        "{problems:?}"
    );
    fs::remove_file(&socket).expect("our own file");
    let _left = UnixListener::bind(&socket).expect("a socket");
    assert_eq!(config.check_paths().problems, [""; 0]);

    // Addresses for documentation (RFC 5737), which no machine has.
    for (address, is_here) in [
        ("192.0.2.1:8000", false),
        ("127.0.0.1:8000", true),
        ("0.0.0.0:8000", true),
    ] {
        let text = format!("[[listener]]\naddress = \"{address}\"\n[[site]]\nrespond = \"x\"\n");
        let config = Config::parse(&text, &tree.path().join("site.toml"));
        let problems = config
            .unwrap_or_else(|bad| panic!("{bad}"))
            .check_paths()
            .problems;
        let told = problems.iter().any(|line| {
            line.starts_with(&format!("listener.address: {address}: "))
                && line.ends_with("no interface of this machine has this address")
        });
        assert_eq!(told, !is_here, "{problems:?}");
    }
}

#[test]
fn an_interpreter_and_a_virtualenv_are_not_mistaken_for_each_other() {
    let tree = tree();
    fs::create_dir_all(tree.path().join("venv/bin")).expect("a directory");
    let python = tree.path().join("venv/bin/python");
    fs::write(&python, "").expect("a file");
    mode(&python, 0o755);
    let report = |line: &str| {
        let text = format!("[app.web]\nwsgi = \"web\"\n{line}\n[[site]]\napp = \"web\"\n");
        let config = Config::parse(&text, &tree.path().join("site.toml"));
        config.map_or_else(|problems| problems.to_string(), |_| String::new())
    };
    for (line, told) in [
        ("python = \"venv\"", "write venv = \"venv\""),
        ("python = \"venv/\"", "write venv = \"venv/\""),
        ("venv = \"venv/bin/python\"", "name it with `python`"),
        ("venv = \"env\"", "make it with `python3 -m venv"),
        ("python = \"env/bin/python\"", "or a `venv`"),
    ] {
        assert!(report(line).contains(told), "{line}: {}", report(line));
    }
    assert_eq!(report("venv = \"venv\""), "");
    assert_eq!(report("python = \"venv/bin/python\""), "");
}
