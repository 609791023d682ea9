//! The error log: events of our own, of the libraries, and the lines applications print.

use std::{cell::Cell, fs::File, sync::Arc, time::Duration};

use config::Level;
use tracing::{Event, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

pub use crate::app_output::{AppLine, app_output};
use crate::{Error, app_output, event_line, event_queue::EventQueue, output::Output, writer};

/// What is kept of the memory that a long line took.
const LINE_KEPT_BYTES: usize = 4096;

/// How long the last events may take when the guard is dropped.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Keeps the error log running; what waits is written when it is dropped. A process that ends by
/// [`std::process::exit`] drops nothing: call [`flush`](Guard::flush) before.
#[derive(Debug)]
#[must_use = "the error log ends when this is dropped"]
pub struct Guard {
    queue: Arc<EventQueue>,
    _thread: WorkerGuard,
}

impl Guard {
    /// Goes on in another file: events before this call go to the old one, later ones to the new one.
    pub fn replace(&self, file: File) {
        self.queue.replace(file);
    }

    /// Waits until everything said so far is written, for at most `limit`; `false` when it took longer.
    pub fn flush(&self, limit: Duration) -> bool {
        self.queue.flush(limit)
    }

    /// Events dropped so far because too many waited for the disk.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.queue.close(CLOSE_LIMIT);
    }
}

/// Starts the error log of this process. `role` is its name in every line (`supervisor`, `proxy`); `file` is the
/// descriptor the supervisor opened; without one, `config.to` is opened here.
///
/// It has a thread of its own, which a fork does not take along: a process that goes into the background does that
/// first.
///
/// # Errors
/// When the file cannot be opened, the writer's thread cannot be started, or an error log runs already.
pub fn init(config: &config::ErrorLog, role: &str, file: Option<File>) -> Result<Guard, Error> {
    let output = Output::open(&config.to, file)?;
    let (queue, thread) = EventQueue::start(output)?;
    let queue = Arc::new(queue);
    let lines = Lines {
        queue: Arc::clone(&queue),
        origin: format!("{role}[{}]", std::process::id()),
    };
    // This also takes the records of libraries that use the `log` crate.
    Registry::default()
        .with(targets(config.level))
        .with(lines)
        .try_init()
        .map_err(|_| Error::Twice)?;
    Ok(Guard {
        queue,
        _thread: thread,
    })
}

/// Our own events from `level` on. Libraries are held to errors, unless somebody debugs: what they warn of is
/// what a peer does, and a peer must not be able to fill the log.
fn targets(level: Level) -> Targets {
    let (ours, theirs) = match level {
        Level::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        Level::Warn => (LevelFilter::WARN, LevelFilter::ERROR),
        Level::Info => (LevelFilter::INFO, LevelFilter::ERROR),
        Level::Debug => (LevelFilter::DEBUG, LevelFilter::DEBUG),
    };
    Targets::new()
        .with_default(theirs)
        .with_targets(event_line::OURS.map(|target| (target, ours)))
        .with_target(app_output::TARGET, LevelFilter::INFO)
}

/// Turns events into lines.
struct Lines {
    queue: Arc<EventQueue>,
    /// `proxy[4242]`
    origin: String,
}

/// Errors, and what became of a log. What an application says is no error of ours.
fn matters(metadata: &Metadata<'_>) -> bool {
    match metadata.target() {
        app_output::TARGET => false,
        writer::TARGET => true,
        _ => *metadata.level() == tracing::Level::ERROR,
    }
}

thread_local! {
    /// The line that is being made. Taken while in use: a value that logs while it is formatted gets one of its own.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.clear();
        event_line::push_line(&mut line, &self.origin, event);
        self.queue.push(line.as_bytes(), matters(event.metadata()));
        line.shrink_to(LINE_KEPT_BYTES);
        let _ = LINE.try_with(|kept| kept.set(line));
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level as At;

    use super::*;

    #[test]
    fn each_level_lets_its_own_and_what_is_worse_pass() {
        for (level, ours, theirs) in [
            (Level::Error, At::ERROR, At::ERROR),
            (Level::Warn, At::WARN, At::ERROR),
            (Level::Info, At::INFO, At::ERROR),
            (Level::Debug, At::DEBUG, At::DEBUG),
        ] {
            let targets = targets(level);
            for at in [At::ERROR, At::WARN, At::INFO, At::DEBUG, At::TRACE] {
                assert_eq!(
                    targets.would_enable("proxy::serve", &at),
                    at <= ours,
                    "{level:?} {at}"
                );
                assert_eq!(
                    targets.would_enable("h2::codec", &at),
                    at <= theirs,
                    "{level:?} {at}"
                );
            }
            // What an application prints is not ours to leave out.
            assert!(targets.would_enable(app_output::TARGET, &At::INFO), "{level:?}");
        }
    }
}
