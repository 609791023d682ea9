//! One program in two roles: the supervisor, and the proxy it executes from itself.

mod check;
mod command_line;
mod commands;
mod engine;
mod hints;
mod names;
mod told;

use std::{env, os::fd::OwnedFd, process::ExitCode};

use command_line::{Command, CommandLine};
use supervisor::{Engine, Options, ProxyProgram};

/// Says which role this process has; the supervisor's when it is not set.
const ROLE: &str = "APPLIANCE_ROLE";

fn main() -> ExitCode {
    // Keys pass through both roles, and `check`; an application may run as the same user beside them. The start
    // goes on where the kernel refuses: this protection is then missing, and everything else works.
    let _ = supervisor::hide();
    if env::var_os(ROLE).is_some_and(|role| role == "proxy") {
        // While there is one thread. It executes nothing.
        supervisor::empty_bounding_set();
        return match supervisor::inherited_control(c"appliance-proxy") {
            Ok(control) => run_proxy(control),
            Err(error) => {
                eprintln!("appliance: this role is for the supervisor to start: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let line = CommandLine::read();
    let engine = Engine {
        library: engine::ENGINE,
        bootstrap: engine::BOOTSTRAP,
    };
    let code = match line.asked_for() {
        Some(Command::Check) => check::run(&line.conf(), line.daemon, engine),
        Some(Command::Status { json }) => commands::status(&line.conf(), json),
        Some(Command::Reload { no_wait }) => commands::reload(&line.conf(), !no_wait),
        Some(Command::Reopen) => commands::reopen(&line.conf()),
        Some(Command::Stop { now }) => commands::stop(&line.conf(), now),
        Some(Command::Version) => {
            told::tell(&concat!("appliance ", env!("CARGO_PKG_VERSION")));
            0
        }
        None => supervisor::run(Options {
            conf: line.conf(),
            daemon: line.daemon,
            engine,
            proxy: own_proxy(),
        }),
    };
    ExitCode::from(code)
}

fn run_proxy(control: OwnedFd) -> ExitCode {
    proxy::run(control)
}

/// The proxy is this very file, also when another one has taken its place on the disk.
fn own_proxy() -> ProxyProgram {
    ProxyProgram {
        program: "/proc/self/exe".into(),
        arg0: "appliance: proxy".into(),
        args: Vec::new(),
        env: vec![(ROLE.into(), "proxy".into())],
    }
}
