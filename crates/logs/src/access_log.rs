//! The access log of one process.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use config::Format;

use crate::{Error, OpenRecord, Record, Remote, combined, json, output::Output, sink::Sink};

/// The access log of one process; a cheap handle, cloned into every front thread. Nothing here waits for the disk but
/// [`close`](AccessLog::close).
#[derive(Debug, Clone)]
pub struct AccessLog {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    sink: Sink,
    format: Format,
    /// What is dropped unfinished from now on was cut by us.
    cuts: AtomicBool,
}

impl AccessLog {
    /// Starts the log. `file` is the descriptor the supervisor opened; without one, `config.to` is opened here.
    ///
    /// # Errors
    /// When the file cannot be opened or the writer's thread cannot be started.
    pub fn new(config: &config::AccessLog, file: Option<File>) -> Result<Self, Error> {
        let output = Output::open(&config.to, file)?;
        let sink = Sink::new("access", config.buffer_bytes_max, output)?;
        Ok(Self {
            inner: Some(Arc::new(Inner {
                sink,
                format: config.format,
                cuts: AtomicBool::new(false),
            })),
        })
    }

    /// A log that is switched off: records are made and forgotten.
    #[must_use]
    pub fn off() -> Self {
        Self { inner: None }
    }

    /// Opens the record of a request from `peer`, first seen now.
    pub fn open(&self, peer: Remote) -> OpenRecord {
        OpenRecord::new(Record::new(peer), self.clone())
    }

    /// Goes on in another file: lines of requests that ended before this call go to the old one, later ones to the new one.
    pub fn replace(&self, file: File) {
        if let Some(inner) = &self.inner {
            inner.sink.replace(file);
        }
    }

    /// The server ends what still runs: a request that is cut off from now on did not lose its client.
    pub fn cut(&self) {
        if let Some(inner) = &self.inner {
            inner.cuts.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn cuts(&self) -> bool {
        let cuts = |inner: &Arc<Inner>| inner.cuts.load(Ordering::Relaxed);
        self.inner.as_ref().is_some_and(cuts)
    }

    /// Lines dropped so far because too many waited for the disk.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.sink.dropped())
    }

    /// Writes what waits, for at most `limit`, and ends the writer; lines after this are dropped and counted. `false`
    /// when something could not be written in time.
    pub fn close(&self, limit: Duration) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.sink.close(limit))
    }

    /// Hands a finished record's line to the sink.
    pub(crate) fn write(&self, record: &Record) {
        let Some(inner) = &self.inner else { return };
        inner.sink.append(|out| match inner.format {
            Format::Combined => combined::push_line(out, record),
            Format::Json => json::push_line(out, record),
        });
    }
}
