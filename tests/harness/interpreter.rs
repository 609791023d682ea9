//! Python interpreters and the virtualenvs made with them; shared by the tests of the binary and of the
//! engine, each of which runs every test in a process of its own under nextest.
#![allow(clippy::unwrap_used, reason = "a panic is a test's failure")]

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What an interpreter says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// CPython 3.9 or later.
    pub(crate) is_supported: bool,
    /// As `3.11`.
    pub(crate) version: String,
    /// Virtualenvs can be made with it.
    pub(crate) has_venv: bool,
}

const FACTS: &str = "\
import sys
try:
    import ensurepip, venv
    has_venv = True
except ImportError:
    has_venv = False
supported = sys.version_info >= (3, 9) and sys.implementation.name == 'cpython'
print('%d.%d' % sys.version_info[:2], supported, has_venv)
";

/// Asks the interpreter, and keeps what it said below `scratch`: hundreds of test processes want to know.
pub(crate) fn facts(python: &Path, scratch: &Path) -> Option<Facts> {
    let file = fs::metadata(python).ok()?;
    let identity = format!("{} {} {}", file.dev(), file.ino(), file.mtime_nsec());
    let directory = scratch.join("interpreters");
    let kept = directory.join(flat(python));
    if let Some(facts) = fs::read_to_string(&kept)
        .ok()
        .and_then(|text| read(&text, &identity))
    {
        return Some(facts);
    }
    let output = Command::new(python).args(["-c", FACTS]).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let text = format!("{identity}\n{said}");
    let facts = read(&text, &identity)?;
    fs::create_dir_all(&directory).ok()?;
    replace(&kept, &text);
    Some(facts)
}

fn read(text: &str, identity: &str) -> Option<Facts> {
    let (first, said) = text.split_once('\n')?;
    let mut words = said.split_whitespace();
    let facts = Facts {
        version: words.next()?.to_owned(),
        is_supported: words.next()? == "True",
        has_venv: words.next()? == "True",
    };
    (first == identity).then_some(facts)
}

/// Another process never sees half of it.
fn replace(path: &Path, text: &str) {
    let own = path.with_extension(std::process::id().to_string());
    if fs::write(&own, text).is_ok() {
        // Without it the next process asks again.
        let _ = fs::rename(&own, path);
    }
}

/// A path as a file name.
pub(crate) fn flat(path: &Path) -> String {
    path.display().to_string().replace('/', "_")
}

/// A virtualenv in `directory` with these packages, made once and kept for later runs.
pub(crate) fn virtualenv(python: &Path, directory: &Path, packages: &[&str]) {
    let complete = directory.join("complete");
    if complete.exists() {
        return;
    }
    fs::create_dir_all(directory.parent().expect("a virtualenv is below some directory")).unwrap();
    // A lock on a file, because every test may be a process of its own.
    let mut lock = directory.as_os_str().to_owned();
    lock.push(".lock");
    let lock = fs::File::create(PathBuf::from(lock)).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    if complete.exists() {
        return;
    }
    let made = match uv() {
        Some(uv) => with_uv(uv, python, directory, packages),
        None => Err("uv was not found".to_owned()),
    };
    if let Err(error) = made {
        eprintln!("{}: {error}: made with pip", directory.display());
        with_pip(python, directory, packages).unwrap_or_else(|error| panic!("{error}"));
    }
    fs::write(complete, "").unwrap();
}

/// It makes a virtualenv in a second that costs pip ten of processor time.
fn uv() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|directory| directory.join("uv"))
            .find(|uv| uv.is_file())
    });
    found.as_deref()
}

fn with_uv(uv: &Path, python: &Path, directory: &Path, packages: &[&str]) -> Result<(), String> {
    let _ = fs::remove_dir_all(directory);
    // As people make them; what pip would add to them no test looks at.
    run(Command::new(python)
        .args(["-m", "venv", "--without-pip"])
        .arg(directory))?;
    if packages.is_empty() {
        return Ok(());
    }
    run(Command::new(uv)
        .args(["pip", "install", "--quiet", "--no-config", "--python"])
        .arg(directory.join("bin/python"))
        .args(packages)
        .envs(as_pip()))
}

/// Where pip is told to look for packages uv looks as well.
fn as_pip() -> impl Iterator<Item = (&'static str, String)> {
    const SAME: [(&str, &str); 5] = [
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
        ("PIP_CERT", "SSL_CERT_FILE"),
        ("PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT"),
    ];
    SAME.into_iter()
        .filter_map(|(pip, uv)| Some((uv, std::env::var(pip).ok()?)))
}

fn with_pip(python: &Path, directory: &Path, packages: &[&str]) -> Result<(), String> {
    let _ = fs::remove_dir_all(directory);
    run(Command::new(python).args(["-m", "venv"]).arg(directory))?;
    if packages.is_empty() {
        return Ok(());
    }
    run(Command::new(directory.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(format!("{command:?}: {}\n{out}{err}", output.status))
}
