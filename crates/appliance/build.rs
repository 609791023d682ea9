//! Builds the engine (crate `worker`, a shared object for Python) and hands it to `engine.rs`.
//!
//! Cargo cannot make one package's cdylib an input of another one on stable, so a second cargo runs here. It
//! gets a target directory of its own inside the outer one: the outer build holds the lock of its own
//! directory while build scripts run, and debug, release and clippy builds share one engine.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    match engine() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("cargo::error={problem}");
            ExitCode::FAILURE
        }
    }
}

fn engine() -> Result<(), String> {
    let manifest = variable("CARGO_MANIFEST_DIR")?;
    let workspace = manifest
        .ancestors()
        .nth(2)
        .ok_or("the crate lies outside of its workspace")?;
    for input in [
        "crates/worker/src",
        "crates/worker/Cargo.toml",
        "crates/wire/src",
        "crates/wire/Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let out = variable("OUT_DIR")?;
    // OUT_DIR is TARGET/PROFILE/build/NAME/out, so the fifth ancestor holds every profile.
    let target_dir = out
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR is not inside a target directory")?
        .join("engine");
    let (host, target) = (text("HOST")?, text("TARGET")?);

    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--release",
            "--locked",
            "--lib",
            "--package",
            "worker",
            "--target-dir",
        ])
        .arg(&target_dir);
    let mut built = target_dir.clone();
    if host != target {
        cargo.args(["--target", &target]);
        built.push(&target);
    }
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(leaks) {
            cargo.env_remove(name);
        }
    }
    // No Python is needed to build: the stable ABI is all that is used.
    cargo
        .env("PYO3_NO_PYTHON", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "thin")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    let told = cargo
        .output()
        .map_err(|error| format!("cargo for the engine can not be started: {error}"))?;
    if !told.status.success() {
        let text = String::from_utf8_lossy(&told.stderr).replace('\n', "\ncargo::error=");
        return Err(format!("the engine does not build\ncargo::error={text}"));
    }
    let library = built.join("release/libappliance_worker.so");
    copy(&library, &out.join("engine.so"))
}

/// What cargo sets for build scripts, and flags and wrappers meant for the outer build (clippy's among them). What configures
/// cargo itself (home, registries, network, proxies) and its job server stays.
fn leaks(name: &str) -> bool {
    const LEFT: [&str; 8] = [
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTRY",
        "CARGO_REGISTRIES_",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    const OURS: [&str; 12] = [
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "OUT_DIR",
        "TARGET",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "RUSTC",
    ];
    OURS.contains(&name) || (name.starts_with("CARGO") && !LEFT.iter().any(|kept| name.starts_with(kept)))
}

/// Copies only when the bytes differ, so that an unchanged engine does not make the binary stale.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let bytes = std::fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    if std::fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    std::fs::write(to, bytes).map_err(|error| format!("{}: {error}", to.display()))
}

fn variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name)
        .map(PathBuf::from)
        .ok_or_else(|| format!("cargo did not set {name}"))
}

fn text(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}
