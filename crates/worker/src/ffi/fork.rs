//! The fork. It happens in one place, in a process with one thread.
//!
//! Between the fork and Python's own `AfterFork` hook nothing runs here but a second fork and `_exit`. The second fork is what
//! gives the worker to the supervisor: its parent ends at once and the nearest subreaper adopts it.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pyo3::{PyResult, Python, exceptions::PyOSError, ffi};

/// Which process has returned from [`twice`].
pub(crate) enum Side {
    /// The zygote, as before.
    Parent,
    /// The new worker.
    Child,
}

/// Forks a grandchild. In the parent an error says that there is none.
pub(crate) fn twice(_py: Python<'_>) -> io::Result<Side> {
    // SAFETY: the GIL is held (token). The three PyOS hooks are called in the order that CPython demands,
    // each in the process that it is for; the process in the middle runs only fork and _exit, both
    // async-signal-safe, and the worker a prctl on a plain number before its hook.
    unsafe {
        ffi::PyOS_BeforeFork();
        let middle = libc::fork();
        if middle == 0 {
            let worker = libc::fork();
            if worker == 0 {
                // The zygote hides from other processes of its user; profilers and core files are for
                // workers.
                libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
                ffi::PyOS_AfterFork_Child();
                return Ok(Side::Child);
            }
            let code = if worker == -1 {
                *libc::__errno_location()
            } else {
                0
            };
            libc::_exit(code);
        }
        let forked = if middle == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        };
        ffi::PyOS_AfterFork_Parent();
        forked?;
        let mut status = 0;
        while libc::waitpid(middle, &mut status, 0) == -1 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                // Somebody else's SIGCHLD handling reaped it; the worker tells of itself by its first message.
                return Ok(Side::Parent);
            }
        }
        match libc::WEXITSTATUS(status) {
            0 => Ok(Side::Parent),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// How often threads are looked at that may be about to end, a millisecond apart.
const LOOKS: u32 = 10;

/// A rehearsal runs, so [`look`] has something to do.
static REHEARSED: AtomicBool = AtomicBool::new(false);

/// The kernel's ids of the threads that [`look`] saw.
static TASKS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Has the threads looked at in every [`rehearse`]. Handlers run in the reverse order of their registration,
/// so this is called before the application is imported: its libraries' handlers then run first.
pub(crate) fn watch_threads() {
    // SAFETY: the function is registered for the life of the process, and the engine is never unloaded.
    unsafe { libc::pthread_atfork(Some(look), None, None) };
}

extern "C" fn look() {
    if !REHEARSED.load(Ordering::Relaxed) {
        return;
    }
    let mut seen = tasks();
    // Who has joined a thread has seen the end of what it ran; the kernel may need a moment more.
    for _ in 0..LOOKS {
        if seen.len() < 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        seen = tasks();
    }
    *TASKS.lock().unwrap_or_else(PoisonError::into_inner) = seen;
}

/// The kernel's ids of all threads.
fn tasks() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task");
    let numbers = tasks.map(|tasks| {
        tasks
            .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok())
            .collect()
    });
    numbers.unwrap_or_default()
}

/// Forks a process that ends at once, and gives the ids of the threads that were there when every handler had
/// run that forks call. Empty where /proc is not mounted.
pub(crate) fn rehearse(_py: Python<'_>) -> PyResult<Vec<u32>> {
    REHEARSED.store(true, Ordering::Relaxed);
    // SAFETY: as in `twice`; the child runs nothing but `_exit`.
    let forked = unsafe {
        ffi::PyOS_BeforeFork();
        let child = libc::fork();
        if child == 0 {
            libc::_exit(0);
        }
        let forked = if child == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(child)
        };
        ffi::PyOS_AfterFork_Parent();
        forked
    };
    REHEARSED.store(false, Ordering::Relaxed);
    let child = forked.map_err(PyOSError::new_err)?;
    // SAFETY: collects a child of ours; an error means that somebody else's handler has done so.
    while unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } == -1
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
    Ok(std::mem::take(
        &mut *TASKS.lock().unwrap_or_else(PoisonError::into_inner),
    ))
}
