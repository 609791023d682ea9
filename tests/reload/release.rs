//! Releases side by side, and a link `current` that leads to one of them: a reload serves what it leads to
//! then.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::{Site, processes, python, wait_for};

const CONFIG: &str = r#"
    [server]
    pid_file = "{dir}/pid"
    [app.web]
    wsgi = "wsgi"
    workers = 1
    env_file = "env"
    [[listener]]
    address = "127.0.0.1:{port}"
    [log.error]
    to = "{dir}/error.log"
    level = "info"
    [log.access]
    to = "off"
    [[site]]
    app = "web"
    headers = { X-Release = "NAME" }
    files = { "/static/" = "static/" }
"#;

/// Says everything that comes from its release: its code, the variable of its file, its interpreter, where it
/// works.
const APP: &str = r#"
import os, sys
def application(environ, start_response):
    start_response('200 OK', [])
    return [' '.join(['NAME', os.environ['RELEASE'], os.path.realpath(sys.prefix), os.getcwd()]).encode()]
"#;

/// Directories of releases, `current` leads to the first.
fn released(test: &str, names: &[&str]) -> Site {
    let site = Site::new(test);
    for name in names {
        let file = |path: &str, text: &str| {
            site.write(&format!("releases/{name}/{path}"), text.replace("NAME", name))
        };
        let config = CONFIG
            .replace("{dir}", &site.directory.display().to_string())
            .replace("{port}", &site.port.to_string());
        file("site.toml", &config);
        file("wsgi.py", APP);
        file("env", "RELEASE=NAME\n");
        file("static/word", "NAME");
        let venv = site.directory.join("releases").join(name).join(".venv");
        let made = Command::new(&python::python().path)
            .args(["-m", "venv", "--without-pip"])
            .arg(venv)
            .status();
        assert!(made.unwrap().success());
    }
    lead(&site, names[0]);
    site
}

/// `current` leads there now.
fn lead(site: &Site, name: &str) {
    let next = site.directory.join("next");
    symlink(Path::new("releases").join(name), &next).unwrap();
    fs::rename(next, site.directory.join("current")).unwrap();
}

/// The program, in the directory of this name, which the shell calls so.
fn command(site: &Site, directory: &Path, pwd: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_appliance"));
    command
        .args(arguments)
        .current_dir(directory)
        .env("PWD", pwd)
        .env(processes::MARK, site.mark())
        .stdin(Stdio::null());
    command
}

/// All that is served comes from this release.
#[track_caller]
fn serves(site: &Site, name: &str) {
    let release = fs::canonicalize(site.directory.join("releases").join(name)).unwrap();
    let (venv, here) = (release.join(".venv"), release);
    let answer = site.get("/");
    assert_eq!(answer.header("x-release"), Some(name), "{answer:?}");
    assert_eq!(
        answer.text(),
        format!("{name} {name} {} {}", venv.display(), here.display())
    );
    assert_eq!(site.get("/static/word").text(), name);
}

/// Moves the link and reloads, by way of three releases; what is old is deleted, as deployment tools do.
fn deploys(site: &mut Site, command: Command) {
    site.start_by(command);
    serves(site, "one");
    lead(site, "two");
    site.signal("HUP");
    site.wait_for_log(" serving generation=2 ");
    serves(site, "two");
    fs::remove_dir_all(site.directory.join("releases/one")).unwrap();
    lead(site, "three");
    site.signal("HUP");
    site.wait_for_log(" serving generation=3 ");
    serves(site, "three");
    assert!(site.stop().success());
}

#[test]
fn a_reload_in_a_link_that_has_moved_serves_the_new_release() {
    for (test, arguments) in [
        ("current-default", &[][..]),
        ("current-relative", &["--conf", "site.toml"]),
        ("current-dotted", &["--conf", "./site.toml"]),
    ] {
        let mut site = released(test, &["one", "two", "three"]);
        let current = site.directory.join("current");
        let command = command(&site, &current, &current, arguments);
        deploys(&mut site, command);
    }
}

#[test]
fn a_reload_serves_the_new_release_wherever_it_was_started() {
    for (test, conf) in [("beside-relative", "current/site.toml"), ("beside-absolute", "")] {
        let mut site = released(test, &["one", "two", "three"]);
        let conf = match conf {
            "" => site.directory.join("current/site.toml").display().to_string(),
            relative => relative.to_owned(),
        };
        let here = site.directory.clone();
        let command = command(&site, &here, &here, &["--conf", &conf]);
        deploys(&mut site, command);
    }
}

