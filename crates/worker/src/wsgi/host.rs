//! The life of a host thread: take a request, run it, answer; wait when there is none.

use std::{
    os::fd::RawFd,
    sync::{Arc, atomic::Ordering},
};

use pyo3::prelude::*;

use super::call::Caller;
use crate::{
    engine::{
        now_ns,
        queue::{Next, Queue},
    },
    ffi::{exit_now, threads},
    output, report,
};

/// `select.select` of an application that has patched it: while the thread waits in it, greenlets of the
/// application run.
#[derive(Debug)]
pub(crate) struct Select(Py<PyAny>);

impl Select {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self(py.import("select")?.getattr("select")?.unbind()))
    }

    fn wait(&self, py: Python<'_>, descriptor: RawFd) -> PyResult<()> {
        let nothing: [RawFd; 0] = [];
        self.0.call1(py, ([descriptor], nothing, nothing)).map(drop)
    }
}

/// Runs requests until the worker leaves. The GIL is held but for waiting and sending.
pub(crate) fn run(
    py: Python<'_>,
    queue: &Arc<Queue>,
    index: usize,
    application: Py<PyAny>,
    select: Option<&Select>,
) -> PyResult<()> {
    let slot = &queue.slots[index];
    let thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
    slot.ident.store(threads::ident(), Ordering::Relaxed);
    slot.thread.store(thread, Ordering::Relaxed);
    let mut caller = Caller::new(py, application, queue, index)?;
    loop {
        match queue.next(slot) {
            Next::Job(job) => {
                let began = now_ns();
                if queue.is_dirty() {
                    if queue.is_due(began) {
                        py.detach(|| queue.flush());
                    } else {
                        queue.ticker.watch();
                    }
                }
                // The proxy may have given it to another worker.
                if job.claim(began, thread) {
                    caller.run(py, job);
                    if queue.is_disowned() {
                        // The application has forked, and its child came back out of the view.
                        exit_now(0);
                    }
                }
                slot.end();
                queue.ended(began);
            }
            Next::Wait => {
                let interrupted = match select {
                    None if py.detach(|| queue.wait()) => py.check_signals(),
                    None => Ok(()),
                    Some(select) => {
                        py.detach(|| queue.before_wait());
                        let waited = select.wait(py, queue.descriptor());
                        py.detach(|| queue.after_wait());
                        waited
                    }
                };
                if let Err(error) = interrupted {
                    // A signal handler of the application raised; there is no request that it could end.
                    output::tell(py, &report::traceback(py, &error));
                }
            }
            Next::Leave => {
                // The other threads may be busy for long.
                py.detach(|| queue.flush());
                return Ok(());
            }
        }
    }
}
