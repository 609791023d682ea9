//! What a process is told to run.

use std::time::Duration;

use wire::control::ToZygote;

/// What to run, as told by the first message.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    pub(crate) app: String,
    /// `wsgi` or `asgi`
    pub(crate) interface: String,
    pub(crate) target: String,
    pub(crate) directory: String,
    pub(crate) threads: usize,
    /// The same where the application has patched the standard library itself.
    pub(crate) threads_patched: usize,
    /// Requests that run at the same time.
    pub(crate) concurrency: usize,
    /// `auto`, `asyncio` or `uvloop`
    pub(crate) event_loop: String,
    /// `auto`, `on` or `off`
    pub(crate) lifespan: String,
    /// Offer the extensions by which a file is the body of an answer.
    pub(crate) pathsend: bool,
    /// `gevent`, `eventlet` or empty
    pub(crate) green: String,
    pub(crate) shutdown: Duration,
    pub(crate) preload: bool,
    pub(crate) check: bool,
}

impl Boot {
    /// The one in a message, if it is one.
    pub(crate) fn of(message: ToZygote) -> Option<Self> {
        let ToZygote::Boot {
            app,
            interface,
            target,
            directory,
            preload,
            threads,
            threads_patched,
            concurrency,
            event_loop,
            lifespan,
            pathsend,
            green,
            shutdown_ms,
            check,
        } = message
        else {
            return None;
        };
        let number = |number: u32| usize::try_from(number).unwrap_or(1);
        Some(Self {
            app,
            interface,
            target,
            directory,
            threads: number(threads).clamp(1, 1024),
            threads_patched: number(threads_patched).clamp(1, 1024),
            concurrency: number(concurrency).max(1),
            event_loop,
            lifespan,
            pathsend,
            green,
            shutdown: Duration::from_millis(shutdown_ms),
            preload,
            check,
        })
    }

    /// The message that makes the next life of this process like this one, without the import.
    pub(crate) fn again(&self) -> ToZygote {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        ToZygote::Boot {
            app: self.app.clone(),
            interface: self.interface.clone(),
            target: self.target.clone(),
            directory: self.directory.clone(),
            preload: false,
            threads: number(self.threads),
            threads_patched: number(self.threads_patched),
            concurrency: number(self.concurrency),
            event_loop: self.event_loop.clone(),
            lifespan: self.lifespan.clone(),
            pathsend: self.pathsend,
            green: self.green.clone(),
            shutdown_ms: u64::try_from(self.shutdown.as_millis()).unwrap_or(u64::MAX),
            check: false,
        }
    }
}