#[test]
fn a_variable_that_names_another_directory_counts_for_nothing() {
    for (test, pwd) in [
        ("pwd-other", "/"),
        ("pwd-gone", "/no/such/place"),
        ("pwd-relative", "."),
    ] {
        let mut site = released(test, &["one"]);
        let current = site.directory.join("current");
        let command = command(&site, &current, Path::new(pwd), &[]);
        site.start_by(command);
        serves(&site, "one");
        assert!(site.stop().success());
    }
}

#[test]
fn check_looks_where_the_link_leads() {
    let site = released("current-check", &["one"]);
    let current = site.directory.join("current");
    let output = command(&site, &current, &current, &["check"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    let conf = current.join("site.toml");
    assert!(
        told.starts_with(&format!("{}: understood", conf.display())),
        "{told}"
    );
}

#[test]
fn a_daemon_started_in_a_link_follows_it() {
    let site = released("current-daemon", &["one", "two"]);
    let current = site.directory.join("current");
    let front = command(&site, &current, &current, &["--daemon"])
        .output()
        .unwrap();
    assert!(front.status.success(), "{front:?}");
    serves(&site, "one");
    lead(&site, "two");
    let pid: i32 = fs::read_to_string(site.directory.join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    processes::signal_pid(pid, "HUP");
    site.wait_for_log(" serving generation=2 ");
    serves(&site, "two");
    processes::signal_pid(pid, "TERM");
    wait_for("the daemon ends", || site.processes().is_empty().then_some(()));
}

#[test]
fn a_path_that_climbs_out_of_a_link_keeps_its_virtualenv() {
    // By the names alone each of these would lead somewhere else.
    for (test, conf, directory) in [
        ("climb-relative", "../one/site.toml", None),
        ("climb-absolute", "{dir}/current/../one/site.toml", None),
        ("climb-directory", "site.toml", Some("../one")),
        (
            "climb-twice",
            "../../releases/two/site.toml",
            Some("../one/static/.."),
        ),
    ] {
        let mut site = released(test, &["two", "one"]);
        if let Some(directory) = directory {
            let file = site.directory.join("releases/two/site.toml");
            let config = fs::read_to_string(&file).unwrap();
            let app = format!("[app.web]\ndirectory = \"{directory}\"\n");
            let config = config
                .replace("[app.web]\n", &app)
                .replace("= \"two\"", "= \"one\"")
                .replace("\"env\"", "\"../one/env\"")
                .replace("\"static/\"", "\"../one/static/\"");
            fs::write(file, config).unwrap();
        }
        let current = site.directory.join("current");
        let conf = conf.replace("{dir}", &site.directory.display().to_string());
        let command = command(&site, &current, &current, &["--conf", &conf]);
        site.start_by(command);
        serves(&site, "one");
        assert!(site.stop().success());
    }
}

#[test]
fn a_path_that_climbs_out_of_a_link_of_a_release_follows_it_at_a_reload() {
    for (test, place, conf) in [
        ("climb-shared", "current/app", "../site.toml"),
        ("climb-shared-below", ".", "current/app/../site.toml"),
        ("climb-shared-absolute", ".", "{dir}/current/app/../site.toml"),
    ] {
        let mut site = Site::new(test);
        for release in ["one", "two"] {
            site.config(&format!("[[site]]\nrespond = \"{release}\""));
            let shared = site.directory.join("shared").join(release);
            fs::create_dir_all(shared.join("app")).unwrap();
            let text = fs::read_to_string(site.directory.join("site.toml")).unwrap();
            let log = site.directory.join("error.log").display().to_string();
            fs::write(shared.join("site.toml"), text.replace("./error.log", &log)).unwrap();
            fs::create_dir_all(site.directory.join(release)).unwrap();
            symlink(shared.join("app"), site.directory.join(release).join("app")).unwrap();
        }
        let current = site.directory.join("current");
        symlink("one", &current).unwrap();
        let place = site.directory.join(place);
        let conf = conf.replace("{dir}", &site.directory.display().to_string());
        let command = command(&site, &place, &place, &["--conf", &conf]);
        site.start_by(command);
        assert_eq!(site.get("/").text(), "one");
        symlink("two", site.directory.join("next")).unwrap();
        fs::rename(site.directory.join("next"), &current).unwrap();
        site.signal("HUP");
        site.wait_for_log("serving generation=2");
        wait_for("the new release serves", || {
            (site.get("/").text() == "two").then_some(())
        });
        assert!(site.stop().success());
    }
}
