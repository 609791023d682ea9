//! Paths that the configured user cannot reach, or that are not there.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
};

use super::{check, ended};
use crate::harness::{Site, app, site::copy_tree, workspace};

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

/// Whoever looks from outside of a directory does not know what is in it, and does not say so.
#[test]
fn a_path_that_our_own_user_cannot_reach_names_the_component() {
    if !app::root() {
        return;
    }
    let site = Site::in_the_open("check-ours");
    site.write("closed/wsgi.py", "");
    site.write("closed/site.env", "NAME=value\n");
    site.config(
        r#"
        [app.web]
        wsgi = "wsgi"
        directory = "closed/app"
        env_file = "closed/site.env"
        python = "closed/bin/python3"
        [app.other]
        wsgi = "wsgi"
        venv = "closed/venv"
        [[site]]
        app = "web"
        [[site.route]]
        path = "/other/"
        app = "other"
        "#,
    );
    let closed = site.directory.join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = site.command(&["check"]);
    command.uid(NOBODY).gid(NOBODY);
    let (code, _, complaints) = ended(command);
    assert_eq!(code, Some(2), "{complaints}");
    let refused = format!("user nobody may not enter {} (", closed.display());
    assert_eq!(complaints.matches(&refused).count(), 4, "{complaints}");
    // What is not there is still called that.
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, _, complaints) = check(&site);
    assert_eq!(code, Some(2), "{complaints}");
    assert!(
        complaints.contains("no directory at ") && !complaints.contains("may not"),
        "{complaints}"
    );
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

const NOBODY: u32 = 65534;
