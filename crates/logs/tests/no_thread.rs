//! A machine that has no thread left for a log. The limit is that of a whole process, hence one test.

use std::fs::{self, File};

use config::{Format, Level, To};
use logs::{AccessLog, Error, error_log};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Address space for everything here but the stack of a thread.
const NO_STACK_BYTES: u64 = 1 << 20;

/// Address space for the stack of one thread, of 2 MiB, and not of two.
const ONE_STACK_BYTES: u64 = 3 << 20;

fn address_space_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = pages
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .expect("pages");
    pages * rustix::param::page_size() as u64
}

#[test]
fn a_log_without_a_thread_does_not_start_and_says_why() {
    let access = config::AccessLog {
        to: To::Stdout,
        format: Format::Json,
        buffer_bytes_max: 1 << 20,
    };
    let error = config::ErrorLog {
        to: To::Stdout,
        level: Level::Info,
    };
    let nowhere = || {
        let file = File::options().write(true).open("/dev/null");
        Some(file.expect("the null device"))
    };
    let (_, max) = getrlimit(Resource::RLIMIT_AS).expect("the limit");
    let limit_to = |bytes| setrlimit(Resource::RLIMIT_AS, bytes, max).expect("a limit");
    limit_to(address_space_bytes() + NO_STACK_BYTES);
    let access = AccessLog::new(&access, nowhere()).map(drop);
    let first = error_log::init(&error, "proxy", nowhere()).map(drop);
    limit_to(max);
    // The thread of tracing-appender is started by one of ours.
    limit_to(address_space_bytes() + ONE_STACK_BYTES);
    let second = error_log::init(&error, "proxy", nowhere()).map(drop);
    limit_to(max);

    for (log, started) in [("access", access), ("error", first), ("error", second)] {
        let failed = started.expect_err("no thread");
        assert!(matches!(failed, Error::Thread { .. }), "{failed:?}");
        let text = failed.to_string();
        let says = format!("cannot start the thread that writes the {log} log: ");
        assert!(text.starts_with(&says), "{text}");
    }
}
