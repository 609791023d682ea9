//! A start and `check` read a configuration in the same way and say the same of it.

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use crate::harness::{Site, workspace};

/// What a program has told on standard error, without the name that a start puts before it.
fn complaint(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    told.strip_prefix("appliance: ")
        .unwrap_or(&told)
        .trim_end()
        .to_owned()
}

/// Checks the configuration and, unless it is understood, starts it. `true`: it is refused, by both alike.
fn refused_alike(site: &Site, what: &str) -> bool {
    let checked = site.command(&["check"]).output().unwrap();
    if String::from_utf8_lossy(&checked.stdout).contains(": understood") {
        return false;
    }
    let started = site.command(&[]).output().unwrap();
    assert_eq!(checked.status.code(), Some(2), "{what}: {checked:?}");
    assert_eq!(started.status.code(), Some(2), "{what}: {started:?}");
    assert_eq!(complaint(&started), complaint(&checked), "{what}");
    assert!(!complaint(&started).is_empty(), "{what}");
    true
}

#[test]
fn what_is_refused_is_refused_by_both_with_the_same_words() {
    let site = Site::new("one-door");
    let directories = ["crates/config/tests/golden", "conf", "conf/examples"];
    let mut refused = 0;
    for directory in directories {
        for entry in fs::read_dir(workspace().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            fs::copy(&path, site.directory.join("site.toml")).unwrap();
            refused += usize::from(refused_alike(&site, &path.display().to_string()));
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn what_cannot_be_read_is_told_by_both_with_the_same_words() {
    let site = Site::new("one-door-unread");
    let conf = site.directory.join("site.toml");
    assert!(refused_alike(&site, "no file"));
    site.write("site.toml", b"[[site]]\nrespond = \"\xff\"\n");
    assert!(refused_alike(&site, "not UTF-8"));
    site.write("site.toml", vec![b'#'; 5 << 20]);
    assert!(refused_alike(&site, "too large"));
    fs::remove_file(&conf).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &conf).unwrap();
    assert!(refused_alike(&site, "a device"));
    fs::remove_file(&conf).unwrap();
    fs::create_dir(&conf).unwrap();
    assert!(refused_alike(&site, "a directory"));
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_dir(&conf).unwrap();
    site.write("other.toml", "[[site]]\n");
    std::os::unix::fs::symlink("other.toml", &conf).unwrap();
    assert!(refused_alike(&site, "a link"));
}

#[test]
fn what_a_start_warns_of_check_warns_of_too() {
    let mut site = Site::new("one-door-warnings");
    site.config("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n[[site]]\nrespond = \"x\"\n");
    // Fewer open files than the connections of a listener.
    let little = |site: &Site, arguments: &[&str]| {
        let mut command = site.command_by("prlimit", &["--nofile=1024:1024"]);
        command.args(arguments);
        command
    };
    let checked = little(&site, &["check"]).output().unwrap();
    let told = String::from_utf8_lossy(&checked.stdout);
    let by_check: Vec<&str> = told.lines().filter(|line| line.contains("warning: ")).collect();
    assert!(told.contains("the limit of open files (1024)"), "{told}");
    let command = little(&site, &[]);
    site.start_by(command);
    let log = site.error_log();
    let by_start: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once(" WARN supervisor")?.1.split_once("] "))
        .map(|(_, text)| text)
        .filter(|text| text.starts_with("warning: "))
        .collect();
    assert_eq!(by_start, by_check);
    assert!(site.stop().success());
}
