//! Pythons that cannot run the engine, or lack what the configuration asks for.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::check;
use crate::harness::{Site, app, python, site::copy_tree, workspace};

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
