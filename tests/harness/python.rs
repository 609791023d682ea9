//! The Pythons of this machine and virtualenvs made of them.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{interpreter, scratch};

/// One virtualenv for everything that speaks ASGI: frameworks, and the servers that appliance is held against. Those are pinned, since
/// what is recorded of them is true for one version.
pub(crate) const ASGI_PACKAGES: &[&str] = &[
    "uvicorn==0.54.0",
    "hypercorn==0.18.0",
    "websockets",
    "httptools",
    "uvloop",
    "fastapi",
    "python-multipart",
    "quart",
    "channels",
];

/// One virtualenv for the projects of others that are judges of ours (`projects.rs`), with the clients that
/// they bring. Held to a major version each: a new one may ask for something else, and is then a change to
/// the test.
pub(crate) const PROJECT_PACKAGES: &[&str] = &[
    "python-socketio==5.*",
    "aiohttp==3.*",
    "requests==2.*",
    "websocket-client==1.*",
    "starlette==1.*",
    "brotli-asgi==1.*",
    "python-multipart",
    "a2wsgi==1.*",
    "asgiref==3.*",
    "flask==3.*",
    "django",
    "djangorestframework==3.*",
    "bottle==0.13.*",
    "pyramid==2.*",
    "falcon==4.*",
    "litestar==2.*",
    "sanic",
    "wsgidav==4.*",
    "mcp==2.*",
];

/// Starlette as many sites have it still: middleware of its own that knows no `http.response.pathsend`.
pub(crate) const OLD_STARLETTE_PACKAGES: &[&str] =
    &["starlette==0.36.*", "brotli-asgi==1.*", "python-multipart"];

/// The servers whose scopes and environs are held against ours, pinned as above, and a client's HTTP/2.
pub(crate) const PEER_PACKAGES: &[&str] = &[
    "uvicorn==0.54.0",
    "gunicorn==27.0.1",
    "websockets",
    "httptools",
    "h2",
];

/// An interpreter that can run applications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Python {
    pub(crate) path: PathBuf,
    /// As `3.11`.
    pub(crate) version: String,
}

/// Every CPython from 3.9 on this machine: the system's, and each installed beside it; the same version may be there twice,
/// as two builds.
pub(crate) fn pythons() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut candidates = vec![
            PathBuf::from("/usr/bin/python3"),
            PathBuf::from("/usr/local/bin/python3"),
        ];
        for minor in 9..=14 {
            candidates.push(PathBuf::from(format!("/usr/bin/python3.{minor}")));
            candidates.push(PathBuf::from(format!("/usr/local/bin/python3.{minor}")));
        }
        if let Some(root) = std::env::var_os("PYENV_ROOT") {
            let versions = fs::read_dir(Path::new(&root).join("versions"))
                .into_iter()
                .flatten()
                .flatten();
            candidates.extend(versions.map(|version| version.path().join("bin/python3")));
        }
        let scratch = scratch();
        let mut seen = Vec::new();
        let mut found: Vec<Python> = Vec::new();
        for path in candidates {
            let Ok(real) = fs::canonicalize(&path) else {
                continue;
            };
            if seen.contains(&real) {
                continue;
            }
            seen.push(real);
            let Some(facts) = interpreter::facts(&path, &scratch) else {
                continue;
            };
            if facts.is_supported && facts.has_venv {
                found.push(Python {
                    path,
                    version: facts.version,
                });
            }
        }
        assert!(
            !found.is_empty(),
            "no CPython 3.9 or later with venv found: install python3 and python3-venv"
        );
        found
    })
}

/// Makes `fn test(python: &Python)` one test for each version of Python, so that they run side by side. A
/// version that is not on this machine has nothing to test.
macro_rules! on_each_python {
    ($test:ident) => {
        on_each_python! { $test:
            python_3_9 "3.9", python_3_10 "3.10", python_3_11 "3.11", python_3_12 "3.12", python_3_13 "3.13",
            python_3_14 "3.14", python_3_15 "3.15",
        }
    };
    ($test:ident: $($name:ident $version:literal,)*) => {
        mod $test {
            use crate::harness::python;

            $(
                #[test]
                fn $name() {
                    python::of_version($version).for_each(super::$test);
                }
            )*

            #[test]
            fn there_is_no_other() {
                let other = python::pythons().iter().find(|python| ![$($version),*].contains(&&*python.version));
                assert_eq!(other, None, "a version without a test of its own");
            }
        }
    };
}
pub(crate) use on_each_python;

/// Every build of this version.
pub(crate) fn of_version(version: &str) -> impl Iterator<Item = &'static Python> {
    pythons().iter().filter(move |python| python.version == version)
}

/// The Python most tests use: the system's.
pub(crate) fn python() -> &'static Python {
    &pythons()[0]
}

/// A virtualenv of `python` with these packages, made once and kept for later runs.
pub(crate) fn virtualenv(python: &Python, packages: &[&str]) -> PathBuf {
    let name = name_of(&interpreter::flat(&python.path), packages);
    let directory = scratch().join("virtualenvs").join(name);
    interpreter::virtualenv(&python.path, &directory, packages);
    directory
}

/// What a virtualenv is called: by its packages, as long as a file system takes the name.
fn name_of(build: &str, packages: &[&str]) -> String {
    let name = format!("{build}-{}", packages.join("-"));
    if name.len() <= NAME_MAX {
        return name;
    }
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    format!("{build}-{}-{:016x}", packages[0], hasher.finish())
}

/// File systems take 255 bytes, of which the name of the lock needs five more than the directory's.
const NAME_MAX: usize = 250;
