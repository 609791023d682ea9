//! The life of a host thread: take a request, run it, answer; wait when there is none.

use std::sync::{Arc, atomic::Ordering};

use pyo3::prelude::*;

use super::{
    now_ns,
    queue::{Next, Queue},
};
use crate::{ffi::exit_now, output, report, wsgi::call::Caller};

/// Runs requests until the worker leaves. The GIL is held but for waiting and sending.
pub(crate) fn run(py: Python<'_>, queue: &Arc<Queue>, index: usize, application: Py<PyAny>) -> PyResult<()> {
    let slot = &queue.slots[index];
    let thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
    let ident: u64 = py.import("threading")?.getattr("get_ident")?.call0()?.extract()?;
    slot.ident.store(ident, Ordering::Relaxed);
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
                if py.detach(|| queue.wait())
                    && let Err(error) = py.check_signals()
                {
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
