//! Descriptors for many connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process, and the sites it starts from now on, open as many files as the machine allows.
pub(crate) fn raise_open_files(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .unwrap();
    assert!(
        limit.maximum.is_none_or(|maximum| maximum >= wanted),
        "this test needs {wanted} open files, the machine allows {:?}",
        limit.maximum
    );
}
